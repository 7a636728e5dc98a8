//! ID tokens of external issuers become sessions: whose account it is, and what is in a new one.

use chassis::tokens::KeyKind;
use futures_util::future::join_all;
use harness::{Engine, on_both_engines};
use reqwest::Method;
use serde_json::{Value, json};

use crate::issuer::{Issuer, claims, claims_with, exchange, exchange_claims, exchange_from, key};
use crate::support::{Spoke, access, ada, answer, refresh, settings, spoke};

on_both_engines!(
    the_first_token_of_a_subject_makes_an_account_and_the_next_one_finds_it,
    keys_of_every_kind_are_good,
    a_token_of_firebase_is_taken_in_its_own_shape,
    what_a_token_tells_of_its_subject_is_kept_where_it_keeps_the_rules,
    roles_in_a_token_are_nothing_here,
    a_name_that_belongs_to_another_gets_a_number,
    a_telephone_number_of_another_is_left_out,
    parallel_first_tokens_of_one_subject_make_one_account,
    parallel_newcomers_of_one_name_all_get_in,
    one_subject_of_two_issuers_is_two_people,
    a_deleted_account_takes_its_identity_along,
    a_page_gets_the_session_in_a_cookie,
    the_audit_knows_the_issuer_and_the_refusals,
    an_account_from_elsewhere_has_no_password,
    a_body_without_a_token_is_told_what_is_missing,
    with_no_issuer_nobody_gets_in,
);

async fn the_first_token_of_a_subject_makes_an_account_and_the_next_one_finds_it(engine: Engine) {
    let theirs = key(KeyKind::Rs256);
    let issuer = Issuer::with(&[&theirs]).await;
    let spoke = issuer.trusted(settings(engine)).start().await;
    let token = theirs.sign(&claims(&spoke, "ada")).unwrap();
    let first = exchange(&spoke, &token).await.is(200);
    // The same token again is the same person again.
    let second = exchange(&spoke, &token).await.is(200);
    assert_eq!(first["user"]["id"], second["user"]["id"]);
    assert_ne!(refresh(&first), refresh(&second));
    spoke.get_as(access(&first), "/api/profile").await.is(200);
    spoke.refresh(refresh(&second)).await.is(200);
    let other = exchange_claims(&spoke, &theirs, &claims(&spoke, "Ada")).await.is(200);
    assert_ne!(first["user"]["id"], other["user"]["id"]);
    assert_eq!(issuer.fetches(), 1);
}

async fn keys_of_every_kind_are_good(engine: Engine) {
    let keys = [KeyKind::Rs256, KeyKind::Es256, KeyKind::EdDsa].map(key);
    let issuer = Issuer::with(&keys.each_ref()).await;
    let spoke = issuer.trusted(settings(engine)).start().await;
    for key in &keys {
        exchange_claims(&spoke, key, &claims(&spoke, "ada")).await.is(200);
    }
}

/// As Firebase writes them.
fn firebase_claims(spoke: &Spoke) -> Value {
    let now = spoke.now().seconds();
    json!({
        "name": "Ada Lovelace", "picture": "https://lh3.example.com/a/ada=s96-c",
        "iss": "https://securetoken.google.com/my-project", "aud": "my-project",
        "auth_time": now - 600, "user_id": "Zk3fV9", "sub": "Zk3fV9",
        "iat": now - 10, "exp": now + 3590,
        "email": "ada@example.com", "email_verified": true, "phone_number": "+4930123456",
        "firebase": {
            "identities": {"google.com": ["1234"], "email": ["ada@example.com"]},
            "sign_in_provider": "google.com",
        },
    })
}

async fn a_token_of_firebase_is_taken_in_its_own_shape(engine: Engine) {
    let (theirs, es256) = (key(KeyKind::Rs256), key(KeyKind::Es256));
    let issuer = Issuer::with(&[&theirs, &es256]).await;
    let spoke = issuer.trusted_as_firebase(settings(engine)).start().await;
    let claims = firebase_claims(&spoke);
    let user = exchange_claims(&spoke, &theirs, &claims).await.is(200)["user"].clone();
    for (field, value) in [
        ("username", json!("Ada.Lovelace")),
        ("displayName", json!("Ada Lovelace")),
        ("avatarUrl", json!("https://lh3.example.com/a/ada=s96-c")),
        ("email", json!("ada@example.com")),
        ("emailVerified", json!(true)),
        ("phone", json!("+4930123456")),
        ("roles", json!(["customer"])),
    ] {
        assert_eq!(user[field], value, "{field}");
    }
    // Firebase signs with nothing else, and always says when somebody signed in.
    exchange_claims(&spoke, &es256, &claims).await.problem("bad-token", 401);
    let mut timeless = claims.clone();
    timeless.as_object_mut().unwrap().remove("auth_time");
    exchange_claims(&spoke, &theirs, &timeless).await.problem("bad-token", 401);
    let mut early = claims;
    early["auth_time"] = json!(spoke.now().seconds() + 600);
    exchange_claims(&spoke, &theirs, &early).await.problem("bad-token", 401);
}

