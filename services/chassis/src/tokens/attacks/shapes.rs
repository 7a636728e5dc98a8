//! Texts that are nearly a token.

use contract::caller::{ServiceClaims, UserClaims};
use serde_json::json;

use super::{Row, Stage, accepted, refused};
use crate::tokens::BadToken::{Forged, Malformed, UnknownKey};
use crate::tokens::TOKEN_BYTES_MAX;
use crate::tokens::forger::{NOW, claims, encoded, forged, header, written};

pub(super) fn rows(stage: &Stage) -> Vec<Row<'_>> {
    let mut rows = spellings(stage);
    rows.extend(parts(stage));
    rows.extend(others(stage));
    rows
}

fn good(stage: &Stage) -> String {
    stage.ed.key.sign(&claims()).unwrap()
}

/// A token with signs in it by which the two alphabets of base64 differ.
fn with_signs(stage: &Stage) -> String {
    let made = (0..).map(|jti: u32| {
        stage.ed.key.sign(&UserClaims { jti: jti.to_string(), ..claims() }).unwrap()
    });
    made.into_iter().find(|token| token.contains('-') && token.contains('_')).unwrap()
}

fn spellings(stage: &Stage) -> Vec<Row<'_>> {
    let (set, good) = (&stage.ed.set, good(stage));
    let [head, payload, signature] = three(&good);
    let signs = with_signs(stage);
    let all = [
        ("standard base64", signs.replace('-', "+").replace('_', "/")),
        ("padded at the end", format!("{good}==")),
        ("padded in the header", format!("{head}=.{payload}.{signature}")),
        ("padded in the payload", format!("{head}.{payload}==.{signature}")),
        ("a space before it", format!(" {good}")),
        ("a space behind it", format!("{good} ")),
        ("a line end behind it", format!("{good}\n")),
        ("a space in the payload", format!("{head}. {payload}.{signature}")),
        (
            "a line end in the signature",
            format!("{head}.{payload}.{}\r\n{}", &signature[..9], &signature[9..]),
        ),
        ("a NUL behind it", format!("{good}\0")),
        ("bits behind the signature", spare_bits(&good)),
        ("a letter of another script", good.replacen('e', "е", 1)),
        ("full-width dots", good.replace('.', "．")),
        ("percent-encoded", good.replace('.', "%2E")),
    ];
    let mut rows: Vec<_> =
        all.into_iter().map(|(name, token)| refused(name, set, token, Malformed)).collect();
    rows.push(accepted("with signs of base64url", set, signs));
    rows
}

fn three(token: &str) -> [&str; 3] {
    token.split('.').collect::<Vec<_>>().try_into().unwrap()
}

/// The last character of 64 bytes holds two bits of them; another one may hold the same two.
fn spare_bits(token: &str) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let last = token.as_bytes().last().unwrap();
    let place = ALPHABET.iter().position(|one| one == last).unwrap();
    format!("{}{}", &token[..token.len() - 1], char::from(ALPHABET[place + 1]))
}

fn parts(stage: &Stage) -> Vec<Row<'_>> {
    let (set, good) = (&stage.ed.set, good(stage));
    let [head, payload, signature] = three(&good);
    let other = stage.ed.key.sign(&UserClaims { name: "eve".to_owned(), ..claims() }).unwrap();
    let [_, eves, eves_signature] = three(&other);
    let general =
        json!({"payload": payload, "signatures": [{"protected": head, "signature": signature}]});
    let flat = json!({"payload": payload, "protected": head, "signature": signature});
    let padding = "x".repeat(TOKEN_BYTES_MAX);
    let long = stage.ed.key.sign(&UserClaims { name: padding, ..claims() }).unwrap();
    let mut rows = vec![
        refused("its signature stripped", set, format!("{head}.{payload}."), Forged),
        refused(
            "the signature of another token",
            set,
            format!("{head}.{payload}.{eves_signature}"),
            Forged,
        ),
        refused("the payload of another token", set, format!("{head}.{eves}.{signature}"), Forged),
        refused("no payload", set, format!("{head}..{signature}"), Forged),
    ];
    for (name, token) in [
        ("two parts", format!("{head}.{payload}")),
        ("four parts", format!("{good}.{signature}")),
        ("a dot before it", format!(".{good}")),
        ("a dot behind it", format!("{good}.")),
        ("five parts, as JWE has", format!("{good}.{payload}.{signature}")),
        ("JSON serialization", general.to_string()),
        ("flattened JSON serialization", flat.to_string()),
        ("nothing", String::new()),
        ("two dots", "..".to_owned()),
        ("the scheme in front", format!("Bearer {good}")),
        ("more than 8 KiB", long),
        ("much more than 8 KiB", "a.".repeat(1 << 20)),
    ] {
        rows.push(refused(name, set, token, Malformed));
    }
    rows
}

/// Tokens that are good for something else.
fn others(stage: &Stage) -> Vec<Row<'_>> {
    let now = NOW.seconds();
    let service = ServiceClaims {
        iss: "chat".to_owned(),
        aud: "message".to_owned(),
        exp: now + 60,
        nbf: now,
        iat: now,
        jti: "j".to_owned(),
        sub: Some(claims().sub),
        name: Some("ada".to_owned()),
        sid: None,
    };
    let text = serde_json::to_string(&service).unwrap();
    let set = &stage.ed.set;
    let unnamed = forged(&stage.theirs, json!({"typ": "JWT", "alg": "EdDSA"}).to_string(), &text);
    let named = forged(&stage.theirs, header(&stage.theirs), &text);
    let posing = forged(&stage.theirs, header(&stage.ed.key), written());
    let ours = forged(&stage.ed.key, header(&stage.ed.key), &text);
    vec![
        refused("a refresh token", set, encoded([7; 32]), Malformed),
        refused("a service token, no kid", set, unnamed, Forged),
        refused("a service token with its kid", set, named, UnknownKey),
        refused("a service's key that poses as ours", set, posing, Forged),
        refused("claims of a service under our key", set, ours, Malformed),
    ]
}
