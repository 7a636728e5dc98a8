//! The two ways beside each other: whatever bytes of the fuzzing corpus a caller sends, both let the same
//! requests through and say the same statuses, and whatever an upstream answers, both make the same of it.

use std::collections::VecDeque;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tokio::task::JoinSet;

use crate::case::Way;
use crate::hearing::Caller;
use crate::recorder::{Act, Recorder, Saw, Script, When};
use crate::strict::{self, Asked, Message, Progress};
use crate::support::{Gateway, gateway};

/// Upstreams, each with a gateway of either kind, that work side by side.
const LANES: usize = 6;
/// Sent behind everything, so that the gateway ends the connection.
const LAST: &[u8] = b"GET /open/last HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n";
/// So short that what is never complete is soon given up.
const SETTINGS: [&str; 4] = [
    "gateway.threads=1",
    "gateway.limits.head_timeout=1s",
    "gateway.limits.keep_alive_timeout=1s",
    "gateway.limits.body_idle_timeout=1s",
];
/// Fields that are new for every request, or for every gateway.
const NEW: [&str; 4] = ["x-request-id", "traceparent", "via", "date"];
/// Files whose answers the two ways take differently: hyper passes over interim answers without a
/// bound.
const DIFFER: [&str; 1] = ["interim-without-end"];

#[tokio::test]
async fn both_ways_let_the_same_requests_through() {
    let (faults, reached) = everything("request", Kind::Requests).await;
    assert!(faults.is_empty(), "{} differ:\n\n{}", faults.len(), faults.join("\n"));
    assert!(reached > 10, "hardly anything reached an upstream");
}

#[tokio::test]
async fn both_ways_make_the_same_of_answers() {
    let (faults, heard) = everything("answer", Kind::Answers).await;
    assert!(faults.is_empty(), "{} differ:\n\n{}", faults.len(), faults.join("\n"));
    assert!(heard > 10, "hardly anything was answered");
}

/// What a file of the corpus is.
#[derive(Clone, Copy)]
enum Kind {
    Requests,
    Answers,
}

/// Runs every file of a corpus on both ways; gives what differs, and how much went through.
async fn everything(name: &str, kind: Kind) -> (Vec<String>, usize) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let files: VecDeque<_> = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| !DIFFER.iter().any(|name| path.ends_with(name)))
        .collect();
    assert!(files.len() > 10, "the corpus is gone");
    let files = Arc::new(Mutex::new(files));
    let mut lanes = JoinSet::new();
    for _ in 0..LANES {
        lanes.spawn(Lane::run(files.clone(), kind));
    }
    let (faults, through): (Vec<_>, Vec<_>) = lanes.join_all().await.into_iter().unzip();
    (faults.concat(), through.iter().sum())
}

/// An upstream, and a gateway of either kind before it.
struct Lane {
    upstream: Recorder,
    lean: Gateway,
    general: Gateway,
}

/// What became of some bytes.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    /// What the caller heard, as far as it is of interest.
    heard: Vec<String>,
    /// The whole requests that the upstream saw.
    requests: Vec<String>,
}

impl Lane {
    async fn start() -> Self {
        let upstream = Recorder::start().await;
        let lean = start(upstream.address, Way::Lean).await;
        let general = start(upstream.address, Way::General).await;
        Self { upstream, lean, general }
    }

    /// Runs `files`, as long as there are any; gives what differs, and how much went through.
    async fn run(files: Arc<Mutex<VecDeque<PathBuf>>>, kind: Kind) -> (Vec<String>, usize) {
        let lane = Self::start().await;
        let (mut faults, mut through) = (Vec::new(), 0);
        loop {
            let Some(file) = files.lock().unwrap().pop_front() else { return (faults, through) };
            let bytes = fs::read(&file).unwrap();
            let lean = lane.outcome(&lane.lean, &bytes, kind).await;
            let general = lane.outcome(&lane.general, &bytes, kind).await;
            through += match kind {
                Kind::Requests => lean.requests.iter().filter(|one| !one.contains("/last")).count(),
                Kind::Answers => lean.heard.iter().filter(|one| one.contains("200")).count(),
            };
            if lean != general {
                let name = file.display();
                faults.push(format!("=== {name}\nlean: {lean:#?}\ngeneral: {general:#?}"));
            }
        }
    }

