//! A gRPC client of the service, over the HTTP/2 client that everybody uses.

use auth_proto::auth_service_client::AuthServiceClient;
use auth_proto::{GenerateTokenRequest, ValidateTokenRequest};
use axum::http::Uri;
use hyper_util::client::legacy::{self, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use tonic::body::Body;
use tonic::{Code, Request, Response, Status};

use crate::support::Spoke;

pub(super) type Http = legacy::Client<HttpConnector, Body>;

/// The connection that all calls of one client share.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) http: Http,
    pub(super) origin: Uri,
}

impl Client {
    pub(super) fn of(spoke: &Spoke) -> Self {
        let origin = spoke.told("grpc").expect("gRPC has an address").parse().unwrap();
        Self { http: http(), origin }
    }

    pub(super) fn auth(&self) -> AuthServiceClient<Http> {
        AuthServiceClient::with_origin(self.http.clone(), self.origin.clone())
    }

    pub(super) async fn validate(
        &self,
        caller: Option<&str>,
        token: &str,
    ) -> Result<String, Status> {
        let request = ValidateTokenRequest { token: token.to_owned() };
        let response = self.auth().validate_token(from(caller, request)).await;
        response.map(|response| response.into_inner().user_id)
    }

    pub(super) async fn generate(
        &self,
        caller: Option<&str>,
        email: &str,
    ) -> Result<String, Status> {
        let request = GenerateTokenRequest { email: email.to_owned() };
        let response = self.auth().generate_token(from(caller, request)).await;
        response.map(Response::into_inner).map(|made| made.token)
    }
}

/// A client whose calls share one connection.
pub(super) fn http() -> Http {
    legacy::Client::builder(TokioExecutor::new()).http2_only(true).build_http()
}

pub(super) fn from<T>(caller: Option<&str>, message: T) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(token) = caller {
        let value = format!("Bearer {token}").parse().unwrap();
        request.metadata_mut().insert("authorization", value);
    }
    request
}

/// It was refused like this, and the text says so.
#[track_caller]
pub(super) fn is_refused(answer: Result<String, Status>, code: Code, kind: &str, text: &str) {
    let status = answer.unwrap_err();
    assert_eq!(status.code(), code, "{status}");
    assert_eq!(status.metadata().get("problem").unwrap(), kind, "{status}");
    assert!(status.message().contains(text), "{status}");
    assert!(status.metadata().contains_key("x-request-id"), "{status}");
}