async fn what_a_token_tells_of_its_subject_is_kept_where_it_keeps_the_rules(engine: Engine) {
    let theirs = key(KeyKind::Es256);
    let issuer = Issuer::with(&[&theirs]).await;
    let spoke = issuer.trusted(settings(engine)).start().await;
    let said = json!({
        "preferred_username": "ada.l", "given_name": "Ada", "family_name": "King\nAdmin",
        "name": {"no": "text"}, "picture": "javascript:alert(1)",
        "email": "ada@example.com", "email_verified": false,
        "phone_number": "+4930123456",
    });
    let claims = claims_with(&spoke, "ada", &said);
    let user = exchange_claims(&spoke, &theirs, &claims).await.is(200)["user"].clone();
    assert_eq!(user["username"], "ada.l");
    assert_eq!(user["firstName"], "Ada");
    for field in ["lastName", "displayName", "avatarUrl", "email", "phone"] {
        assert_eq!(user[field], Value::Null, "{field}");
    }
    assert_eq!(user["emailVerified"], false);
}

async fn roles_in_a_token_are_nothing_here(engine: Engine) {
    let theirs = key(KeyKind::EdDsa);
    let issuer = Issuer::with(&[&theirs]).await;
    let spoke = issuer.trusted(settings(engine)).start().await;
    let said = json!({
        "roles": ["admin"], "role": "admin", "groups": ["admin"], "admin": true,
        "scope": "admin", "storeId": "s1", "store_id": "s1", "operator_group": "all",
    });
    let claims = claims_with(&spoke, "eve", &said);
    for _ in 0..2 {
        let session = exchange_claims(&spoke, &theirs, &claims).await.is(200);
        assert_eq!(session["user"]["roles"], json!(["customer"]));
        assert_eq!(session["user"]["storeId"], Value::Null);
        spoke.get_as(access(&session), "/api/users/audit").await.problem("forbidden", 403);
    }
}

async fn a_name_that_belongs_to_another_gets_a_number(engine: Engine) {
    let theirs = key(KeyKind::EdDsa);
    let issuer = Issuer::with(&[&theirs]).await;
    let spoke = issuer.trusted(settings(engine)).start().await;
    spoke.registered("ada").await;
    let claims = claims_with(&spoke, "x", &json!({"preferred_username": "Ada"}));
    let session = exchange_claims(&spoke, &theirs, &claims).await.is(200);
    let name = session["user"]["username"].as_str().unwrap();
    assert!(name.starts_with("Ada-") && name.len() == 10, "{name}");
}

async fn a_telephone_number_of_another_is_left_out(engine: Engine) {
    let theirs = key(KeyKind::EdDsa);
    let issuer = Issuer::with(&[&theirs]).await;
    let spoke = issuer.trusted(settings(engine)).start().await;
    let said = json!({"phone_number": "+4930123456", "phone_number_verified": true});
    let mut phones = Vec::new();
    for subject in ["one", "two"] {
        let claims = claims_with(&spoke, subject, &said);
        let session = exchange_claims(&spoke, &theirs, &claims).await.is(200);
        phones.push(session["user"]["phone"].clone());
    }
    assert_eq!(phones, [json!("+4930123456"), Value::Null]);
}

async fn parallel_first_tokens_of_one_subject_make_one_account(engine: Engine) {
    let theirs = key(KeyKind::EdDsa);
    let issuer = Issuer::with(&[&theirs]).await;
    let spoke = issuer.trusted(settings(engine)).start().await;
    let said = json!({"name": "Ada", "email": "ada@example.com", "email_verified": true});
    let token = theirs.sign(&claims_with(&spoke, "ada", &said)).unwrap();
    let answers = join_all((0..8).map(|_| exchange(&spoke, &token))).await;
    let mut ids: Vec<_> =
        answers.into_iter().map(|answer| answer.is(200)["user"]["id"].to_string()).collect();
    ids.dedup();
    assert_eq!(ids.len(), 1);
    assert_eq!(issuer.fetches(), 1);
}

async fn parallel_newcomers_of_one_name_all_get_in(engine: Engine) {
    let theirs = key(KeyKind::EdDsa);
    let issuer = Issuer::with(&[&theirs]).await;
    let spoke = issuer.trusted(settings(engine)).start().await;
    let token = |n: i32| {
        theirs.sign(&claims_with(&spoke, &n.to_string(), &json!({"name": "Ada"}))).unwrap()
    };
    let tokens: Vec<_> = (0..8).map(token).collect();
    let answers = join_all(tokens.iter().map(|token| exchange(&spoke, token))).await;
    let mut names: Vec<_> =
        answers.into_iter().map(|answer| answer.is(200)["user"]["username"].to_string()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 8);
}

