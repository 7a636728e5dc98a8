//! Runs the cases of a group on both ways, cut in several manners, and tells of everything that is
//! not as it has to be at once.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use tokio::task::JoinSet;

use crate::case::{After, Case, Check, Cuts, ME, Maybe, On, Step, Want, Way, want};
use crate::hearing::{Caller, text};
use crate::issuer::Issuer;
use crate::recorder::{Act, Recorder, Request, Saw, Script};
use crate::support::{Gateway, Upstream, gateway};

/// Pairs of a gateway and an upstream that work side by side on each way; a pair runs one case at a
/// time, so that all that its upstream sees belongs to that case.
const LANES: usize = 6;
/// Longest request that is also sent byte by byte.
const BYTEWISE_MAX: usize = 1500;
/// Words of what must never come out on the other side, in lower case.
const SMUGGLED: [&str; 2] = ["smuggled", "poison"];
/// What no request to an upstream may have.
const NEVER: [&str; 9] = [
    "expect",
    "forwarded",
    "http2-settings",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "x-forwarded-port",
    "x-real-ip",
];
/// What every request to an upstream has once.
const ONCE: [&str; 5] =
    ["host", "traceparent", "x-forwarded-for", "x-forwarded-proto", "x-request-id"];
/// Sent behind a case, on its connection.
const NEXT: &str = "GET /open/next HTTP/1.1\r\nHost: hub\r\n\r\n";

/// How a case's bytes are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Cut {
    Whole,
    Odd,
    Bytewise,
}

/// A gateway and its upstream.
struct Lane {
    gateway: Gateway,
    upstream: Recorder,
    way: Way,
    /// What the gateway calls itself.
    name: String,
    turns: usize,
}

/// Runs `cases` on gateways with `settings`; a case may have a token of the user `ada`.
pub(crate) async fn run(settings: &'static [&'static str], cases: fn(token: &str) -> Vec<Case>) {
    let issuer = Issuer::new("k");
    let token = issuer.token(600, &[]);
    let keys = Upstream::answering(Issuer::answer(&[&issuer])).await.address;
    let mut lanes = JoinSet::new();
    for way in [Way::General, Way::Lean] {
        let queue = Arc::new(Mutex::new(VecDeque::from(cases(&token))));
        for _ in 0..LANES {
            let (queue, token) = (queue.clone(), token.clone());
            lanes.spawn(async move {
                let mut lane = Lane::start(way, settings, &keys.to_string(), &token).await;
                let mut faults = Vec::new();
                loop {
                    let Some(case) = queue.lock().unwrap().pop_front() else { return faults };
                    faults.extend(lane.case(&case).await);
                }
            });
        }
    }
    let faults = lanes.join_all().await.concat();
    assert!(faults.is_empty(), "{} wrong:\n\n{}", faults.len(), faults.join("\n"));
}

impl Lane {
    async fn start(way: Way, settings: &[&str], keys: &str, token: &str) -> Self {
        let upstream = Recorder::start().await;
        let lean = format!("gateway.lean_way={}", way == Way::Lean);
        let keys = format!("gateway.auth.jwks_url=http://{keys}/");
        let mut all = vec!["gateway.threads=1", lean.as_str(), keys.as_str()];
        all.extend(settings);
        let gateway = gateway(upstream.address, &all).await;
        // The keys are there when a token is known.
        assert_eq!(gateway.get_as("/api/messages", token).await.status, 200);
        let Some(Saw::Whole(first)) = upstream.take().await.0.pop() else { panic!("no request") };
        let via = first.message.fields.one("via").unwrap();
        // From here on a connection is kept, and every case begins on one that was used before.
        assert_eq!(gateway.get("/open/first").await.status, 200);
        upstream.take().await.1.unwrap();
        let name = via.trim_start_matches("1.1 ").to_owned();
        Self { gateway, upstream, way, name, turns: 0 }
    }

    /// `bytes` with the gateway's own name where it has to stand.
    fn named(&self, bytes: &[u8]) -> Vec<u8> {
        match std::str::from_utf8(bytes) {
            Ok(text) if text.contains(ME) => text.replace(ME, &self.name).into_bytes(),
            Ok(_) | Err(_) => bytes.to_vec(),
        }
    }

