//! The rules of HTTP as an upstream and a caller can see them kept: hostile and odd requests and
//! answers, each with a name, on both ways. What the upstream received is the verdict.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod alike;
mod answers;
mod bodiless;
mod case;
mod chunks;
mod framing;
mod hearing;
mod hops;
mod hosts;
mod identity;
#[path = "../component/issuer.rs"]
mod issuer;
mod lines;
mod methods;
mod old;
mod paths;
mod pipelines;
mod recorder;
mod reuse;
mod run;
mod slow;
mod strict;
#[expect(dead_code, reason = "the component tests use the rest")]
#[path = "../component/support.rs"]
mod support;
mod upgrades;

/// Fewer would be too few.
const NAMES_MIN: usize = 300;

#[test]
fn every_case_has_a_name_of_its_own() {
    let groups = [
        answers::cases,
        bodiless::cases,
        chunks::cases,
        framing::cases,
        hops::cases,
        hosts::cases,
        identity::cases,
        lines::cases,
        methods::cases,
        old::cases,
        paths::cases,
        pipelines::cases,
        reuse::cases,
        slow::cases,
        upgrades::cases,
    ];
    let mut names = std::collections::HashSet::new();
    for case in groups.iter().flat_map(|cases| cases("a.b.c")) {
        assert!(names.insert(case.name), "{} is there twice", case.name);
        assert!(case.rules.iter().all(|rule| (1..=42).contains(rule)), "{}", case.name);
    }
    assert!(names.len() >= NAMES_MIN, "only {}", names.len());
}
