//! What a case says: the bytes that a caller sends, what of them reaches the upstream, and what the
//! caller reads.

use std::time::Duration;

use crate::recorder::{Act, Script, When};
use crate::strict::{Asked, Fields, Message};

/// One hostile or odd request, or answer.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub name: &'static str,
    /// Of the 42 protocol rules.
    pub rules: &'static [u8],
    pub steps: Vec<Step>,
    pub scripts: Vec<Script>,
    /// The requests that reach the upstream, in order.
    pub wants: Vec<Want>,
    pub maybe: Maybe,
    pub after: After,
    pub cuts: Cuts,
}

/// Which way the gateway takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    General,
    Lean,
}

#[derive(Debug, Clone)]
pub(crate) enum Step {
    Send(Vec<u8>),
    Hear(Heard),
    /// What only one of the ways says.
    HearOn(Way, Heard),
    /// Lets the upstream's script go on, and waits until it tells.
    Cue,
    /// Reads on until these bytes are there, and leaves them to be heard.
    Await(&'static str),
    /// Is slow.
    Pause(Duration),
    /// Reads and expects just these bytes: behind a 101 there are no messages.
    Bytes(Vec<u8>),
    /// Says that nothing more comes.
    Shut,
}

/// What the upstream may also see, or not.
#[derive(Debug, Clone)]
pub(crate) enum Maybe {
    Nothing,
    /// The beginning of a request.
    Unfinished,
    /// This request, or its beginning.
    Whole(Want),
}

/// What becomes of the caller's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// The next request on it is answered.
    Usable,
    /// It is closed, and a request that was sent behind is not executed.
    Closed,
    /// It is closed; nothing is sent behind, because it would be read as something else.
    ClosedAlone,
}

/// How the caller's bytes are cut on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cuts {
    /// In one piece, at odd places, and byte by byte.
    All,
    /// In one piece: what is tested is about time, or about many bytes.
    None,
}

/// A request as the upstream has to see it.
#[derive(Debug, Clone)]
pub(crate) struct Want {
    pub line: String,
    pub checks: Vec<Check>,
    pub body: Vec<u8>,
    pub on: On,
}

/// Which connection to the upstream a request has to come on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum On {
    Any,
    New,
    Used,
}

/// An answer as the caller has to read it.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub status: u16,
    pub checks: Vec<Check>,
    pub body: Body,
    pub asked: Asked,
    pub before: Before,
}

/// What may be read before an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Before {
    Nothing,
    /// A 100, or nothing: the body came without waiting for it.
    PerhapsContinue,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Body {
    Any,
    Is(Vec<u8>),
    /// The gateway's own refusal.
    Problem,
    /// Delimited by the end of the connection.
    ToTheEnd(Vec<u8>),
    /// The caller can see that something is missing: the answer, or the rest of it.
    CutOff,
}

