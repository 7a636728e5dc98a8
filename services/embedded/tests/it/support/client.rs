//! A front end without a face: HTTP calls, and accounts made for a case.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::socket::Socket;

/// Calls through one base URL, with or without a token.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    pub(crate) base: String,
    pub(crate) token: Option<String>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

impl Client {
    pub(crate) fn new(base: &str) -> Self {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { http, base: base.to_owned(), token: None }
    }

    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// The same caller at another address.
    pub(crate) fn at(&self, base: &str) -> Self {
        Self { base: base.to_owned(), ..self.clone() }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        Answer::of(self.request(Method::POST, path).json(body)).await
    }

    pub(crate) async fn send_raw(&self, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        let request = self.request(Method::POST, path).header("content-type", "application/json");
        Answer::of(request.body(body)).await
    }

    /// Makes an account of a fresh name and signs it in.
    pub(crate) async fn register(&self) -> User {
        let name = format!("u{}", &Uuid::new_v4().simple().to_string()[..12]);
        let body = json!({
            "username": name, "email": format!("{name}@example.com"), "password": "password123",
        });
        let session = self.post("/api/auth/register", &body).await.created();
        let id = session["user"]["id"].as_str().unwrap().to_owned();
        let refresh = session["tokens"]["refreshToken"].as_str().unwrap().to_owned();
        User { api: self.with_token(session["token"].as_str().unwrap()), id, name, refresh }
    }
}

/// Somebody who is signed in.
#[derive(Debug, Clone)]
pub(crate) struct User {
    pub(crate) api: Client,
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) refresh: String,
}

impl User {
    pub(crate) fn token(&self) -> &str {
        self.api.token.as_deref().unwrap()
    }

    /// The same person after the hub came back at `base`.
    pub(crate) fn at(&self, base: &str) -> Self {
        Self { api: self.api.at(base), ..self.clone() }
    }

    pub(crate) async fn socket(&self) -> Socket {
        Socket::open(&self.api.base, "/api/chat/ws", Some(self.token())).await
    }

    /// Makes a room and gives its id.
    pub(crate) async fn room(&self, private: bool) -> String {
        let body = json!({"name": "a room", "isPrivate": private});
        let room = self.api.post("/api/chat/rooms", &body).await.created();
        room["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn join(&self, room: &str) {
        let path = format!("/api/chat/rooms/{room}/join");
        self.api.post(&path, &json!({})).await.ok();
    }

    pub(crate) async fn send(&self, room: &str, content: &str) -> Answer {
        let body = json!({"roomId": room, "content": content});
        self.api.post("/api/messages", &body).await
    }

    /// Sends what may be sent again: `client` makes it the same message.
    pub(crate) async fn send_as(&self, room: &str, client: Uuid, content: &str) -> Answer {
        let body = json!({"roomId": room, "clientId": client, "content": content});
        self.api.post("/api/messages", &body).await
    }

    /// All messages of a room, in order.
    pub(crate) async fn whole_history(&self, room: &str) -> Vec<Value> {
        let mut all: Vec<Value> = Vec::new();
        loop {
            let after = all.last().map_or(0, |message| message["seq"].as_u64().unwrap());
            let path = format!("/api/messages/room/{room}?limit=200&after={after}");
            let page = self.api.get(&path).await.ok();
            let page = page.as_array().unwrap();
            if page.is_empty() {
                return all;
            }
            all.extend(page.iter().cloned());
        }
    }

    /// The newest 200 messages of a room, in order.
    pub(crate) async fn history(&self, room: &str) -> Vec<Value> {
        let path = format!("/api/messages/room/{room}?limit=200");
        self.api.get(&path).await.ok().as_array().unwrap().clone()
    }
}

impl Answer {
    pub(crate) async fn of(request: reqwest::RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.bytes().await.unwrap();
        Self { status, headers, body: serde_json::from_slice(&body).unwrap_or(Value::Null) }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        self.body
    }

    #[track_caller]
    pub(crate) fn created(self) -> Value {
        assert_eq!(self.status, 201, "{}", self.body);
        self.body
    }

    /// A problem of `kind`, complete as the contract wants it.
    #[track_caller]
    pub(crate) fn is_problem(&self, kind: &str, status: u16) -> &Value {
        assert_eq!(self.body["type"], format!("urn:hubbub:problem:{kind}"), "{self:?}");
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        assert!(self.header("content-type").starts_with("application/problem+json"), "{self:?}");
        assert_eq!(self.body["status"], status);
        for member in ["title", "requestId", "instance", "error"] {
            assert!(self.body[member].is_string(), "{member} is missing: {self:?}");
        }
        assert_eq!(self.body["requestId"], self.header("x-request-id"), "{self:?}");
        assert_eq!(!self.header("www-authenticate").is_empty(), status == 401, "{self:?}");
        &self.body
    }
}
