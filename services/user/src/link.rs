//! Addresses that people are led to, as the configuration has them.

use std::net::IpAddr;

use axum::http::Uri;
use serde::Deserialize;

use crate::one_time::Token;

/// Where people confirm an address, seen from the gateway.
const VERIFY_PATH: &str = "/api/auth/verify-email";
/// Where the gateway serves the page that sets a new password.
const RESET_PATH: &str = "/ui/reset-password";

/// Longest URL: it stands in one line of a letter.
const LENGTH_MAX: usize = 500;

/// An `http` or `https` URL without query and fragment, or nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Url(Option<String>);

impl TryFrom<String> for Url {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        const FAULT: &str = "expected a URL, as in \"https://chat.example.com\"";
        if text.is_empty() {
            return Ok(Self(None));
        }
        let uri: Uri = text.parse().map_err(|_| FAULT)?;
        let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
        let is_plain = text.is_ascii() && text.len() <= LENGTH_MAX;
        if !is_plain
            || !is_web
            || uri.host().is_none()
            || uri.query().is_some()
            || text.contains('#')
        {
            return Err(FAULT);
        }
        Ok(Self(Some(text.trim_end_matches('/').to_owned())))
    }
}

impl Url {
    /// This one, else `other`.
    pub(crate) fn or(&self, other: &str) -> Self {
        Self(Some(self.0.clone().unwrap_or_else(|| other.to_owned())))
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Whether what is sent there is encrypted.
    pub(crate) fn is_https(&self) -> bool {
        self.as_str().starts_with("https://")
    }

    /// Whether it is on this machine, by its name.
    pub(crate) fn is_here(&self) -> bool {
        let uri: Option<Uri> = self.as_str().parse().ok();
        uri.as_ref().and_then(Uri::host).is_some_and(is_loopback)
    }

    /// Without a slash at its end.
    pub(crate) fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }
}

/// Whether `host` means this machine, by its name alone.
pub(crate) fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Makes the links that letters have.
#[derive(Debug, Clone)]
pub(crate) struct Links {
    public: Url,
    reset: Url,
}

impl Links {
    /// Of a gateway at `public`; `reset` is the page that sets a password, where it has its own.
    pub(crate) fn new(public: Url, reset: &Url) -> Self {
        let reset = reset.or(&format!("{}{RESET_PATH}", public.as_str()));
        Self { public, reset }
    }

    /// Opening it changes nothing: mail scanners do.
    pub(crate) fn verify(&self, token: &Token) -> String {
        format!("{}{VERIFY_PATH}?token={}", self.public.as_str(), token.as_str())
    }

    /// The token is behind `#`, which no browser sends to any server.
    pub(crate) fn reset(&self, token: &Token) -> String {
        format!("{}#token={}", self.reset.as_str(), token.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_one_of_the_web_and_ends_with_its_path() {
        let parse = |text: &str| Url::try_from(text.to_owned());
        assert_eq!(parse("https://a.example/x/").unwrap().as_str(), "https://a.example/x");
        assert!(parse("").unwrap().is_empty());
        for bad in
            ["a.example", "javascript:x", "/x", "http://a.example/?x", "http://a/#x", "http://a b"]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_reset_token_is_never_part_of_what_a_browser_sends() {
        let token = "A".repeat(43).parse().unwrap();
        let public = Url::try_from("https://a.example".to_owned()).unwrap();
        let links = Links::new(public.clone(), &Url::default());
        assert!(links.reset(&token).starts_with("https://a.example/ui/reset-password#token=A"));
        let own = Url::try_from("https://b.example/new".to_owned()).unwrap();
        assert!(
            Links::new(public, &own).reset(&token).starts_with("https://b.example/new#token=A")
        );
    }
}
