//! Codes to a service that sends them on: one `POST` each, with a secret, and no redirects, so that
//! nobody else is told.

use std::fmt;

use chassis::StartError;
use chassis::secret::Secret;
use reqwest::redirect::Policy;
use serde_json::json;

use super::Config;
use super::provider::Message;
use crate::errands::Fault;

/// Under which a try that arrived twice is known again.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// A service that takes codes.
pub(crate) struct Webhook {
    http: reqwest::Client,
    url: String,
    secret: Secret<String>,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Webhook(***)")
    }
}

impl Webhook {
    pub(super) fn open(config: &Config) -> Result<Self, StartError> {
        let http = reqwest::Client::builder()
            .timeout(config.timeout)
            .redirect(Policy::none())
            .no_proxy()
            .build()
            .map_err(|error| StartError::Other(error.into()))?;
        let is_in_file = config.secret.expose().is_empty();
        let secret = if is_in_file && !config.secret_file.as_os_str().is_empty() {
            Secret::from_file(&config.secret_file)?
        } else {
            config.secret.clone()
        };
        Ok(Self { http, url: config.url.as_str().to_owned(), secret })
    }

    pub(super) async fn post(&self, message: &Message) -> Result<(), Fault> {
        let body = json!({
            "phone": message.phone.as_str(),
            "code": message.code,
            "text": message.text(),
            "expiresIn": message.life.as_secs(),
        });
        let mut call = self.http.post(&self.url).json(&body);
        call = call.header(IDEMPOTENCY_KEY, message.id.to_string());
        if !self.secret.expose().is_empty() {
            call = call.bearer_auth(self.secret.expose());
        }
        // The address may have a secret of its own in it.
        let sent = call.send().await.map_err(|error| Fault::passing(&error.without_url()))?;
        match sent.status() {
            status if status.is_success() => Ok(()),
            status if status.is_server_error() || matches!(status.as_u16(), 408 | 429) => {
                Err(Fault::Passing(format!("the provider says {status}")))
            }
            status => Err(Fault::Lasting(format!("the provider says {status}"))),
        }
    }
}
