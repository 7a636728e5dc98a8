//! Signing in by a code that is sent to a telephone.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use futures_util::future::join_all;
use harness::{Engine, on_both_engines};
use reqwest::Method;
use serde_json::{Value, json};

use crate::letters::{Log, code, codes};
use crate::support::{Answer, Spoke, access, account, answer, settings, spoke};

const PHONE: &str = "+4930123456";

on_both_engines!(
    the_first_code_makes_an_account_and_later_ones_open_it,
    a_page_gets_the_session_in_a_cookie,
    a_number_is_written_as_in_e164,
    a_code_is_good_once_however_many_use_it_at_once,
    a_code_is_good_for_five_minutes,
    a_new_code_replaces_the_old_one,
    no_more_than_five_guesses_are_judged_however_many_come_at_once,
    a_wrong_code_and_a_number_without_one_sound_the_same,
    an_account_that_merely_claims_the_number_loses_it,
    a_number_gets_a_few_codes_in_a_while_and_ten_a_day,
    an_address_asks_a_bounded_number_of_times,
    an_address_guesses_a_bounded_number_of_times,
    codes_are_in_a_private_file_and_never_in_the_log,
    replicas_count_guesses_together,
    codes_are_forgotten_in_the_end,
);

async fn ask(spoke: &Spoke, phone: &str) -> Value {
    spoke.post("/api/otp", &json!({"phone": phone})).await.is(202)
}

async fn enter(spoke: &Spoke, phone: &str, code: &str) -> Answer {
    spoke.post("/api/otp/verify", &json!({"phone": phone, "code": code})).await
}

fn another(code: &str) -> String {
    format!("{:06}", (code.parse::<u32>().unwrap() + 1) % 1_000_000)
}

async fn the_first_code_makes_an_account_and_later_ones_open_it(engine: Engine) {
    let spoke = spoke(engine).await;
    ask(&spoke, PHONE).await;
    let first = enter(&spoke, PHONE, &code(&spoke, PHONE, 1).await).await.is(200);
    let user = &first["user"];
    assert!(user["username"].as_str().unwrap().starts_with("user-"), "{user}");
    assert_eq!((&user["phone"], &user["email"]), (&json!(PHONE), &Value::Null));
    assert_eq!(user["roles"], json!(["customer"]));
    spoke.get_as(access(&first), "/api/profile").await.is(200);

    ask(&spoke, PHONE).await;
    let second = enter(&spoke, PHONE, &code(&spoke, PHONE, 2).await).await.is(200);
    assert_eq!(second["user"]["id"], user["id"]);
}