#[derive(Debug, Clone)]
pub(crate) enum Check {
    /// The field stands there once, with this value.
    Is(&'static str, String),
    /// The first line of the field is this.
    First(&'static str, &'static str),
    /// The field stands there in so many lines.
    All(&'static str, Vec<&'static str>),
    Lacks(&'static str),
    Has(&'static str),
}

/// Stands in a case for what the gateway calls itself in `Via`.
pub(crate) const ME: &str = "@gateway@";

/// A case in which nothing is expected yet.
pub(crate) fn case(name: &'static str, rules: &'static [u8], bytes: impl AsRef<[u8]>) -> Case {
    Case {
        name,
        rules,
        steps: vec![Step::Send(bytes.as_ref().to_vec())],
        scripts: Vec::new(),
        wants: Vec::new(),
        maybe: Maybe::Nothing,
        after: After::Usable,
        cuts: Cuts::All,
    }
}

impl Case {
    /// The gateway refuses it, nothing reaches the upstream, and the connection is closed.
    pub(crate) fn refused(self, status: u16) -> Self {
        self.hears(problem(status).is("connection", "close")).closes()
    }

    /// The gateway refuses it, nothing reaches the upstream, and the connection is usable.
    pub(crate) fn declined(self, status: u16) -> Self {
        self.hears(problem(status))
    }

    /// The upstream gets `want` and answers it.
    pub(crate) fn forwards(self, want: Want) -> Self {
        let heard = want.echo();
        self.reaches(want).hears(heard)
    }

    pub(crate) fn reaches(mut self, want: Want) -> Self {
        self.wants.push(want);
        self
    }

    /// The upstream may also see the beginning of a request.
    pub(crate) fn may_break_off(mut self) -> Self {
        self.maybe = Maybe::Unfinished;
        self
    }

    /// The upstream may also see `want`, or its beginning.
    pub(crate) fn may_reach(mut self, want: Want) -> Self {
        self.maybe = Maybe::Whole(want);
        self
    }

    pub(crate) fn sends(self, bytes: impl AsRef<[u8]>) -> Self {
        self.step(Step::Send(bytes.as_ref().to_vec()))
    }

    pub(crate) fn hears(self, heard: Heard) -> Self {
        self.step(Step::Hear(heard))
    }

    /// What only one of the ways says.
    pub(crate) fn hears_on(self, way: Way, heard: Heard) -> Self {
        self.step(Step::HearOn(way, heard))
    }

    pub(crate) fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// What the upstream does at a whole request for `target`, the first time.
    pub(crate) fn script(self, target: &'static str, acts: impl Into<Vec<Act>>) -> Self {
        self.script_at(When::Whole, target, acts)
    }

    pub(crate) fn script_at(
        mut self,
        when: When,
        target: &'static str,
        acts: impl Into<Vec<Act>>,
    ) -> Self {
        self.scripts.push(Script { target, when, acts: acts.into() });
        self
    }

    pub(crate) fn closes(mut self) -> Self {
        self.after = After::Closed;
        self
    }

    pub(crate) fn closes_alone(mut self) -> Self {
        self.after = After::ClosedAlone;
        self
    }

    pub(crate) fn whole(mut self) -> Self {
        self.cuts = Cuts::None;
        self
    }
}

/// A request as the upstream has to see it: `line` without its version.
pub(crate) fn want(line: &str) -> Want {
    let line = format!("{line} HTTP/1.1");
    Want { line, checks: Vec::new(), body: Vec::new(), on: On::Any }
}

impl Want {
    pub(crate) fn is(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.checks.push(Check::Is(name, value.into()));
        self
    }

    pub(crate) fn all(mut self, name: &'static str, values: &[&'static str]) -> Self {
        self.checks.push(Check::All(name, values.to_vec()));
        self
    }

    pub(crate) fn first(mut self, name: &'static str, value: &'static str) -> Self {
        self.checks.push(Check::First(name, value));
        self
    }

    pub(crate) fn lacks(mut self, names: &[&'static str]) -> Self {
        self.checks.extend(names.iter().copied().map(Check::Lacks));
        self
    }

    pub(crate) fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        self
    }

    pub(crate) fn on(mut self, on: On) -> Self {
        self.on = on;
        self
    }

    /// What the upstream says to it when it has no script.
    pub(crate) fn echo(&self) -> Heard {
        let asked = self.line.trim_end_matches(" HTTP/1.1");
        if asked.starts_with("HEAD ") {
            return heard(200).by_head().is("content-length", asked.len().to_string());
        }
        heard(200).body(asked)
    }
}

/// An answer with any body.
pub(crate) fn heard(status: u16) -> Heard {
    let (asked, before) = (Asked::Plainly, Before::Nothing);
    Heard { status, checks: Vec::new(), body: Body::Any, asked, before }
}

/// A refusal of the gateway's own.
pub(crate) fn problem(status: u16) -> Heard {
    Heard { body: Body::Problem, ..heard(status) }
}

/// An answer that breaks off, or none.
pub(crate) fn cut_off() -> Heard {
    Heard { body: Body::CutOff, ..heard(200) }
}

impl Heard {
    pub(crate) fn is(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.checks.push(Check::Is(name, value.into()));
        self
    }

    pub(crate) fn all(mut self, name: &'static str, values: &[&'static str]) -> Self {
        self.checks.push(Check::All(name, values.to_vec()));
        self
    }

    pub(crate) fn has(mut self, name: &'static str) -> Self {
        self.checks.push(Check::Has(name));
        self
    }

    pub(crate) fn lacks(mut self, names: &[&'static str]) -> Self {
        self.checks.extend(names.iter().copied().map(Check::Lacks));
        self
    }

    pub(crate) fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = Body::Is(body.as_ref().to_vec());
        self
    }

    pub(crate) fn until_close(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = Body::ToTheEnd(body.as_ref().to_vec());
        self
    }

    pub(crate) fn perhaps_behind_100(mut self) -> Self {
        self.before = Before::PerhapsContinue;
        self
    }

    pub(crate) fn by_head(mut self) -> Self {
        self.asked = Asked::ByHead;
        self
    }
}

impl Check {
    /// Whether `fields` are as they have to be, or how they are not.
    pub(crate) fn of(&self, fields: &Fields) -> Result<(), String> {
        let found = |name| fields.all(name).collect::<Vec<_>>();
        let (holds, name) = match self {
            Self::Is(name, value) => (found(name) == [value.as_str()], name),
            Self::All(name, values) => (found(name) == *values, name),
            Self::First(name, value) => (found(name).first() == Some(value), name),
            Self::Lacks(name) => (!fields.has(name), name),
            Self::Has(name) => (fields.has(name), name),
        };
        if holds { Ok(()) } else { Err(format!("{self:?}, but there is {:?}", found(name))) }
    }
}

impl Want {
    /// Whether `message` is this one.
    pub(crate) fn matches(&self, message: &Message) -> Result<(), String> {
        if message.line != self.line {
            return Err(format!("wanted {:?}, but there is {:?}", self.line, message.line));
        }
        if message.body != self.body {
            let text = String::from_utf8_lossy(&message.body);
            return Err(format!(
                "wanted {} bytes of body, but there are {}: {text:.200}",
                self.body.len(),
                message.body.len()
            ));
        }
        self.checks.iter().try_for_each(|check| check.of(&message.fields))
    }
}

/// A GET of `/open/a` with more `fields`, each with its CR LF.
pub(crate) fn get(fields: &str) -> String {
    format!("GET /open/a HTTP/1.1\r\nHost: hub\r\n{fields}\r\n")
}

/// A GET of `target`.
pub(crate) fn get_of(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: hub\r\n\r\n")
}

/// A POST to `/open/a` with more `fields`, each with its CR LF, and `body` as it is.
pub(crate) fn post(fields: &str, body: &str) -> String {
    format!("POST /open/a HTTP/1.1\r\nHost: hub\r\n{fields}\r\n{body}")
}
