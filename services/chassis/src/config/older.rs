//! Environment names of the older systems, which go on working.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::{Fault, Layer};

/// What an older name sets: a key and its value in TOML.
type Setting = (String, String);

/// Translates the variable `name`; `None` when it is no older name. `listen` is the key of the
/// running binary's own listener and where it listens so far, whose port `PORT` means.
pub(super) fn translate(
    listen: (&str, Option<SocketAddr>),
    name: &str,
    value: &str,
) -> Option<Result<Vec<Setting>, Fault>> {
    Some(match name {
        "PORT" => port(listen, value),
        "LOG_LEVEL" => Ok(vec![set("telemetry.level", &value.to_ascii_lowercase())]),
        "DATABASE_URL" => Ok(vec![set("database.url", value)]),
        "JWT_SECRET" => Ok(vec![set("identity.jwt_secret", value)]),
        "SMTP_HOST" => Ok(vec![set("user.mail.host", value)]),
        "SMTP_PORT" => port_number(name, value)
            .map(|number| vec![("user.mail.port".to_owned(), number.to_string())]),
        "NATS_URL" => Ok(vec![set("bus.url", value)]),
        "USER_SERVICE_URL" => url(name, value).map(|url| {
            let keys = format!("{url}/.well-known/jwks.json");
            let feed = format!("{url}/internal/revocations");
            vec![
                list("gateway.upstreams.user.endpoints", &url),
                set("gateway.auth.jwks_url", &keys),
                set("gateway.auth.exchange_url", &format!("{url}/internal/keys/exchange")),
                set("identity.jwks_url", &keys),
                set("gateway.auth.revocations_url", &feed),
                set("identity.revocations_url", &feed),
                set("chat.user_url", &url),
                set("message.user_url", &url),
                ("embedded.user".to_owned(), "false".to_owned()),
            ]
        }),
        "CHAT_SERVICE_URL" => url(name, value).map(|url| {
            vec![
                list("gateway.upstreams.chat.endpoints", &url),
                set("message.rings.chat_url", &url),
                set("message.bell", "http"),
                ("embedded.chat".to_owned(), "false".to_owned()),
            ]
        }),
        "MESSAGE_SERVICE_URL" => url(name, value).map(|url| {
            vec![
                list("gateway.upstreams.message.endpoints", &url),
                set("chat.message_url", &url),
                ("embedded.message".to_owned(), "false".to_owned()),
            ]
        }),
        _ => return None,
    })
}

fn port((key, listen): (&str, Option<SocketAddr>), value: &str) -> Result<Vec<Setting>, Fault> {
    let number = port_number("PORT", value)?;
    let ip = listen.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |listen| listen.ip());
    Ok(vec![set(key, &SocketAddr::new(ip, number).to_string())])
}

fn port_number(name: &str, value: &str) -> Result<u16, Fault> {
    value.parse().map_err(|_| fault(name, value, "expected a port number from 0 to 65535"))
}

fn url(name: &str, value: &str) -> Result<String, Fault> {
    let url = value.trim_end_matches('/');
    let rest = url.strip_prefix("http://");
    match rest {
        Some(rest) if !rest.is_empty() => Ok(url.to_owned()),
        _ => Err(fault(name, value, "expected a URL that begins with http://")),
    }
}

fn fault(name: &str, value: &str, message: &str) -> Fault {
    Fault {
        key: name.to_owned(),
        value: Some(format!("{value:?}")),
        layer: Some(Layer::Environment(name.to_owned())),
        message: message.to_owned(),
    }
}

fn set(key: &str, value: &str) -> Setting {
    (key.to_owned(), toml::Value::from(value).to_string())
}

fn list(key: &str, value: &str) -> Setting {
    (key.to_owned(), toml::Value::from(vec![value]).to_string())
}