    /// Everything that is wrong with `case`.
    async fn case(&mut self, case: &Case) -> Vec<String> {
        let mut faults = Vec::new();
        let cuts: &[Cut] = match case.cuts {
            Cuts::None => &[Cut::Whole],
            Cuts::All if case.length() > BYTEWISE_MAX => &[Cut::Whole, Cut::Odd],
            Cuts::All => &[Cut::Whole, Cut::Odd, Cut::Bytewise],
        };
        for cut in cuts {
            if let Err(why) = self.turn(case, *cut).await {
                let Case { name, rules, .. } = case;
                let way = self.way;
                faults.push(format!("=== {name} (rules {rules:?}, {way:?}, {cut:?})\n{why}\n"));
            }
        }
        faults
    }

    async fn turn(&mut self, case: &Case, cut: Cut) -> Result<(), String> {
        self.upstream.follow(case.scripts.iter().map(|script| cut_up(script, cut)).collect());
        let mut caller = Caller::connect(&self.gateway.running.address.to_string()).await;
        let played = self.play(case, cut, &mut caller).await;
        let heard = std::mem::take(&mut caller.everything);
        drop(caller);
        // Whatever a case left behind, others are served as ever.
        self.turns += 1;
        let number = self.turns;
        let mut other = Caller::connect(&self.gateway.running.address.to_string()).await;
        let request = format!("GET /open/other-{number} HTTP/1.1\r\nHost: hub\r\n\r\n");
        other.send(&[request.as_bytes()]).await;
        let last = want(&format!("GET /other-{number}"));
        let other_heard = other.hear(&last.echo()).await;
        let (saw, settled) = self.upstream.take().await;
        let mut wants: Vec<_> = case.wants.iter().collect();
        let next = want("GET /next");
        if case.after == After::Usable {
            wants.push(&next);
        }
        wants.push(&last);
        let verdict = played
            .and_then(|()| unheard(&heard))
            .and_then(|()| other_heard.map_err(|why| format!("another caller: {why}")))
            .and_then(|()| judge(&saw, &wants, &case.maybe))
            .and(settled);
        verdict.map_err(|why| format!("{why}\n{}", shown(&saw)))
    }

    /// Does the steps of `case`.
    async fn play(&self, case: &Case, cut: Cut, caller: &mut Caller) -> Result<(), String> {
        let is_ahead = match case.after {
            After::Usable => cut != Cut::Whole,
            After::Closed => true,
            After::ClosedAlone => false,
        };
        let is_send = |step: &Step| matches!(step, Step::Send(_));
        let last = case.steps.iter().rposition(is_send);
        for (index, step) in case.steps.iter().enumerate() {
            match step {
                Step::Send(bytes) => {
                    let next = if is_ahead && last == Some(index) { NEXT } else { "" };
                    send(caller, &self.named(bytes), next, cut).await;
                }
                Step::Hear(heard) => caller.hear(heard).await?,
                Step::HearOn(way, heard) if *way == self.way => caller.hear(heard).await?,
                Step::HearOn(..) => {}
                Step::Cue => self.upstream.cue().await,
                Step::Await(bytes) => caller.wait_for(bytes).await?,
                Step::Pause(time) => tokio::time::sleep(*time).await,
                Step::Bytes(bytes) => caller.bytes(bytes).await?,
                Step::Shut => caller.shut().await,
            }
        }
        if case.after == After::Usable {
            if !is_ahead {
                caller.send(&[NEXT.as_bytes()]).await;
            }
            let heard = caller.hear(&want("GET /next").echo()).await;
            heard.map_err(|why| format!("the next request: {why}"))?;
            caller.shut().await;
        }
        caller.end().await
    }
}

impl Case {
    fn length(&self) -> usize {
        let length = |step: &Step| if let Step::Send(bytes) = step { bytes.len() } else { 0 };
        self.steps.iter().map(length).sum()
    }
}

/// Where `bytes` are cut.
fn places(bytes: &[u8], cut: Cut) -> Vec<usize> {
    match cut {
        Cut::Whole => Vec::new(),
        Cut::Odd if bytes.len() < 2 => Vec::new(),
        Cut::Odd => vec![bytes.len() / 2, bytes.len() - 1],
        Cut::Bytewise => (1..bytes.len()).collect(),
    }
}

/// `bytes`, cut at `places`.
fn pieces<'a>(bytes: &'a [u8], places: &[usize]) -> Vec<&'a [u8]> {
    let ends = places.iter().copied().chain([bytes.len()]);
    let starts = [0].into_iter().chain(places.iter().copied());
    starts.zip(ends).map(|(start, end)| &bytes[start..end]).collect()
}

