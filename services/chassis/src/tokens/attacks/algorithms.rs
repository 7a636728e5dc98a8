//! Tokens that name another algorithm, or none, or whose signature is of another making.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, RSA_PSS_SHA256, RsaKeyPair,
};
use serde_json::json;

use super::{Row, SECRET, Stage, Target, accepted, refused};
use crate::keys::pem;
use crate::tokens::BadToken::{Forged, Malformed, UnknownKey};
use crate::tokens::forger::{encoded, forged, header, sealed, written};

/// The order of the group of Ed25519, the least byte first (RFC 8032 section 5.1).
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

pub(super) fn rows(stage: &Stage) -> Vec<Row<'_>> {
    let mut rows = none(stage);
    rows.extend(confused(stage));
    rows.extend(hmacs(stage));
    rows.extend(signatures(stage));
    rows
}

/// RFC 8725 section 2.1.
fn none(stage: &Stage) -> Vec<Row<'_>> {
    let mut rows = Vec::new();
    for (name, key, set) in stage.signers() {
        rows.push(accepted(format!("{name}: a good token"), set, key.sign(&claims()).unwrap()));
        for alg in
            ["none", "None", "NONE", "nOnE", "", " EdDSA", "eddsa", "es256", "rs256", "hs256"]
        {
            let head = json!({ "alg": alg, "kid": key.id() }).to_string();
            let row = format!("{name}: alg {alg:?}");
            rows.push(refused(row.clone(), set, forged(key, &head, written()), Forged));
            let bare = format!("{}.{}.", encoded(&head), encoded(written()));
            rows.push(refused(row + " and no signature", set, bare, Forged));
        }
        for (what, alg) in [
            ("a number", json!(256)),
            ("an array", json!(["none", "EdDSA"])),
            ("null", json!(null)),
            ("an object", json!({"name": "EdDSA"})),
        ] {
            let head = json!({ "alg": alg, "kid": key.id() }).to_string();
            let token = forged(key, head, written());
            rows.push(refused(format!("{name}: alg is {what}"), set, token, Malformed));
        }
        let head = json!({ "kid": key.id() }).to_string();
        let row = format!("{name}: no alg");
        rows.push(refused(row, set, forged(key, head, written()), Malformed));
    }
    rows
}

fn claims() -> contract::caller::UserClaims {
    crate::tokens::forger::claims()
}

/// The public half is no secret, in whatever spelling; and no key is another kind's.
fn confused(stage: &Stage) -> Vec<Row<'_>> {
    let mut rows = Vec::new();
    for (name, target) in stage.targets() {
        let public = pem::write("PUBLIC KEY", &target.public);
        let jwk = target.key.jwk().unwrap();
        for (what, secret) in [
            ("PEM", public.clone().into_bytes()),
            ("PEM without its last line end", public.trim_end().as_bytes().to_vec()),
            ("DER", target.public.clone()),
            ("JWK", jwk.to_string().into_bytes()),
            ("bare bytes", bare(target)),
            ("kid", target.key.id().as_bytes().to_vec()),
            ("nothing", Vec::new()),
        ] {
            let head = json!({ "alg": "HS256", "kid": target.key.id() }).to_string();
            let token = sealed(head, written(), |message| mac(hmac::HMAC_SHA256, &secret, message));
            let row = format!("{name}: HS256 with the public key's {what} as the secret");
            rows.push(refused(row, &target.set, token, Forged));
        }
        for (other, signer, _) in stage.signers().into_iter().filter(|other| other.0 != name) {
            let head = json!({ "alg": other, "kid": target.key.id() }).to_string();
            let row = format!("{name}: {other} under the same kid");
            rows.push(refused(row, &target.set, forged(signer, head, written()), Forged));
            let head = json!({ "alg": name, "kid": target.key.id() }).to_string();
            let row = format!("{name}: {other} that says it is {name}");
            rows.push(refused(row, &target.set, forged(signer, head, written()), Forged));
        }
        let token = target.key.sign(&claims()).unwrap();
        let row = format!("HS256: {name} where a secret is shared");
        rows.push(refused(row, &stage.shared_set, token, UnknownKey));
        let head = json!({ "alg": name, "kid": stage.shared.id() }).to_string();
        let token = forged(&target.key, head, written());
        let row = format!("HS256: {name} under the kid of the secret");
        rows.push(refused(row, &stage.shared_set, token, Forged));
    }
    rows
}

/// The members that are the key itself, decoded.
fn bare(target: &Target) -> Vec<u8> {
    use base64::Engine as _;
    let jwk = target.key.jwk().unwrap();
    let member = jwk.get("x").or_else(|| jwk.get("n")).unwrap().as_str().unwrap();
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(member).unwrap()
}

