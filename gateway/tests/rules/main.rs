//! The rules of HTTP as an upstream and a caller can see them kept: hostile and odd requests and
//! answers, each with a name, on both ways. What the upstream received is the verdict.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod case;
mod chunks;
mod framing;
mod hearing;
mod hops;
mod hosts;
mod identity;
mod lines;
mod paths;
mod recorder;
mod run;
mod strict;
#[expect(dead_code, reason = "the component tests use the rest")]
#[path = "../component/support.rs"]
mod support;