async fn one_subject_of_two_issuers_is_two_people(engine: Engine) {
    let (one, two) = (key(KeyKind::Rs256), key(KeyKind::Rs256));
    let (first, second) = (Issuer::with(&[&one]).await, Issuer::with(&[&two]).await);
    let settings = second.trusted_as_firebase(first.trusted(settings(engine)));
    let spoke = settings.start().await;
    let here = exchange_claims(&spoke, &one, &claims(&spoke, "Zk3fV9")).await.is(200);
    let there = exchange_claims(&spoke, &two, &firebase_claims(&spoke)).await.is(200);
    assert_ne!(here["user"]["id"], there["user"]["id"]);
    // Neither signs for the other.
    exchange_claims(&spoke, &two, &claims(&spoke, "Zk3fV9")).await.problem("bad-token", 401);
    exchange_claims(&spoke, &one, &firebase_claims(&spoke)).await.problem("bad-token", 401);
}

async fn a_deleted_account_takes_its_identity_along(engine: Engine) {
    let theirs = key(KeyKind::EdDsa);
    let issuer = Issuer::with(&[&theirs]).await;
    let spoke = issuer.trusted(settings(engine)).start().await;
    let claims = claims(&spoke, "ada");
    let before = exchange_claims(&spoke, &theirs, &claims).await.is(200);
    let gone = spoke.request(Method::DELETE, "/api/users/me").bearer_auth(access(&before));
    answer(gone).await.is(200);
    let after = exchange_claims(&spoke, &theirs, &claims).await.is(200);
    assert_ne!(before["user"]["id"], after["user"]["id"]);
}

async fn a_page_gets_the_session_in_a_cookie(engine: Engine) {
    let theirs = key(KeyKind::EdDsa);
    let issuer = Issuer::with(&[&theirs]).await;
    let spoke = issuer.trusted(settings(engine)).start().await;
    let token = theirs.sign(&claims(&spoke, "ada")).unwrap();
    let request = spoke.request(Method::POST, "/api/token-exchange");
    let request = request.json(&json!({ "subjectToken": token }));
    let answer = answer(request.header("accept-session", "cookie")).await;
    let cookie = answer.headers["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.starts_with("hubbub_refresh=") && cookie.contains("HttpOnly"), "{cookie}");
    assert!(answer.is(200)["tokens"].get("refreshToken").is_none());
}

async fn the_audit_knows_the_issuer_and_the_refusals(engine: Engine) {
    let theirs = key(KeyKind::EdDsa);
    let issuer = Issuer::with(&[&theirs]).await;
    let spoke = issuer.trusted(settings(engine)).start().await;
    let mut body = ada();
    body["code"] = json!(spoke.setup_code());
    let admin = spoke.post("/api/setup", &body).await.is(201);
    let token = theirs.sign(&claims(&spoke, "eve")).unwrap();
    let session = exchange_from(&spoke, "192.0.2.7", &token).await.is(200);
    exchange(&spoke, "nonsense").await.problem("bad-token", 401);
    let entries = || async {
        let page = spoke.get_as(access(&admin), "/api/users/audit").await.is(200);
        let all = page.as_array().unwrap().clone();
        all.into_iter().filter(|entry| entry["action"] == "exchange-token").collect::<Vec<_>>()
    };
    spoke.until("the refusal's entry", || async { entries().await.len() == 2 }).await;
    let entries = entries().await;
    let find = |outcome| entries.iter().find(|entry| entry["outcome"] == outcome).unwrap();
    assert_eq!(find("done")["detail"], "ext");
    assert_eq!(find("done")["userId"], session["user"]["id"]);
    assert_eq!(find("done")["address"], "192.0.2.7");
    assert_eq!(find("bad-token")["userId"], Value::Null);
    let all = json!(entries).to_string();
    assert!(!all.contains("nonsense") && !all.contains(&token), "{all}");
}

async fn an_account_from_elsewhere_has_no_password(engine: Engine) {
    let theirs = key(KeyKind::EdDsa);
    let issuer = Issuer::with(&[&theirs]).await;
    let spoke = issuer.trusted(settings(engine)).start().await;
    let claims = claims_with(&spoke, "x", &json!({"preferred_username": "ada"}));
    exchange_claims(&spoke, &theirs, &claims).await.is(200);
    for password in ["", "x", "correct horse battery"] {
        spoke.log_in("ada", password).await.problem("wrong-credentials", 401);
    }
}

async fn a_body_without_a_token_is_told_what_is_missing(engine: Engine) {
    let spoke = spoke(engine).await;
    let none = spoke.post("/api/token-exchange", &json!({})).await;
    assert_eq!(none.faulty_fields(), ["subjectToken"]);
}

async fn with_no_issuer_nobody_gets_in(engine: Engine) {
    let theirs = key(KeyKind::EdDsa);
    let spoke = spoke(engine).await;
    exchange_claims(&spoke, &theirs, &claims(&spoke, "ada")).await.problem("bad-token", 401);
    // Neither does anybody with a token of our own: it would be a session without end.
    let session = spoke.registered("ada").await;
    exchange(&spoke, access(&session)).await.problem("bad-token", 401);
}
