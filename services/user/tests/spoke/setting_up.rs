//! The one code that makes the first administrator.

use harness::{Engine, on_both_engines};
use serde_json::{Value, json};

use crate::support::{Spoke, account, ada, fields, settings, spoke};

on_both_engines!(
    the_first_start_tells_a_code_that_makes_one_administrator,
    a_wrong_code_is_refused_and_the_right_one_still_works,
    the_code_is_told_once_and_survives_a_restart,
    a_chosen_code_is_not_told_and_is_spent_for_good,
    an_account_that_cannot_be_made_does_not_spend_the_code,
    of_parallel_uses_exactly_one_makes_an_administrator,
);

const CHOSEN: &str = "user.setup_code=open-sesame";

async fn set_up(spoke: &Spoke, code: &str, account: Value) -> crate::support::Answer {
    let mut body = account;
    body["code"] = json!(code);
    spoke.post("/api/setup", &body).await
}

async fn the_first_start_tells_a_code_that_makes_one_administrator(engine: Engine) {
    let spoke = spoke(engine).await;
    let code = spoke.setup_code();
    let session = set_up(&spoke, &code, ada()).await.is(201);
    assert_eq!(session["user"]["roles"], json!(["customer", "admin"]));
    set_up(&spoke, &code, account("bob")).await.problem("gone", 410);
}

async fn a_wrong_code_is_refused_and_the_right_one_still_works(engine: Engine) {
    let spoke = spoke(engine).await;
    set_up(&spoke, "wrong", ada()).await.problem("wrong-credentials", 401);
    set_up(&spoke, &spoke.setup_code(), ada()).await.is(201);
}

async fn the_code_is_told_once_and_survives_a_restart(engine: Engine) {
    let spoke = spoke(engine).await;
    let code = spoke.setup_code();
    let spoke = spoke.restart().await;
    assert!(spoke.told("set-up").is_none());
    set_up(&spoke, &code, ada()).await.is(201);
    let spoke = spoke.restart().await;
    set_up(&spoke, &code, account("bob")).await.problem("gone", 410);
}

async fn a_chosen_code_is_not_told_and_is_spent_for_good(engine: Engine) {
    let spoke = settings(engine).with(CHOSEN).start().await;
    assert!(spoke.told("set-up").is_none());
    set_up(&spoke, "open-sesame", ada()).await.is(201);
    let spoke = spoke.restart().await;
    set_up(&spoke, "open-sesame", account("bob")).await.problem("gone", 410);
}

async fn an_account_that_cannot_be_made_does_not_spend_the_code(engine: Engine) {
    let spoke = settings(engine).with(CHOSEN).start().await;
    spoke.registered("ada").await;
    let problem = set_up(&spoke, "open-sesame", ada()).await.problem("taken", 409);
    assert_eq!(fields(&problem), ["username", "email"]);
    let mut weak = account("bob");
    weak["password"] = json!("short");
    assert_eq!(set_up(&spoke, "open-sesame", weak).await.faulty_fields(), ["password"]);
    set_up(&spoke, "open-sesame", account("bob")).await.is(201);
}

async fn of_parallel_uses_exactly_one_makes_an_administrator(engine: Engine) {
    let spoke = settings(engine).with(CHOSEN).start().await;
    let (one, two) = tokio::join!(
        set_up(&spoke, "open-sesame", account("ada")),
        set_up(&spoke, "open-sesame", account("bob")),
    );
    let mut statuses = [one, two].map(|answer| answer.status.as_u16());
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 410]);
}
