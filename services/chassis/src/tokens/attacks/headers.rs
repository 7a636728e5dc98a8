//! Headers that want to choose the key, or to change how the token is read.

use serde_json::{Value, json};

use super::{Row, Stage, accepted, refused};
use crate::tokens::BadToken::{self, Forged, Malformed, UnknownKey};
use crate::tokens::forger::{encoded, forged, written};

pub(super) fn rows(stage: &Stage) -> Vec<Row<'_>> {
    let mut rows = key_ids(stage);
    rows.extend(foreign_keys(stage));
    rows.extend(members(stage));
    rows.extend(twice(stage));
    rows
}

/// The header of a good token of `ed` with one member more, or another one.
fn with(stage: &Stage, name: &str, value: Value) -> String {
    let mut header = json!({ "typ": "JWT", "alg": "EdDSA", "kid": stage.ed.key.id() });
    header[name] = value;
    header.to_string()
}

/// A `kid` is compared and does nothing else, however the token is signed.
fn key_ids(stage: &Stage) -> Vec<Row<'_>> {
    let set = &stage.ed.set;
    let trap = format!("http://{}/kid", stage.trap.local_addr().unwrap());
    let id = stage.ed.key.id();
    let mut rows = Vec::new();
    for (what, kid) in [
        ("a path", "../../../../dev/null".to_owned()),
        ("a path with the right end", format!("/keys/{id}")),
        ("SQL", "x' UNION SELECT 'secret' -- ".to_owned()),
        ("a NUL", format!("{id}\0")),
        ("a URL", trap),
        ("a command", "$(touch /tmp/x)|id".to_owned()),
        ("5 kB", "k".repeat(5_000)),
        ("empty", String::new()),
        ("with a space", format!("{id} ")),
        ("in capitals", id.to_uppercase() + "="),
        ("that of a shared secret", stage.shared.id().to_owned()),
    ] {
        for (whose, key) in [("our", &stage.ed.key), ("their", &stage.theirs)] {
            let token = forged(key, with(stage, "kid", kid.clone().into()), written());
            rows.push(refused(format!("kid is {what}, {whose} key"), set, token, UnknownKey));
        }
    }
    for (what, kid) in
        [("an array", json!([id])), ("an object", json!({ "id": id })), ("a number", json!(1))]
    {
        let token = forged(&stage.ed.key, with(stage, "kid", kid), written());
        rows.push(refused(format!("kid is {what}"), set, token, Malformed));
    }
    for (name, key, set) in stage.signers() {
        let head = json!({ "alg": name }).to_string();
        rows.push(accepted(format!("{name}: no kid, one key"), set, forged(key, head, written())));
    }
    let bare = json!({ "alg": "EdDSA" }).to_string();
    let token = forged(&stage.theirs, &bare, written());
    rows.push(refused("no kid, their key", set, token, Forged));
    let token = forged(&stage.ed.key, bare, written());
    rows.push(refused("no kid and no key for its algorithm", &stage.ec.set, token, UnknownKey));
    rows
}

/// CVE-2018-0114 and its kin: a token never brings its own key along.
fn foreign_keys(stage: &Stage) -> Vec<Row<'_>> {
    let trap = format!("http://{}/jwks.json", stage.trap.local_addr().unwrap());
    let jwk = stage.theirs.jwk().unwrap().clone();
    let certificate = json!([base64_of(&stage.ed.public)]);
    let mut rows = Vec::new();
    for (name, value) in [
        ("jwk", jwk),
        ("jku", json!(trap)),
        ("x5u", json!(trap)),
        ("x5c", certificate),
        ("x5t", json!("AAAA")),
        ("cty", json!("JWT")),
    ] {
        let head = with(stage, name, value);
        let token = forged(&stage.theirs, &head, written());
        rows.push(refused(format!("{name} and their key"), &stage.ed.set, token, Forged));
        let token = forged(&stage.ed.key, &head, written());
        rows.push(accepted(format!("{name} and our key: not looked at"), &stage.ed.set, token));
        let mut theirs: Value = serde_json::from_str(&head).unwrap();
        theirs["kid"] = stage.theirs.id().into();
        let token = forged(&stage.theirs, theirs.to_string(), written());
        rows.push(refused(format!("{name} and their kid"), &stage.ed.set, token, UnknownKey));
    }
    rows
}