async fn a_page_gets_the_session_in_a_cookie(engine: Engine) {
    let spoke = spoke(engine).await;
    ask(&spoke, PHONE).await;
    let body = json!({"phone": PHONE, "code": code(&spoke, PHONE, 1).await});
    let request = spoke.request(Method::POST, "/api/otp/verify").json(&body);
    let entered = answer(request.header("accept-session", "cookie")).await;
    let cookie = entered.headers["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.starts_with("hubbub_refresh=") && cookie.contains("HttpOnly"), "{cookie}");
    assert!(entered.is(200)["tokens"].get("refreshToken").is_none());
}

async fn a_number_is_written_as_in_e164(engine: Engine) {
    let spoke = spoke(engine).await;
    for bad in ["", "12", "+49 30 123456", "+4930123456\n"] {
        let asked = spoke.post("/api/otp", &json!({"phone": bad})).await;
        assert_eq!(asked.faulty_fields(), ["phone"], "{bad}");
        assert_eq!(enter(&spoke, bad, "000000").await.faulty_fields(), ["phone"], "{bad}");
    }
}

async fn a_code_is_good_once_however_many_use_it_at_once(engine: Engine) {
    let spoke = settings(engine).with("user.phone_codes.guesses_max=10").start().await;
    ask(&spoke, PHONE).await;
    let code = code(&spoke, PHONE, 1).await;
    let answers = join_all((0..10).map(|_| enter(&spoke, PHONE, &code))).await;
    let count = |status| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((count(200), count(401)), (1, 9));
    enter(&spoke, PHONE, &code).await.problem("wrong-credentials", 401);
}

async fn a_code_is_good_for_five_minutes(engine: Engine) {
    let spoke = spoke(engine).await;
    ask(&spoke, PHONE).await;
    let code = code(&spoke, PHONE, 1).await;
    spoke.later(Duration::from_mins(5));
    enter(&spoke, PHONE, &code).await.problem("wrong-credentials", 401);
}

async fn a_new_code_replaces_the_old_one(engine: Engine) {
    let spoke = spoke(engine).await;
    ask(&spoke, PHONE).await;
    let old = code(&spoke, PHONE, 1).await;
    ask(&spoke, PHONE).await;
    let new = code(&spoke, PHONE, 2).await;
    if old != new {
        enter(&spoke, PHONE, &old).await.problem("wrong-credentials", 401);
    }
    enter(&spoke, PHONE, &new).await.is(200);
}

async fn no_more_than_five_guesses_are_judged_however_many_come_at_once(engine: Engine) {
    let spoke = spoke(engine).await;
    ask(&spoke, PHONE).await;
    let code = code(&spoke, PHONE, 1).await;
    let wrong = another(&code);
    for answer in join_all((0..20).map(|_| enter(&spoke, PHONE, &wrong))).await {
        answer.problem("wrong-credentials", 401);
    }
    enter(&spoke, PHONE, &code).await.problem("wrong-credentials", 401);
}

async fn a_wrong_code_and_a_number_without_one_sound_the_same(engine: Engine) {
    let spoke = spoke(engine).await;
    ask(&spoke, PHONE).await;
    let wrong = another(&code(&spoke, PHONE, 1).await);
    let said = |answer: Answer| {
        let mut problem = answer.problem("wrong-credentials", 401);
        problem["requestId"] = Value::Null;
        problem
    };
    let wrong_code = said(enter(&spoke, PHONE, &wrong).await);
    assert_eq!(wrong_code, said(enter(&spoke, "+4930999999", "000000").await));
    assert_eq!(wrong_code, said(enter(&spoke, PHONE, "no code at all").await));
}

async fn an_account_that_merely_claims_the_number_loses_it(engine: Engine) {
    let spoke = spoke(engine).await;
    let mut body = account("eve");
    body["phone"] = json!(PHONE);
    let claimant = spoke.post("/api/register", &body).await.is(201);
    ask(&spoke, PHONE).await;
    let owner = enter(&spoke, PHONE, &code(&spoke, PHONE, 1).await).await.is(200);
    assert_ne!(owner["user"]["id"], claimant["user"]["id"]);
    assert_eq!(owner["user"]["phone"], PHONE);
    let profile = spoke.get_as(access(&claimant), "/api/profile").await.is(200);
    assert_eq!(profile["user"]["phone"], Value::Null);
}

async fn a_number_gets_a_few_codes_in_a_while_and_ten_a_day(engine: Engine) {
    let spoke = spoke(engine).await;
    let mut sent = 0;
    for _ in 0..5 {
        for _ in 0..4 {
            ask(&spoke, PHONE).await;
        }
        let before = sent;
        sent = (sent + 3).min(10);
        if sent > before {
            code(&spoke, PHONE, sent).await;
        }
        spoke.later(Duration::from_mins(15));
    }
    let spoke = spoke.restart().await;
    assert_eq!(codes(&spoke, PHONE).len(), 10);
    spoke.later(Duration::from_hours(24));
    ask(&spoke, PHONE).await;
    enter(&spoke, PHONE, &code(&spoke, PHONE, 11).await).await.is(200);
}

async fn an_address_asks_a_bounded_number_of_times(engine: Engine) {
    let spoke = spoke(engine).await;
    let ask_from = async |address: &str, number: u32| {
        let body = json!({"phone": format!("+49301234{number:03}")});
        let request = spoke.request(Method::POST, "/api/otp").json(&body);
        answer(request.header("x-forwarded-for", address)).await
    };
    for number in 0..30 {
        ask_from("192.0.2.1", number).await.is(202);
    }
    ask_from("192.0.2.1", 30).await.problem("rate-limited", 429);
    ask_from("192.0.2.2", 30).await.is(202);
}

async fn an_address_guesses_a_bounded_number_of_times(engine: Engine) {
    let spoke = spoke(engine).await;
    for number in 0..100 {
        enter(&spoke, &format!("+49301234{number:03}"), "000000").await.is(401);
    }
    enter(&spoke, PHONE, "000000").await.problem("rate-limited", 429);
}

async fn codes_are_in_a_private_file_and_never_in_the_log(engine: Engine) {
    let log = Log::of_this_thread();
    let spoke = spoke(engine).await;
    ask(&spoke, PHONE).await;
    let code = code(&spoke, PHONE, 1).await;
    enter(&spoke, PHONE, &another(&code)).await.is(401);
    enter(&spoke, PHONE, &code).await.is(200);
    let file = spoke.data().join("phone-codes.txt");
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    let log = log.text();
    assert!(!log.contains(PHONE), "the number is in the log");
    assert!(!log.contains(&format!(" {code}")) && !log.contains(&format!("\"{code}")));
}

async fn replicas_count_guesses_together(engine: Engine) {
    if engine == Engine::Sqlite {
        return;
    }
    let spoke = spoke(engine).await;
    let other = spoke.replica().await;
    ask(&spoke, PHONE).await;
    let code = code(&spoke, PHONE, 1).await;
    let wrong = another(&code);
    for _ in 0..2 {
        enter(&spoke, PHONE, &wrong).await.is(401);
    }
    for _ in 0..3 {
        enter(&other, PHONE, &wrong).await.is(401);
    }
    enter(&spoke, PHONE, &code).await.problem("wrong-credentials", 401);
}

async fn codes_are_forgotten_in_the_end(engine: Engine) {
    let spoke = settings(engine).with("user.sweep_interval=10ms").start().await;
    ask(&spoke, PHONE).await;
    code(&spoke, PHONE, 1).await;
    assert_eq!(spoke.count("phone_codes").await, 1);
    spoke.later(Duration::from_hours(25));
    while spoke.count("phone_codes").await > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
