//! A user service as a process of its own, and those who call it over HTTP.

use std::time::Duration;

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::Outcome;
use crate::machine::Place;
use crate::program::Process;

/// Longest wait for one answer.
const ANSWER_WINDOW: Duration = Duration::from_secs(30);
/// Everybody's.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// A user service with a folder of its own.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) process: Process,
    pub(crate) folder: TempDir,
    pub(crate) callers: Callers,
}

/// Everybody who calls one service, each from an address that it says itself: the service takes this
/// machine for a gateway.
#[derive(Debug, Clone)]
pub(crate) struct Callers {
    http: reqwest::Client,
    pub(crate) base: String,
}

/// An answer, and how long it took to its last byte.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Value,
    /// Where a next page is.
    pub(crate) link: Option<String>,
    pub(crate) took: Duration,
}

impl Service {
    /// Starts one in `folder`, on the database at `url`; empty: on a file.
    pub(crate) fn start(folder: TempDir, url: &str) -> Outcome<Self> {
        let mut arguments = vec!["--data".to_owned(), folder.path().display().to_string()];
        for setting in [
            "user.listen=127.0.0.1:0".to_owned(),
            "user.grpc_listen=127.0.0.1:0".to_owned(),
            "user.passwords.blocklist=false".to_owned(),
            format!("database.url={url}"),
        ] {
            arguments.extend(["--set".to_owned(), setting]);
        }
        let process = Process::own("user", Place::Anywhere, Place::Anywhere, &arguments, "Ctrl-C")?;
        let callers = Callers::new(process.line("user")?)?;
        Ok(Self { process, folder, callers })
    }
}

impl Callers {
    pub(crate) fn new(base: &str) -> Outcome<Self> {
        let http = reqwest::Client::builder().no_proxy().timeout(ANSWER_WINDOW).build()?;
        Ok(Self { http, base: base.to_owned() })
    }

    /// Posts `body` as caller number `from`, and expects `status`.
    pub(crate) async fn post(
        &self,
        path: &str,
        body: &Value,
        from: usize,
        status: u16,
    ) -> Outcome<Answer> {
        let request = self.request(Method::POST, path).header("x-forwarded-for", address(from));
        ask(request.json(body)).await?.expect(status)
    }

    /// Posts `body` with `token`.
    pub(crate) async fn post_as(&self, token: &str, path: &str, body: &Value) -> Outcome<Answer> {
        ask(self.request(Method::POST, path).bearer_auth(token).json(body)).await
    }

    /// Gets `path` with `token`.
    pub(crate) async fn get(&self, path: &str, token: Option<&str>) -> Outcome<Answer> {
        let request = self.request(Method::GET, path);
        ask(match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        })
        .await
    }

    /// Makes the account of caller number `from`, and gives its access token.
    pub(crate) async fn register(&self, from: usize) -> Outcome<String> {
        let body = json!({
            "username": name(from), "email": email(from), "phone": phone(from), "password": PASSWORD,
        });
        token(&self.post("/api/register", &body, from, 201).await?.body)
    }

    /// Signs caller number `from` in.
    pub(crate) async fn log_in(&self, from: usize) -> Outcome<Answer> {
        let body = json!({"username": name(from), "password": PASSWORD});
        self.post("/api/login", &body, from, 200).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }
}

impl Answer {
    /// Fails when the status is another one.
    pub(crate) fn expect(self, status: u16) -> Outcome<Self> {
        if self.status == status {
            return Ok(self);
        }
        Err(format!("{status} was expected and {} came: {}", self.status, self.body).into())
    }
}

async fn ask(request: RequestBuilder) -> Outcome<Answer> {
    let began = Instant::now();
    let response = request.send().await?;
    let (status, headers) = (response.status(), response.headers().clone());
    let bytes = response.bytes().await?;
    let took = began.elapsed();
    let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    let link = headers.get("link").and_then(|link| next(link.to_str().ok()?));
    Ok(Answer { status, body, link, took })
}

/// The next page of a `Link` field (RFC 8288).
fn next(link: &str) -> Option<String> {
    let (path, _) = link.strip_prefix('<')?.split_once(">; rel=\"next\"")?;
    Some(path.to_owned())
}

/// The access token of a session.
pub(crate) fn token(session: &Value) -> Outcome<String> {
    Ok(session["token"].as_str().ok_or("there is no token in the session")?.to_owned())
}

pub(crate) fn name(number: usize) -> String {
    format!("caller{number}")
}

pub(crate) fn email(number: usize) -> String {
    format!("caller{number}@example.com")
}

pub(crate) fn phone(number: usize) -> String {
    format!("+4930{number:08}")
}

/// One of 10.0.0.0/8, where nobody is.
fn address(number: usize) -> String {
    let number = u32::try_from(number).unwrap_or(0) & 0x00ff_ffff;
    let [_, b, c, d] = number.to_be_bytes();
    format!("10.{b}.{c}.{d}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_have_addresses_of_their_own() {
        assert_eq!(address(1), "10.0.0.1");
        assert_eq!(address(65_793), "10.1.1.1");
    }

    #[test]
    fn the_next_page_is_found() {
        let link = next("</api/users?cursor=x>; rel=\"next\"");
        assert_eq!(link.as_deref(), Some("/api/users?cursor=x"));
        assert_eq!(next("</a>; rel=\"prev\""), None);
    }
}
