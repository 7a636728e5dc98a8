//! Environment names of the older systems, which go on working.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::{Fault, Layer};

/// What an older name sets: a key and its value in TOML.
type Setting = (String, String);

/// Names that the older systems know and this version does not serve: read over with a warning.
const UNSERVED: [&str; 3] = ["JWT_SECRET", "SMTP_HOST", "SMTP_PORT"];

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
        "NATS_URL" => Ok(vec![set("bus.url", value)]),
        "USER_SERVICE_URL" => url(name, value).map(|url| {
            let keys = format!("{url}/.well-known/jwks.json");
            vec![
                list("gateway.upstreams.user.endpoints", &url),
                set("gateway.auth.jwks_url", &keys),
                set("identity.jwks_url", &keys),
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

/// Whether `name` is one that an operator may believe in, in vain.
pub(super) fn is_unserved(name: &str) -> bool {
    UNSERVED.contains(&name)
}

fn port((key, listen): (&str, Option<SocketAddr>), value: &str) -> Result<Vec<Setting>, Fault> {
    let Ok(number) = value.parse() else {
        return Err(fault("PORT", value, "expected a port number from 0 to 65535"));
    };
    let ip = listen.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |listen| listen.ip());
    Ok(vec![set(key, &SocketAddr::new(ip, number).to_string())])
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
