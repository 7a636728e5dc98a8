//! Bold properties: messages made of good and odd pieces, then damaged, and a kept corpus. The long form
//! is `PROPTEST_CASES=200000 cargo nextest run -p gateway --release against_hyper`.

mod damage;
mod messages;
mod pieces;

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::message::{End, Reading};
use super::ours::{Of, read};
use crate::route::Method;
use damage::{Literal, damaged};
use messages::{answers, bodies, requests};

/// Fewer find little.
const CASES_MIN: u32 = 1500;

proptest! {
    // What was found once is kept in the corpus, where fuzzing finds it as well.
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases.max(CASES_MIN),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn requests_are_read_as_hyper_reads_them(bytes in damaged(requests())) {
        super::request(&bytes.0);
    }

    #[test]
    fn answers_are_read_as_hyper_reads_them(bytes in damaged(answers())) {
        super::answer(&bytes.0);
    }

    #[test]
    fn chunked_bodies_are_walked_as_hyper_walks_them(bytes in damaged(bodies())) {
        super::chunks(&bytes.0);
    }

    #[test]
    fn no_bytes_at_all_make_a_reader_fail(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        super::request(&bytes);
        super::answer(&bytes);
        super::chunks(&bytes);
    }
}

#[test]
fn the_kept_corpus_is_read_as_hyper_reads_it() {
    let readers: [fn(&[u8]); 3] = [super::request, super::answer, super::chunks];
    for (name, reader) in ["request", "answer", "chunks"].into_iter().zip(readers) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
        let mut files = 0;
        for file in fs::read_dir(folder).unwrap() {
            reader(&fs::read(file.unwrap().path()).unwrap());
            files += 1;
        }
        assert!(files > 10, "the corpus of {name} is gone");
    }
}

/// Properties that only ever see what is refused would say nothing.
#[test]
fn enough_of_what_is_made_is_accepted_and_enough_refused() {
    let is_request = |bytes: &[u8]| is_good(&read(Of::Requests, &[bytes]));
    let is_answer = |bytes: &[u8]| is_good(&read(Of::Answer(Method::Get), &[bytes]));
    let is_body = |bytes: &[u8]| super::walk(&[bytes]).is_ok_and(|(_, is_done)| is_done);
    for (what, share) in [
        ("requests", share(damaged(requests()), is_request)),
        ("answers", share(damaged(answers()), is_answer)),
        ("bodies", share(damaged(bodies()), is_body)),
    ] {
        assert!((15..=85).contains(&share), "{share} of 100 {what} are accepted");
    }
}

fn is_good(reading: &Reading) -> bool {
    reading.messages.iter().any(|message| message.end == End::Whole)
}

/// How many of a hundred are good.
fn share(made: impl Strategy<Value = Literal>, is_good: impl Fn(&[u8]) -> bool) -> usize {
    let mut runner = TestRunner::deterministic();
    let mut bytes = || made.new_tree(&mut runner).unwrap().current().0;
    (0..400).filter(|_| is_good(&bytes())).count() / 4
}