fn mac(algorithm: hmac::Algorithm, secret: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(algorithm, secret), message).as_ref().to_vec()
}

fn hmacs(stage: &Stage) -> Vec<Row<'_>> {
    let (set, id) = (&stage.shared_set, stage.shared.id());
    let mut rows = Vec::new();
    for (alg, algorithm) in [("HS384", hmac::HMAC_SHA384), ("HS512", hmac::HMAC_SHA512)] {
        for said in [alg, "HS256"] {
            let head = json!({ "alg": said, "kid": id }).to_string();
            let sign = |message: &[u8]| mac(algorithm, SECRET.as_bytes(), message);
            let row = format!("HS256: {alg} with the right secret that says {said}");
            rows.push(refused(row, set, sealed(head, written(), sign), Forged));
        }
    }
    for (what, secret) in [("another secret", "x"), ("no secret", ""), ("SECRET", "\u{0}")] {
        let head = header(&stage.shared);
        let sign = |message: &[u8]| mac(hmac::HMAC_SHA256, secret.as_bytes(), message);
        rows.push(refused(format!("HS256: {what}"), set, sealed(head, written(), sign), Forged));
    }
    let cut = |message: &[u8]| mac(hmac::HMAC_SHA256, SECRET.as_bytes(), message)[..16].to_vec();
    let token = sealed(header(&stage.shared), written(), cut);
    rows.push(refused("HS256: half of the MAC", set, token, Forged));
    rows
}

fn signatures(stage: &Stage) -> Vec<Row<'_>> {
    let random = SystemRandom::new();
    let (ed, ec, rsa) = (&stage.ed, &stage.ec, &stage.rsa);
    let made = |target: &Target, sign: &dyn Fn(&[u8]) -> Vec<u8>| {
        sealed(header(&target.key), written(), sign)
    };
    let der = |message: &[u8]| {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &ec.private).unwrap();
        pair.sign(&random, message).unwrap().as_ref().to_vec()
    };
    let pss = |message: &[u8]| {
        let pair = RsaKeyPair::from_pkcs8(&rsa.private).unwrap();
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(&RSA_PSS_SHA256, &random, message, &mut signature).unwrap();
        signature
    };
    let ps256 = json!({ "alg": "PS256", "kid": rsa.key.id() }).to_string();
    let ed448 = json!({ "alg": "Ed448", "kid": ed.key.id() }).to_string();
    let moved = |message: &[u8]| plus_order(ed.key.signature(message).unwrap());
    vec![
        refused("ES256: all zero", &ec.set, made(ec, &|_| vec![0; 64]), Forged),
        refused(
            "ES256: R and S are the order of the group",
            &ec.set,
            made(ec, &|_| p256_order()),
            Forged,
        ),
        refused("ES256: in DER", &ec.set, made(ec, &der), Forged),
        refused("ES256: empty", &ec.set, made(ec, &|_| Vec::new()), Forged),
        refused("EdDSA: all zero", &ed.set, made(ed, &|_| vec![0; 64]), Forged),
        refused("EdDSA: the neutral element", &ed.set, made(ed, &|_| neutral()), Forged),
        refused("EdDSA: S + L", &ed.set, made(ed, &moved), Forged),
        refused("EdDSA: as long as one of Ed448", &ed.set, made(ed, &|_| vec![7; 114]), Forged),
        refused(
            "EdDSA: Ed448 by name",
            &ed.set,
            sealed(ed448, written(), |_| vec![7; 114]),
            Forged,
        ),
        refused("RS256: PS256", &rsa.set, sealed(ps256, written(), pss), Forged),
        refused("RS256: PSS that says RS256", &rsa.set, made(rsa, &pss), Forged),
        refused("RS256: all zero", &rsa.set, made(rsa, &|_| vec![0; 256]), Forged),
        refused("RS256: one", &rsa.set, made(rsa, &|_| one(256)), Forged),
        refused("RS256: longer than the key", &rsa.set, made(rsa, &|_| vec![1; 257]), Forged),
    ]
}

/// A signature whose S is not reduced, which RFC 8032 section 5.1.7 forbids.
fn plus_order(mut signature: Vec<u8>) -> Vec<u8> {
    let mut carry = 0;
    for (byte, order) in signature[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    signature
}

/// R is the neutral element and S is zero: holds for a public key that is the neutral element, too.
fn neutral() -> Vec<u8> {
    let mut signature = vec![0; 64];
    signature[0] = 1;
    signature
}

fn one(bytes: usize) -> Vec<u8> {
    let mut number = vec![0; bytes];
    number[bytes - 1] = 1;
    number
}

/// Zero to the curve, but not written as such.
fn p256_order() -> Vec<u8> {
    const ORDER: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc,
        0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    ORDER.repeat(2)
}
