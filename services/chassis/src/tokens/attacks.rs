//! Attacks on tokens, each with its name and what is to become of it.
//!
//! A row that is accepted is there to show that what looks like an attack leads nowhere, or that the rows
//! around it are refused for their fault alone.

mod algorithms;
mod bits;
mod claims;
mod headers;
mod shapes;

use std::net::TcpListener;

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair,
};

use super::forger::{NOW, keys_of, rules};
use super::{BadToken, KeyKind, KeySet, TokenKey, TokenSecret};
use crate::keys::pem;
use crate::secret::Secret;

const SECRET: &str = "9f8c2d7be1a04c5f93d6e7b8a1c2f405";

/// What an attacker has against one kind of key: its public half in every spelling.
struct Target {
    key: TokenKey,
    private: Vec<u8>,
    /// `SubjectPublicKeyInfo`.
    public: Vec<u8>,
    set: KeySet,
}

/// Everything that rows are made of.
struct Stage {
    ed: Target,
    ec: Target,
    rsa: Target,
    shared: TokenKey,
    shared_set: KeySet,
    /// Somebody else's key, of the same kind as `ed`.
    theirs: TokenKey,
    /// Where nobody is to call.
    trap: TcpListener,
}

/// A token, whom it is shown to, and whether it holds.
struct Row<'a> {
    name: String,
    set: &'a KeySet,
    token: String,
    expected: Result<(), BadToken>,
}

fn refused(name: impl Into<String>, set: &KeySet, token: String, bad: BadToken) -> Row<'_> {
    Row { name: name.into(), set, token, expected: Err(bad) }
}

fn accepted(name: impl Into<String>, set: &KeySet, token: String) -> Row<'_> {
    Row { name: name.into(), set, token, expected: Ok(()) }
}

impl Target {
    fn new(kind: KeyKind) -> Self {
        let (key, text) = TokenKey::generate(kind).unwrap();
        let private = pem::read("PRIVATE KEY", &text).unwrap();
        let public: PublicKeyX509Der<'_> = match kind {
            KeyKind::EdDsa => {
                let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&private).unwrap();
                pair.public_key().as_der().unwrap()
            }
            KeyKind::Es256 => {
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &private);
                pair.unwrap().public_key().as_der().unwrap()
            }
            KeyKind::Rs256 => {
                RsaKeyPair::from_pkcs8(&private).unwrap().public_key().as_der().unwrap()
            }
        };
        let (public, set) = (public.as_ref().to_vec(), keys_of(&[&key]));
        Self { key, private, public, set }
    }
}

impl Stage {
    fn new() -> Self {
        let secret = TokenSecret::new(Secret::new(SECRET.to_owned()));
        let trap = TcpListener::bind("127.0.0.1:0").unwrap();
        trap.set_nonblocking(true).unwrap();
        Self {
            ed: Target::new(KeyKind::EdDsa),
            ec: Target::new(KeyKind::Es256),
            rsa: Target::new(KeyKind::Rs256),
            shared: TokenKey::shared(&secret),
            shared_set: KeySet::shared(&secret),
            theirs: super::forger::key(KeyKind::EdDsa),
            trap,
        }
    }

    fn targets(&self) -> [(&'static str, &Target); 3] {
        [("EdDSA", &self.ed), ("ES256", &self.ec), ("RS256", &self.rsa)]
    }

    /// Every key that signs, with the set that it belongs to.
    fn signers(&self) -> [(&'static str, &TokenKey, &KeySet); 4] {
        let [ed, ec, rsa] = self.targets().map(|(name, target)| (name, &target.key, &target.set));
        [ed, ec, rsa, ("HS256", &self.shared, &self.shared_set)]
    }
}

#[test]
fn no_attack_comes_through() {
    let stage = Stage::new();
    let rows: Vec<_> = [
        algorithms::rows(&stage),
        headers::rows(&stage),
        claims::rows(&stage),
        shapes::rows(&stage),
    ]
    .into_iter()
    .flatten()
    .collect();
    let mut wrong = Vec::new();
    for row in &rows {
        let found = row.set.verify(&row.token, &rules(), NOW).map(drop);
        if found != row.expected {
            wrong.push(format!("{}: {found:?} instead of {:?}", row.name, row.expected));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let mut names: Vec<_> = rows.iter().map(|row| &row.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), rows.len(), "two rows of one name");
    let called = stage.trap.accept().unwrap_err();
    assert_eq!(called.kind(), std::io::ErrorKind::WouldBlock, "somebody followed a URL of a token");
}
