//! Whether the time of an answer tells a stranger who has an account. Every call comes from an address
//! and names an account of its own, so that no limit is reached; known and unknown take turns, and who
//! begins changes.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use super::logins::make;
use super::samples::Comparison;
use super::service::{Callers, Service, email, name, phone};
use super::waits::Waits;
use crate::Outcome;
use crate::table::Table;

/// The numbers of accounts that there are not begin here.
const UNKNOWN: usize = 1_000_000;
/// Callers' addresses, one after the other, begin here.
const ADDRESSES: usize = 2_000_000;
/// Calls that only warm up.
const WARM_UP: usize = 8;
/// How far the medians may lie apart.
const GOAL: f64 = 0.05;
/// Where codes are written, in the data folder.
const CODES: &str = "phone-codes.txt";
/// Between two looks whether all codes were sent.
const PAUSE: Duration = Duration::from_millis(20);

/// A call that names somebody.
struct Way {
    name: &'static str,
    path: &'static str,
    /// For account number so many.
    body: fn(usize) -> Value,
    status: u16,
}

const WAYS: [Way; 5] = [
    Way {
        name: "sign-in by user name",
        path: "/api/login",
        body: |number| json!({"username": name(number), "password": "a wrong one"}),
        status: 401,
    },
    Way {
        name: "sign-in by e-mail",
        path: "/api/login",
        body: |number| json!({"email": email(number), "password": "a wrong one"}),
        status: 401,
    },
    Way {
        name: "sign-in by phone",
        path: "/api/login",
        body: |number| json!({"phone": phone(number), "password": "a wrong one"}),
        status: 401,
    },
    Way {
        name: "forgotten password",
        path: "/api/forgot-password",
        body: |number| json!({"email": email(number)}),
        status: 202,
    },
    Way {
        name: "wrong phone code",
        path: "/api/otp/verify",
        body: |number| json!({"phone": phone(number), "code": "000000"}),
        status: 401,
    },
];

/// Measures, and gives the report.
pub(crate) async fn run(samples: usize) -> Outcome<String> {
    let service = Service::start(tempfile::tempdir()?, "")?;
    make(&service.callers, samples).await?;
    ask_for_codes(&service, samples).await?;
    let mut text = String::from("Accounts and nobody, told apart by time (user service, SQLite)\n");
    writeln!(text, "  {samples} calls each, known and unknown in turns, one at a time\n")?;
    let heading = ["", "known ms", "unknown ms", "ratio", "95 % of ratios", "known slower", "z"];
    let mut table = Table::new(heading);
    let mut verdicts = String::new();
    let mut address = ADDRESSES;
    for way in &WAYS {
        let [known, unknown] = turns(&service.callers, way, samples, &mut address).await?;
        let found = Comparison::of(&known.millis(), &unknown.millis());
        table.row(cells(way, &found));
        let fits = (found.ratio - 1.0).abs() <= GOAL;
        let verdict = if fits { "within 5 %" } else { "NOT within 5 %" };
        writeln!(verdicts, "  {}: medians {verdict}", way.name)?;
    }
    writeln!(text, "{}", table.text())?;
    writeln!(
        text,
        "  known slower: of all pairs; 0.50 is no difference. z beyond 2 or -2 is hardly chance."
    )?;
    Ok(text + &verdicts)
}

fn cells(way: &Way, found: &Comparison) -> [String; 7] {
    let [known, unknown] = found.medians.map(|median| format!("{median:.3}"));
    let [from, to] = found.between;
    [
        way.name.to_owned(),
        known,
        unknown,
        format!("{:.3}", found.ratio),
        format!("{from:.3} to {to:.3}"),
        format!("{:.2}", found.greater),
        format!("{:.1}", found.z),
    ]
}

async fn turns(
    callers: &Callers,
    way: &Way,
    samples: usize,
    address: &mut usize,
) -> Outcome<[Waits; 2]> {
    let mut call = async |number: usize| {
        *address += 1;
        let answer = callers.post(way.path, &(way.body)(number), *address, way.status).await?;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(answer.took)
    };
    for number in 0..WARM_UP {
        call(UNKNOWN * 2 + number).await?;
    }
    let mut waits = [Waits::default(), Waits::default()];
    for sample in 0..samples {
        // Who is behind whom shall not tell either.
        let order = if sample % 2 == 0 { [0, 1] } else { [1, 0] };
        for side in order {
            let took = call(sample + side * UNKNOWN).await?;
            waits[side].add(took);
        }
    }
    Ok(waits)
}

/// Has a code sent to every known number, and waits until all are.
async fn ask_for_codes(service: &Service, count: usize) -> Outcome<()> {
    for number in 0..count {
        let body = json!({"phone": phone(number)});
        service.callers.post("/api/otp", &body, number, 202).await?;
    }
    let file = service.folder.path().join(CODES);
    loop {
        let sent = std::fs::read_to_string(&file).unwrap_or_default();
        if sent.lines().count() >= count {
            return Ok(());
        }
        sleep(PAUSE).await;
    }
}
