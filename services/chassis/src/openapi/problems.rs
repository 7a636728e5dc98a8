//! How calls are described that say no: by the kinds of the catalogue, which bring their status and
//! their fields with them.

use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;

use contract::Kind;
use contract::problem::CONTENT_TYPE;
use utoipa::IntoResponses;
use utoipa::openapi::extensions::Extensions;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};
use utoipa::openapi::{Content, Ref, RefOr, Response, ResponseBuilder};

/// What a call refuses for: the kinds of one member of [`refuses`], or of a tuple of them.
pub trait Refuses {
    /// Each of them, once or more.
    fn kinds() -> Vec<Kind>;
}

/// The answers of a call that refuses for `T`: one for each status.
#[derive(Debug)]
pub struct Problems<T>(PhantomData<T>);

impl<T: Refuses> IntoResponses for Problems<T> {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut by_status = BTreeMap::<u16, BTreeSet<Kind>>::new();
        for kind in T::kinds() {
            by_status.entry(kind.status()).or_default().insert(kind);
        }
        let each = by_status.into_iter();
        each.map(|(status, kinds)| (status.to_string(), response(status, &kinds).into())).collect()
    }
}

fn response(status: u16, kinds: &BTreeSet<Kind>) -> Response {
    let lines = kinds.iter().map(|kind| format!("{} (`{}`).", kind.title(), kind.slug()));
    let slugs: Vec<_> = kinds.iter().map(|kind| kind.slug()).collect();
    let problem = Content::new(Some(Ref::from_schema_name("Problem")));
    let response = ResponseBuilder::new()
        .description(lines.collect::<Vec<_>>().join(" "))
        .content(CONTENT_TYPE, problem)
        .extensions(Some(Extensions::builder().add("x-problems", slugs).build()));
    let fields = fields(status).iter();
    let response = fields.fold(response, |response, (name, kind, about)| {
        let schema: Object = ObjectBuilder::new().schema_type(kind.clone()).build();
        let header = HeaderBuilder::new().schema(Some(schema)).description(Some(*about));
        response.header(*name, header.build())
    });
    response.build()
}

/// What comes in the head of a refusal with this status.
const fn fields(status: u16) -> &'static [(&'static str, Type, &'static str)] {
    const WAIT: (&str, Type, &str) =
        ("Retry-After", Type::Integer, "Seconds after which trying again makes sense.");
    match status {
        401 => &[("WWW-Authenticate", Type::String, "How to say who is calling (RFC 6750).")],
        429 => &[
            WAIT,
            ("RateLimit", Type::String, "What is left of the limit, and for how long."),
            ("RateLimit-Policy", Type::String, "The limit, and the time that it is about."),
        ],
        503 => &[WAIT],
        _ => &[],
    }
}

macro_rules! groups {
    ($($(#[$doc:meta])* $name:ident: $($kind:ident)+;)+) => {
        /// Members of [`Problems`].
        pub mod refuses {
            use contract::Kind;

            use super::Refuses;

            $(
                $(#[$doc])*
                #[derive(Debug)]
                pub enum $name {}

                impl Refuses for $name {
                    fn kinds() -> Vec<Kind> {
                        vec![$(Kind::$kind),+]
                    }
                }
            )+
        }
    };
}

groups! {
    /// A JSON body is read.
    Body: BadRequest BadJson Invalid BodyTooLarge UnsupportedMediaType;
    /// Parameters are read.
    Query: Invalid;
    /// The caller has to say who it is, and is not let in with everything.
    Token: Unauthenticated BadToken ExpiredToken RevokedToken Forbidden Unavailable;
    /// Something is looked up, or written, or made.
    Work: Internal Unavailable Overloaded;
    /// See [`Kind::Invalid`].
    Invalid: Invalid;
    /// See [`Kind::BadToken`].
    BadToken: BadToken;
    /// See [`Kind::ExpiredToken`].
    ExpiredToken: ExpiredToken;
    /// See [`Kind::WrongCredentials`].
    WrongCredentials: WrongCredentials;
    /// See [`Kind::Forbidden`].
    Forbidden: Forbidden;
    /// See [`Kind::NotFound`].
    NotFound: NotFound;
    /// See [`Kind::Taken`].
    Taken: Taken;
    /// See [`Kind::Gone`].
    Gone: Gone;
    /// See [`Kind::RateLimited`].
    RateLimited: RateLimited;
}

macro_rules! tuples {
    ($($($member:ident)+;)+) => {
        $(impl<$($member: Refuses),+> Refuses for ($($member,)+) {
            fn kinds() -> Vec<Kind> {
                [$($member::kinds()),+].concat()
            }
        })+
    };
}

tuples! { A B; A B C; A B C D; A B C D E; A B C D E F; A B C D E F G; }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_one_status_share_an_answer() {
        let responses = Problems::<(refuses::Body, refuses::Query, refuses::Taken)>::responses();
        let statuses: Vec<_> = responses.keys().map(String::as_str).collect();
        assert_eq!(statuses, ["400", "409", "413", "415"]);
        let json = serde_json::to_value(&responses["400"]).unwrap();
        let named = ["bad-request", "bad-json", "invalid"];
        assert_eq!(json["x-problems"], serde_json::json!(named));
    }

    #[test]
    fn a_refusal_for_now_says_when_to_come_again() {
        let responses = Problems::<refuses::RateLimited>::responses();
        let json = serde_json::to_value(&responses["429"]).unwrap();
        let fields: Vec<_> = json["headers"].as_object().unwrap().keys().collect();
        assert_eq!(fields, ["RateLimit", "RateLimit-Policy", "Retry-After"]);
    }
}