/// `script`, which sends what it sends in pieces.
fn cut_up(script: &Script, cut: Cut) -> Script {
    let mut acts = Vec::new();
    for act in &script.acts {
        let Act::Send(bytes) = act else {
            acts.push(act.clone());
            continue;
        };
        let cut = if bytes.len() > BYTEWISE_MAX { Cut::Odd.min(cut) } else { cut };
        for (index, piece) in pieces(bytes, &places(bytes, cut)).into_iter().enumerate() {
            if index > 0 && cut == Cut::Odd {
                acts.push(Act::Rest);
            }
            acts.push(Act::Send(piece.to_vec()));
        }
    }
    Script { acts, ..*script }
}

/// Sends `bytes`, cut, and `next` in one piece with the last of them.
async fn send(caller: &mut Caller, bytes: &[u8], next: &str, cut: Cut) {
    let places = places(bytes, cut);
    let all = [bytes, next.as_bytes()].concat();
    caller.send(&pieces(&all, &places)).await;
}

/// Nothing came back that was never meant for a caller.
fn unheard(heard: &[u8]) -> Result<(), String> {
    let lower = String::from_utf8_lossy(heard).to_lowercase();
    match SMUGGLED.iter().find(|word| lower.contains(*word)) {
        Some(word) => Err(format!("the caller read {word:?} in {:?}", text(heard))),
        None => Ok(()),
    }
}

/// Whether the upstream saw what it had to see, and nothing else but what it may see.
fn judge(saw: &[Saw], wants: &[&Want], maybe: &Maybe) -> Result<(), String> {
    let mut wants = wants.iter();
    for saw in saw {
        match (saw, maybe) {
            (Saw::Broken { why, .. }, _) => return Err(format!("the upstream got no HTTP: {why}")),
            (Saw::Unfinished(_), Maybe::Nothing) => {
                return Err("the upstream saw a part of a request".to_owned());
            }
            (Saw::Unfinished(bytes), Maybe::Unfinished | Maybe::Whole(_)) => clean(bytes)?,
            (Saw::Whole(request), Maybe::Whole(want)) if request.message.line == want.line => {
                fits(want, request)?;
            }
            (Saw::Whole(request), _) => {
                let want = wants.next().ok_or("the upstream saw a request too many")?;
                fits(want, request)?;
            }
        }
    }
    let missing: Vec<_> = wants.map(|want| &want.line).collect();
    if missing.is_empty() { Ok(()) } else { Err(format!("the upstream never saw {missing:?}")) }
}

fn fits(want: &Want, request: &Request) -> Result<(), String> {
    want.matches(&request.message)?;
    clean(&request.bytes)?;
    let fields = &request.message.fields;
    NEVER.iter().try_for_each(|name| Check::Lacks(name).of(fields))?;
    for name in ONCE {
        if fields.all(name).count() != 1 {
            return Err(format!("not exactly one {name}"));
        }
    }
    Check::Is("x-forwarded-for", "127.0.0.1".into()).of(fields)?;
    if !fields.all("via").last().is_some_and(|via| via.starts_with("1.1 hubbub-")) {
        return Err("the gateway does not say in Via that it was here".to_owned());
    }
    if let Some(name) = fields.names().find(|name| name.contains('_')) {
        return Err(format!("{name} can be taken for another"));
    }
    if !fields.all("connection").all(|value| value == "upgrade") {
        return Err("an odd connection field".to_owned());
    }
    match (want.on, request.is_reused) {
        (On::Any, _) | (On::New, false) | (On::Used, true) => Ok(()),
        (On::New, true) => Err("it came on a connection that had others before".to_owned()),
        (On::Used, false) => Err("it came on a new connection".to_owned()),
    }
}

/// Nothing reached the upstream that was never meant for it.
fn clean(bytes: &[u8]) -> Result<(), String> {
    let lower = String::from_utf8_lossy(bytes).to_lowercase();
    match SMUGGLED.iter().find(|word| lower.contains(*word)) {
        Some(word) => Err(format!("the upstream saw {word:?}")),
        None => Ok(()),
    }
}

/// Everything that the upstream saw, for whoever has to find out why.
fn shown(saw: &[Saw]) -> String {
    let mut out = "    the upstream saw:\n".to_owned();
    for saw in saw {
        let (what, bytes) = match saw {
            Saw::Whole(request) => ("whole", &request.bytes),
            Saw::Unfinished(bytes) => ("unfinished", bytes),
            Saw::Broken { bytes, why } => (why.as_str(), bytes),
        };
        writeln!(out, "      {what}: {:?}", text(bytes)).unwrap();
    }
    out
}