fn base64_of(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn members(stage: &Stage) -> Vec<Row<'_>> {
    let bad = |bad: BadToken| Some(bad);
    let rows = [
        ("crit of something", "crit", json!(["exp"]), bad(Malformed)),
        ("crit of b64", "crit", json!(["b64"]), bad(Malformed)),
        ("crit that is empty", "crit", json!([]), bad(Malformed)),
        ("crit that is null", "crit", Value::Null, bad(Malformed)),
        ("b64 is false", "b64", json!(false), bad(Malformed)),
        ("b64 is true", "b64", json!(true), bad(Malformed)),
        ("typ refresh+jwt", "typ", json!("refresh+jwt"), bad(Malformed)),
        ("typ logout+jwt", "typ", json!("logout+jwt"), bad(Malformed)),
        ("typ secevent+jwt", "typ", json!("secevent+jwt"), bad(Malformed)),
        ("typ dpop+jwt", "typ", json!("dpop+jwt"), bad(Malformed)),
        ("typ JOSE", "typ", json!("JOSE"), bad(Malformed)),
        ("typ is empty", "typ", json!(""), bad(Malformed)),
        ("typ is an array", "typ", json!(["JWT"]), bad(Malformed)),
        ("typ at+jwt", "typ", json!("at+jwt"), None),
        ("typ in small letters", "typ", json!("jwt"), None),
        ("typ with its prefix", "typ", json!("application/at+JWT"), None),
    ];
    let mut rows: Vec<_> = rows
        .into_iter()
        .map(|(name, member, value, bad)| {
            let token = forged(&stage.ed.key, with(stage, member, value), written());
            match bad {
                Some(bad) => refused(name, &stage.ed.set, token, bad),
                None => accepted(name, &stage.ed.set, token),
            }
        })
        .collect();
    for (name, header) in [
        ("the header is no object", "\"EdDSA\"".to_owned()),
        (
            "the header is an array of what it should be",
            format!("[\"EdDSA\",\"{}\"]", stage.ed.key.id()),
        ),
        ("the header is empty", String::new()),
        ("something follows the header", with(stage, "typ", json!("JWT")) + "{}"),
        ("the header is deep", format!("{}{}", "[".repeat(2_000), "]".repeat(2_000))),
    ] {
        let token = forged(&stage.ed.key, header, written());
        rows.push(refused(name, &stage.ed.set, token, Malformed));
    }
    rows
}

/// Two readers may take different ones of them.
fn twice(stage: &Stage) -> Vec<Row<'_>> {
    let id = stage.ed.key.id();
    let mut rows = Vec::new();
    for (name, header) in [
        ("alg twice", format!(r#"{{"alg":"none","alg":"EdDSA","kid":"{id}"}}"#)),
        (
            "alg twice, once in disguise",
            format!(r#"{{"\u0061lg":"none","alg":"EdDSA","kid":"{id}"}}"#),
        ),
        ("kid twice", format!(r#"{{"alg":"EdDSA","kid":"x","kid":"{id}"}}"#)),
        ("typ twice", format!(r#"{{"alg":"EdDSA","typ":"JWT","kid":"{id}","typ":"JWT"}}"#)),
        (
            "a member that nobody knows twice",
            format!(r#"{{"alg":"EdDSA","kid":"{id}","z":1,"z":1}}"#),
        ),
    ] {
        let token = forged(&stage.ed.key, &header, written());
        rows.push(refused(name, &stage.ed.set, token, Malformed));
        let bare = format!("{}.{}.", encoded(header), encoded(written()));
        rows.push(refused(format!("{name}, not signed"), &stage.ed.set, bare, Malformed));
    }
    rows
}
