//! gRPC through the gateway, on the port that everything else uses.

use auth_proto::auth_service_client::AuthServiceClient;
use auth_proto::{GenerateTokenRequest, ValidateTokenRequest};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use tonic::body::Body;
use tonic::{Code, Request, Response, Status};

use super::support::hub::Hub;

fn service(hub: &Hub) -> AuthServiceClient<Client<HttpConnector, Body>> {
    let http = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    AuthServiceClient::with_origin(http, hub.base().parse().unwrap())
}

fn from<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let value = format!("Bearer {token}").parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    request
}

#[track_caller]
fn is_refused<T>(answer: Result<Response<T>, Status>, code: Code) {
    let status = answer.map(drop).unwrap_err();
    assert_eq!(status.code(), code, "{status}");
}

#[tokio::test]
async fn a_client_has_its_token_validated_through_the_gateway() {
    let hub = Hub::start();
    let ada = hub.client().register().await;
    let message = || ValidateTokenRequest { token: ada.token().to_owned() };
    let mut service = service(&hub);
    let said = service.validate_token(from(ada.token(), message())).await;
    assert_eq!(said.map(|said| said.into_inner().user_id).unwrap(), ada.id);

    is_refused(service.validate_token(Request::new(message())).await, Code::Unauthenticated);
    let bad = ValidateTokenRequest { token: "nonsense".to_owned() };
    is_refused(service.validate_token(from(ada.token(), bad)).await, Code::Unauthenticated);
}

#[tokio::test]
async fn nobody_gets_a_token_made_through_the_gateway() {
    let hub = Hub::start();
    let ada = hub.client().register().await;
    let wanted = GenerateTokenRequest { email: format!("{}@example.com", ada.name) };
    let answer = service(&hub).generate_token(from(ada.token(), wanted)).await;
    is_refused(answer, Code::Unimplemented);
}
