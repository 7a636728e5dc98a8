//! What the service says about its calls is what it does.

use std::collections::{BTreeMap, BTreeSet};

use chassis::config::Layers;
use harness::Engine;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::document::{calls, document, faults, find};
use crate::support::{Answer, PASSWORD, Spoke, access, account, answer, refresh, spoke};

const COMMITTED: &str = include_str!("../../openapi.json");
const RENEW: &str = "cargo run -p user --example openapi > services/user/openapi.json";
/// Calls that need what was sent to a person, or an issuer; tests of those have them.
const BY_POST: [&str; 4] = ["checkPhoneCode", "exchangeToken", "resetPassword", "verifyEmail"];
const ANY_ID: &str = "01933c1e-8a5b-7c3e-9b1d-2f6a5e4d3c2b";

/// A path of the document with something in place of each parameter.
fn filled(path: &str) -> String {
    path.replace("{id}", ANY_ID)
}

fn is_open(about: &Value) -> bool {
    about["security"].as_array().unwrap().contains(&json!({}))
}

#[test]
fn the_committed_document_is_the_one_that_is_served() {
    assert!(COMMITTED == user::openapi().unwrap(), "it has changed; renew it with: {RENEW}");
}

#[test]
fn every_call_has_a_name_of_its_own_and_says_what_it_is() {
    let mut names = BTreeSet::new();
    for call in calls() {
        let name = call.about["operationId"].as_str().unwrap();
        assert!(names.insert(name), "{name} is there twice");
        assert!(call.about["summary"].is_string() && call.about["tags"][0].is_string(), "{name}");
        let given = call.path.matches('{').count();
        let all = call.about["parameters"].as_array().cloned().unwrap_or_default();
        let told = all.iter().filter(|parameter| parameter["in"] == "path").count();
        assert_eq!(told, given, "{name}");
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_schema_is_used() {
    let text = document().to_string();
    let targets = text.split("\"$ref\":\"#").skip(1);
    let targets: BTreeSet<_> = targets.map(|rest| rest.split('"').next().unwrap()).collect();
    for target in &targets {
        assert!(document().pointer(target).is_some(), "{target} is not there");
    }
    for name in document()["components"]["schemas"].as_object().unwrap().keys() {
        let target = format!("/components/schemas/{name}");
        assert!(targets.contains(target.as_str()), "{name} is used by nothing");
    }
}

#[test]
fn every_example_keeps_the_rules_of_its_schema() {
    let schemas = document()["components"]["schemas"].as_object().unwrap();
    let mut seen = 0;
    for (name, schema) in schemas {
        let fields = schema["properties"].as_object().cloned().unwrap_or_default();
        for (field, schema) in fields.into_iter().chain([(String::new(), schema.clone())]) {
            let Some(example) = schema.get("example") else { continue };
            let mut whole = schema.clone();
            whole["components"] = document()["components"].clone();
            let options = jsonschema::options().should_validate_formats(true);
            let validator = options.build(&whole).unwrap();
            assert!(validator.is_valid(example), "{name}.{field}: {example}");
            seen += 1;
        }
    }
    assert!(seen > 30, "hardly any example was looked at");
}

/// The gateway's route for a call: an exact one, else the longest prefix.
fn route<'a>(
    routes: &'a BTreeMap<String, Value>,
    method: &Method,
    path: &str,
) -> Option<&'a Value> {
    let fits = |route: &&Value| {
        let prefix = route["prefix"].as_str();
        let below = prefix.and_then(|prefix| path.strip_prefix(prefix));
        route["exact"] == path || below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let longest = |route: &&Value| route["prefix"].as_str().map_or(usize::MAX, str::len);
    let found = routes.values().filter(fits).max_by_key(longest)?;
    let methods = found["methods"].as_array();
    methods.is_none_or(|all| all.contains(&json!(method.as_str()))).then_some(found)
}

#[test]
fn the_gateway_leads_from_the_public_path_of_every_call_to_the_call() {
    let routes: BTreeMap<String, Value> = Layers::defaults().section("gateway.routes").unwrap();
    for call in calls() {
        let public = call.about["x-public-path"].as_str().unwrap();
        let found = route(&routes, &call.method, public);
        let route = found.unwrap_or_else(|| panic!("no route leads to {} {public}", call.method));
        assert_eq!(route["upstream"], "user", "{public}");
        let matched = route["exact"].as_str().or(route["prefix"].as_str()).unwrap();
        let rewrite = route["rewrite"].as_str().unwrap_or(matched);
        assert_eq!(public.replacen(matched, rewrite, 1), call.path);
        assert_eq!(route["auth"] == "none", is_open(call.about), "{public}");
    }
}

#[test]
fn an_answer_that_is_not_described_is_found() {
    let held = |status: u16, kind: &str, body: Value| {
        let headers = [("content-type", kind)]
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        let status = StatusCode::from_u16(status).unwrap();
        let answer = Answer { status, headers: headers.into_iter().collect(), body };
        faults(&Method::POST, "/api/logout", &answer).len()
    };
    let (json, problem) = ("application/json", "application/problem+json");
    let refused = |slug: &str| {
        let kind = format!("urn:hubbub:problem:{slug}");
        json!({"type": kind, "title": "x", "status": 401, "requestId": "x", "error": "x"})
    };
    assert_eq!(held(200, json, json!({"message": "x"})), 0);
    assert_eq!(held(200, json, json!({"message": "x", "more": 1})), 1);
    assert_eq!(held(200, json, json!({})), 1);
    assert_eq!(held(200, "text/plain", json!({"message": "x"})), 1);
    assert_eq!(held(201, json, json!({"message": "x"})), 1);
    assert_eq!(held(401, problem, refused("bad-token")), 0);
    assert_eq!(held(401, problem, refused("wrong-credentials")), 1);
    assert!(find(&Method::GET, "/api/users/me").is_none(), "it is no id");
}

#[tokio::test]
async fn who_has_to_say_who_is_calling_is_described() {
    let spoke = spoke(Engine::Sqlite).await;
    for call in calls() {
        let path = filled(call.path);
        let answer = answer(spoke.request(call.method.clone(), &path)).await;
        let refused = answer.body["type"] == "urn:hubbub:problem:unauthenticated";
        assert_eq!(refused, !is_open(call.about), "{} {path}: {}", call.method, answer.body);
    }
}

#[tokio::test]
async fn the_methods_of_every_path_are_described() {
    let spoke = spoke(Engine::Sqlite).await;
    let mut paths = BTreeMap::<_, BTreeSet<String>>::new();
    for call in calls() {
        let methods = paths.entry(call.path).or_default();
        methods.insert(call.method.to_string());
        if call.method == Method::GET {
            methods.insert("HEAD".to_owned());
        }
    }
    for (path, methods) in paths {
        let refused = answer(spoke.request(Method::PATCH, &filled(path))).await;
        assert_eq!(refused.status, 405, "{path}");
        let allow = refused.headers["allow"].to_str().unwrap().split(',');
        let allow: BTreeSet<_> = allow.map(|method| method.trim().to_owned()).collect();
        assert_eq!(allow, methods, "{path}");
    }
}

/// Makes calls, and notes which of them were answered as they are when all is well.
struct Walk<'a> {
    spoke: &'a Spoke,
    token: String,
    done: BTreeSet<&'static str>,
}