    async fn outcome(&self, gateway: &Gateway, bytes: &[u8], kind: Kind) -> Outcome {
        let mut caller = Caller::connect(&gateway.running.address.to_string()).await;
        match kind {
            Kind::Requests => caller.send(&[&[bytes, LAST].concat()]).await,
            Kind::Answers => {
                let acts = vec![Act::Send(bytes.to_vec()), Act::Close];
                let script = Script { target: "/last", when: When::Whole, acts };
                self.upstream.follow(vec![script]);
                caller.send(&[LAST]).await;
            }
        }
        // How the connection ends is not of interest, but what came before that.
        caller.end().await.ok();
        let heard = match kind {
            Kind::Requests => statuses(bytes, &caller.everything),
            Kind::Answers => answers(&caller.everything),
        };
        let requests = self.upstream.take().await.0.iter().filter_map(whole).collect();
        Outcome { heard, requests }
    }
}

async fn start(upstream: SocketAddr, way: Way) -> Gateway {
    let lean = format!("gateway.lean_way={}", way == Way::Lean);
    let settings: Vec<_> = SETTINGS.into_iter().chain([lean.as_str()]).collect();
    gateway(upstream, &settings).await
}

/// The statuses in what a caller heard after it had sent `bytes`.
fn statuses(bytes: &[u8], mut heard: &[u8]) -> Vec<String> {
    let mut asked = if bytes.starts_with(b"HEAD ") { Asked::ByHead } else { Asked::Plainly };
    let mut statuses = Vec::new();
    while let Ok(Progress::Whole(message, length)) = strict::answer(heard, asked) {
        statuses.extend(strict::status(&message.line).map(|status| status.to_string()));
        heard = &heard[length..];
        asked = Asked::Plainly;
    }
    statuses
}

/// What a caller heard, to the byte; of a refusal its status alone.
fn answers(mut heard: &[u8]) -> Vec<String> {
    let mut answers = Vec::new();
    loop {
        match strict::answer(heard, Asked::Plainly) {
            Ok(Progress::Whole(message, length)) if message.line.starts_with("HTTP/1.1 1") => {
                // hyper has no way to write it (rule 26).
                heard = &heard[length..];
            }
            Ok(Progress::Whole(message, length)) => {
                let is_refusal =
                    message.fields.one("content-type") == Some("application/problem+json");
                answers.push(if is_refusal { message.line } else { text(&message) });
                heard = &heard[length..];
            }
            Ok(Progress::Head) if heard.is_empty() && !answers.is_empty() => return answers,
            Ok(Progress::Head | Progress::Body(_)) => {
                answers.push("cut off".to_owned());
                return answers;
            }
            Ok(Progress::UntilClose(_)) => panic!("the caller cannot tell the end of {heard:?}"),
            Err(why) => {
                answers.push(format!("no HTTP: {why}"));
                return answers;
            }
        }
    }
}

/// A whole request as far as both ways have to agree on it. What breaks off is never complete on
/// either, but how much of it went up is a matter of moments.
fn whole(saw: &Saw) -> Option<String> {
    match saw {
        Saw::Whole(request) => Some(text(&request.message)),
        Saw::Unfinished(_) => None,
        Saw::Broken { why, .. } => panic!("the upstream got no HTTP: {why}"),
    }
}

/// A message without what is new in each, its fields in one order.
fn text(message: &Message) -> String {
    let Message { line, fields, body } = message;
    // hyper writes no length where it writes no body, but for HEAD.
    let is_unwritten = |name: &str| name == "content-length" && line.starts_with("HTTP/1.1 304");
    let is_new = |name: &str| NEW.contains(&name) || is_unwritten(name);
    let mut values: Vec<_> = fields.names().filter(|name| !is_new(name)).collect();
    values.sort_unstable();
    values.dedup();
    let values: Vec<_> =
        values.iter().map(|name| (name, fields.all(name).collect::<Vec<_>>())).collect();
    format!("{line} {values:?} {:?}", body.escape_ascii().to_string())
}
