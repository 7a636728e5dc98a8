//! Tokens that our key did sign, and that are no access tokens of ours all the same.

use serde_json::{Value, json};

use super::{Row, Stage, accepted, refused};
use crate::tokens::BadToken::{self, Expired, Foreign, Malformed, NotYet};
use crate::tokens::forger::{NOW, forged, header, written};

pub(super) fn rows(stage: &Stage) -> Vec<Row<'_>> {
    let mut rows = changed(stage);
    rows.extend(missing(stage));
    rows.extend(times(stage));
    rows.extend(twice(stage));
    rows.extend(shapes(stage));
    rows
}

/// A good token but for its payload.
fn signed(stage: &Stage, payload: impl AsRef<[u8]>) -> String {
    forged(&stage.ed.key, header(&stage.ed.key), payload)
}

fn with(name: &str, value: Value) -> String {
    let mut claims: Value = serde_json::from_str(&written()).unwrap();
    claims[name] = value;
    claims.to_string()
}

fn row<'a>(stage: &'a Stage, name: &str, payload: &str, bad: Option<BadToken>) -> Row<'a> {
    let token = signed(stage, payload);
    match bad {
        Some(bad) => refused(name, &stage.ed.set, token, bad),
        None => accepted(name, &stage.ed.set, token),
    }
}

fn changed(stage: &Stage) -> Vec<Row<'_>> {
    let all = [
        ("another aud", "aud", json!("other"), Some(Foreign)),
        ("aud in capitals", "aud", json!("HUBBUB"), Some(Foreign)),
        ("aud is empty", "aud", json!(""), Some(Foreign)),
        ("aud is an array with ours in it", "aud", json!(["hubbub", "other"]), Some(Malformed)),
        ("aud is an array of ours", "aud", json!(["hubbub"]), Some(Malformed)),
        ("aud is null", "aud", Value::Null, Some(Malformed)),
        ("another iss", "iss", json!("evil"), Some(Foreign)),
        ("iss of a service", "iss", json!("chat"), Some(Foreign)),
        ("iss with a slash", "iss", json!("hubbub/"), Some(Foreign)),
        ("iss is an array with ours in it", "iss", json!(["hubbub", "evil"]), Some(Malformed)),
        ("iss is an object", "iss", json!({"hubbub": 1}), Some(Malformed)),
        ("sub is no account", "sub", json!("admin"), Some(Malformed)),
        ("sub is a number", "sub", json!(1), Some(Malformed)),
        ("roles is text", "roles", json!("admin"), Some(Malformed)),
        ("a role that there is not", "roles", json!(["root"]), Some(Malformed)),
        ("a claim that nobody knows", "scope", json!("everything"), None),
    ];
    let rows = all.into_iter();
    rows.map(|(name, claim, value, bad)| row(stage, name, &with(claim, value), bad)).collect()
}

fn missing(stage: &Stage) -> Vec<Row<'_>> {
    let all = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "sid", "name", "roles"];
    let rows = all.into_iter().map(|claim| {
        let mut claims: Value = serde_json::from_str(&written()).unwrap();
        claims.as_object_mut().unwrap().remove(claim);
        row(stage, &format!("no {claim}"), &claims.to_string(), Some(Malformed))
    });
    rows.collect()
}

fn times(stage: &Stage) -> Vec<Row<'_>> {
    let now = NOW.seconds();
    let all = [
        ("exp is text", "exp", json!((now + 900).to_string()), Some(Malformed)),
        ("exp is null", "exp", Value::Null, Some(Malformed)),
        ("exp is a fraction", "exp", json!(2_000_000_000.5), Some(Malformed)),
        ("exp is true", "exp", json!(true), Some(Malformed)),
        ("exp is negative", "exp", json!(-1), Some(Expired)),
        ("exp is zero", "exp", json!(0), Some(Expired)),
        ("exp is now", "exp", json!(now), Some(Expired)),
        ("exp is a second from now", "exp", json!(now + 1), None),
        ("exp is in milliseconds", "exp", json!((now + 900) * 1_000), Some(Malformed)),
        ("exp is the largest number", "exp", json!(i64::MAX), Some(Malformed)),
        ("exp is larger than that", "exp", json!(u64::MAX), Some(Malformed)),
        ("nbf is in an hour", "nbf", json!(now + 3_600), Some(NotYet)),
        ("nbf is within the skew of clocks", "nbf", json!(now + 30), None),
        ("nbf is beyond it", "nbf", json!(now + 31), Some(NotYet)),
        ("nbf is text", "nbf", json!("0"), Some(Malformed)),
        ("iat is in an hour", "iat", json!(now + 3_600), Some(NotYet)),
        ("iat is text", "iat", json!("now"), Some(Malformed)),
        ("iat is a fraction", "iat", json!(1.5), Some(Malformed)),
        ("iat is the largest number", "iat", json!(i64::MAX), Some(NotYet)),
        ("iat is negative, which says nothing", "iat", json!(-1), None),
    ];
    let mut rows: Vec<_> = all
        .into_iter()
        .map(|(name, claim, value, bad)| row(stage, name, &with(claim, value), bad))
        .collect();
    let exponent = written().replace(&(now + 900).to_string(), "1e400");
    rows.push(row(stage, "exp is beyond all numbers", &exponent, Some(Malformed)));
    let long = written().replace(&(now + 900).to_string(), &"9".repeat(400));
    rows.push(row(stage, "exp has 400 digits", &long, Some(Malformed)));
    rows
}

fn twice(stage: &Stage) -> Vec<Row<'_>> {
    let all = [
        ("exp twice", r#""exp":9999999999"#),
        ("sub twice", r#""sub":"00000000-0000-0000-0000-000000000001""#),
        ("iss twice", r#""iss":"hubbub""#),
        ("aud twice", r#""aud":"hubbub""#),
        ("roles twice", r#""roles":["admin"]"#),
        ("exp twice, once in disguise", r#""\u0065xp":9999999999"#),
    ];
    let rows = all.into_iter().map(|(name, more)| {
        let payload = written().replacen('{', &format!("{{{more},"), 1);
        row(stage, name, &payload, Some(Malformed))
    });
    rows.collect()
}

fn shapes(stage: &Stage) -> Vec<Row<'_>> {
    let claims: Value = serde_json::from_str(&written()).unwrap();
    let names = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "sid", "name", "roles"];
    let mut list: Vec<_> = names.iter().map(|name| claims[*name].clone()).collect();
    list.push(json!(false));
    let deep = "[".repeat(2_500) + &"]".repeat(2_500);
    let all = [
        ("an empty payload", String::new(), Some(Malformed)),
        ("the payload is empty braces", "{}".to_owned(), Some(Malformed)),
        ("the payload is text", "\"hubbub\"".to_owned(), Some(Malformed)),
        ("the payload is null", "null".to_owned(), Some(Malformed)),
        ("the payload is a list of the claims", Value::from(list).to_string(), Some(Malformed)),
        ("the payload is in a list", format!("[{}]", written()), Some(Malformed)),
        ("the payload is deep", deep.clone(), Some(Malformed)),
        (
            "roles are deep",
            with("roles", json!(0)).replace("\"roles\":0", &format!("\"roles\":{deep}")),
            Some(Malformed),
        ),
        ("something follows the payload", written() + "{}", Some(Malformed)),
        ("the payload is twice", written().repeat(2), Some(Malformed)),
        ("a mark of byte order", format!("\u{feff}{}", written()), Some(Malformed)),
    ];
    all.into_iter().map(|(name, payload, bad)| row(stage, name, &payload, bad)).collect()
}