impl Walk<'_> {
    async fn step(&mut self, method: Method, path: &str, body: Value) -> Value {
        let call = find(&method, path.split('?').next().unwrap()).unwrap();
        let request = self.spoke.request(method, path);
        let request =
            if self.token.is_empty() { request } else { request.bearer_auth(&self.token) };
        let request = if body.is_null() { request } else { request.json(&body) };
        let answer = answer(request).await;
        assert!(answer.status.is_success(), "{path}: {}", answer.body);
        self.done.insert(call.about["operationId"].as_str().unwrap());
        answer.body
    }

    async fn get(&mut self, path: &str) -> Value {
        self.step(Method::GET, path, Value::Null).await
    }

    async fn post(&mut self, path: &str, body: Value) -> Value {
        self.step(Method::POST, path, body).await
    }
}

#[tokio::test]
async fn every_call_is_answered_as_it_is_described() {
    let spoke = spoke(Engine::Sqlite).await;
    let mut walk = Walk { spoke: &spoke, token: String::new(), done: BTreeSet::new() };
    let ada = walk.post("/api/register", account("ada")).await;
    let mut first = account("root");
    first["code"] = json!(spoke.setup_code());
    let root = walk.post("/api/setup", first).await;
    walk.post("/api/forgot-password", json!({"email": "ada@example.com"})).await;
    walk.post("/api/otp", json!({"phone": "+4930123456"})).await;
    walk.get(&format!("/api/verify-email?token={}", "A".repeat(43))).await;
    walk.get("/.well-known/jwks.json").await;
    let named = json!({"username": "ada", "password": PASSWORD});
    let session = walk.post("/api/login", named).await;
    let token = json!({"refreshToken": refresh(&session)});
    let session = walk.post("/api/refresh-token", token).await;

    access(&session).clone_into(&mut walk.token);
    walk.post("/api/verify-email/resend", Value::Null).await;
    walk.get("/api/profile").await;
    let change = json!({"displayName": "Ada", "bio": "Counts.", "phone": "+4930123457"});
    walk.step(Method::PUT, "/api/profile", change).await;
    walk.get("/api/users?q=a&limit=1").await;
    let id = ada["user"]["id"].as_str().unwrap();
    walk.get(&format!("/api/users/{id}")).await;
    let key = json!({"name": "till", "scopes": ["users:read"], "expiresIn": 60});
    let key = walk.post("/api/api-keys", key).await;
    walk.get("/api/api-keys").await;
    let path = format!("/api/api-keys/{}", key["id"].as_str().unwrap());
    walk.step(Method::DELETE, &path, Value::Null).await;
    walk.post("/api/ws-ticket", Value::Null).await;
    let sessions = walk.get("/api/sessions").await;
    let other = sessions.as_array().unwrap().iter().find(|one| one["current"] == false).unwrap();
    let path = format!("/api/sessions/{}", other["id"].as_str().unwrap());
    walk.step(Method::DELETE, &path, Value::Null).await;
    let change = json!({"currentPassword": PASSWORD, "newPassword": "battery staple correct"});
    walk.step(Method::PUT, "/api/change-password", change).await;
    walk.step(Method::DELETE, "/api/users/me", Value::Null).await;

    access(&root).clone_into(&mut walk.token);
    let bob = spoke.registered("bob").await;
    let path = format!("/api/users/{}/roles", bob["user"]["id"].as_str().unwrap());
    let standing = json!({"roles": ["operator"], "storeId": "7", "operatorGroup": "sales"});
    walk.step(Method::PUT, &path, standing).await;
    walk.get("/api/users/audit?limit=5").await;
    walk.post("/api/logout", Value::Null).await;

    let all = calls().map(|call| call.about["operationId"].as_str().unwrap());
    let missed: Vec<_> = all.filter(|name| !walk.done.contains(name)).collect();
    let missed: BTreeSet<_> = missed.into_iter().collect();
    assert_eq!(missed, BTreeSet::from(BY_POST));
}

