//! Letters lead back to the gateway that people know.

use std::fs;

use serde_json::json;

use super::support::eventually;
use super::support::hub::Hub;

#[tokio::test]
async fn the_link_of_a_letter_leads_through_the_gateway_to_a_confirmed_address() {
    let port = harness::free_port().unwrap();
    let hub = Hub::start_with(&[&format!("gateway.listen=127.0.0.1:{port}")]);
    let ada = hub.client().register().await;
    let folder = hub.data().join("mail");
    let text = eventually("a letter", async || {
        let file = fs::read_dir(&folder).ok()?.next()?.ok()?.path();
        file.extension().is_some_and(|end| end == "eml").then(|| fs::read_to_string(file).unwrap())
    })
    .await;
    let base = format!("http://localhost:{port}");
    let link = text.lines().find_map(|line| line.strip_prefix(&base)).expect("a link to it");

    let page = hub.client().get(link).await;
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    assert!(page.header("content-security-policy").starts_with("default-src 'none'"));
    let (path, token) = link.split_once("?token=").unwrap();
    hub.client().post(path, &json!({"token": token})).await.ok();
    let profile = ada.api.get("/api/users/profile").await.ok();
    assert_eq!(profile["user"]["emailVerified"], true);
    assert!(!hub.program.log_text().contains(token), "the token is in the log");
}

#[tokio::test]
async fn whoever_has_a_telephone_signs_in_through_the_gateway() {
    let hub = Hub::start();
    let body = json!({"phone": "+4930123456"});
    assert_eq!(hub.client().post("/api/auth/otp", &body).await.status, 202);
    let file = hub.data().join("phone-codes.txt");
    let line = eventually("a code", async || {
        fs::read_to_string(&file).ok().filter(|text| text.ends_with('\n'))
    })
    .await;
    let code = line.trim_end().rsplit(' ').next().unwrap();
    let body = json!({"phone": "+4930123456", "code": code});
    let session = hub.client().post("/api/auth/otp/verify", &body).await.ok();
    let api = hub.client().with_token(session["token"].as_str().unwrap());
    api.get("/api/users/profile").await.ok();
    let nobody = hub.client().post("/api/auth/verify-email/resend", &json!({})).await;
    nobody.is_problem("unauthenticated", 401);
    for (path, body) in [
        ("/api/auth/forgot-password", json!({"email": "ada@example.com"})),
        ("/api/auth/reset-password", json!({"token": "x", "password": "x"})),
    ] {
        assert!(
            matches!(hub.client().post(path, &body).await.status.as_u16(), 202 | 400),
            "{path}"
        );
    }
}