#[tokio::test]
async fn the_document_is_served_and_not_sent_twice() {
    let spoke = spoke(Engine::Sqlite).await;
    let first = spoke.get("/openapi.json").await;
    assert_eq!(first.headers["content-type"], "application/json");
    assert_eq!(first.headers["cache-control"], "no-cache");
    let etag = first.headers["etag"].clone();
    assert_eq!(first.is(200), *document());
    for (known, status) in [(etag.to_str().unwrap(), 304), ("\"other\"", 200)] {
        let request = spoke.request(Method::GET, "/openapi.json");
        let again = answer(request.header("if-none-match", known)).await;
        assert_eq!(again.status, status);
        assert_eq!(again.headers["etag"], etag);
    }
}

#[tokio::test]
async fn the_page_comes_whole_from_here_and_may_load_nothing_from_elsewhere() {
    let spoke = spoke(Engine::Sqlite).await;
    let page = spoke.get("/docs").await;
    let policy = page.headers["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'; script-src 'self'; "), "{policy}");
    assert!(!policy.contains("http") && !policy.contains('*'), "{policy}");
    let page = page.is(200);
    let page = page.as_str().unwrap();
    let loaded = page.split(['"']).skip(1).step_by(2);
    let loaded: Vec<_> = loaded.filter(|word| word.contains('.')).collect();
    assert_eq!(loaded.len(), 6, "{page}");
    for name in loaded {
        assert!(!name.contains('/'), "{name}");
        let file = spoke.request(Method::GET, &format!("/docs/{name}")).send().await.unwrap();
        assert_eq!(file.status(), 200, "{name}");
        assert_eq!(file.headers()["x-content-type-options"], "nosniff");
        assert!(file.headers().contains_key("etag"), "{name}");
        assert!(file.bytes().await.unwrap().len() > 100, "{name} is empty");
    }
    let start = spoke.get("/docs/swagger-initializer.js").await.is(200);
    let start = start.as_str().unwrap();
    assert!(start.contains("\"../openapi.json\"") && !start.contains("//\""), "{start}");
    assert!(!start.contains("http"), "{start}");
    spoke.get("/docs/oauth2-redirect.html").await.problem("not-found", 404);
}
