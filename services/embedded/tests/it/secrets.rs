//! What nobody may read: everything secret that a day at the hub brings along is looked for in everything
//! that the process says, to anybody.

use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};

use super::support::client::Client;
use super::support::eventually;
use super::support::hub::{Program, free_ports, hubbub};
use super::support::socket::Socket;

/// Strong enough that nobody calls it an example.
const JWT_SECRET: &str = "q8Zr-0vLk3TnYw5sXb7Hd9JfGm2Pc4Ua-e6Ri1";
const PASSWORDS: [&str; 7] = [
    "the first password, Kz81",
    "the second password, Qm27",
    "the third password, Vt93",
    "a wrong password, Wn55",
    "a misplaced password, Bd64",
    "a password in a field, Hc38",
    "a password in a header, Lp16",
];

/// A hub about whose secrets somebody is curious.
struct Watched {
    program: Program,
    client: Client,
    data: PathBuf,
    /// What is not to be found, and what it is.
    secrets: Vec<(&'static str, String)>,
    /// Everything that was answered, without what was given to whom it is for.
    answers: Vec<(String, String)>,
}

/// Starts one whose secrets are in files and variables, as in production.
fn start(folder: &Path) -> Watched {
    let file = folder.join("jwt-secret");
    std::fs::write(&file, JWT_SECRET).unwrap();
    let mut command = Command::new(hubbub());
    let data = folder.join("data");
    command.arg("--data").arg(&data);
    free_ports(&mut command);
    for setting in [
        format!("identity.jwt_secret_file={}", file.display()),
        "telemetry.level=debug".to_owned(),
        "gateway.access_log.to=access.log".to_owned(),
        "gateway.quota.enabled=false".to_owned(),
    ] {
        command.arg("--set").arg(setting);
    }
    let program = Program::start(command, folder.join("log"));
    let code = program.url("set-up").split(' ').next().unwrap().to_owned();
    let client = Client::new(program.url("gateway"));
    let mut secrets = vec![("the JWT secret", JWT_SECRET.to_owned()), ("the set-up code", code)];
    secrets.extend(PASSWORDS.map(|password| ("a password", password.to_owned())));
    Watched { program, client, data, secrets, answers: Vec::new() }
}

impl Watched {
    /// Calls, and keeps what is answered but for the values of `given`, which belong there and are
    /// secret from now on.
    async fn call(
        &mut self,
        request: reqwest::RequestBuilder,
        status: u16,
        given: &[(&'static str, &str)],
    ) -> Value {
        let (client, request) = request.build_split();
        let request = request.unwrap();
        let what = format!("{} {}", request.method(), request.url().path());
        let response = client.execute(request).await.unwrap();
        let (found, headers) = (response.status(), format!("{:?}", response.headers()));
        let mut text = headers + &response.text().await.unwrap();
        assert_eq!(found.as_u16(), status, "{what}: {text}");
        let body = text.find('{').and_then(|_| {
            let from = text.find("}{").map_or(0, |end| end + 1);
            serde_json::from_str::<Value>(&text[from..]).ok()
        });
        let body = body.unwrap_or_default();
        for (name, pointer) in given {
            let secret = body.pointer(pointer).and_then(Value::as_str).unwrap().to_owned();
            text = text.replace(&secret, "<given>");
            self.secrets.push((name, secret));
        }
        self.answers.push((what, text));
        body
    }

    async fn post(&mut self, path: &str, body: Value, status: u16) -> Value {
        let request = self.client.request(Method::POST, path).json(&body);
        self.call(request, status, &[]).await
    }

    /// Posts what is answered with a session.
    async fn session(&mut self, path: &str, body: Value, status: u16) -> (String, String) {
        let request = self.client.request(Method::POST, path).json(&body);
        let (access, refresh) = ("/tokens/accessToken", "/tokens/refreshToken");
        let given = [("an access token", access), ("a refresh token", refresh)];
        let session = self.call(request, status, &given).await;
        let text = |pointer| session.pointer(pointer).and_then(Value::as_str).unwrap().to_owned();
        (text(access), text(refresh))
    }

    /// Likewise, with the refresh token in a cookie, which is given.
    async fn cookie(&mut self, path: &str, cookie: Option<&str>, body: Value) -> String {
        let mut request = self.client.request(Method::POST, path).json(&body);
        request = request.header("accept-session", "cookie");
        if let Some(cookie) = cookie {
            request = request.header("cookie", cookie);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        let set = response.headers()["set-cookie"].to_str().unwrap().to_owned();
        let pair = set.split(';').next().unwrap().to_owned();
        let (_, secret) = pair.split_once('=').unwrap();
        let mut text = format!("{:?}", response.headers()).replace(secret, "<given>");
        text.push_str(&response.text().await.unwrap());
        let body: Value = serde_json::from_str(&text[text.find("}{").unwrap() + 1..]).unwrap();
        let access = body["token"].as_str().unwrap();
        self.secrets.push(("a cookie", secret.to_owned()));
        self.answers.push((path.to_owned(), text.replace(access, "<given>")));
        self.secrets.push(("an access token", access.to_owned()));
        pair
    }

    fn found_in(&self, text: &str) -> Option<&'static str> {
        self.secrets.iter().find(|(_, secret)| text.contains(secret)).map(|(name, _)| *name)
    }
}

#[tokio::test]
async fn a_day_s_secrets_are_found_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let mut hub = start(folder.path());
    use_everything(&mut hub).await;
    misuse_everything(&mut hub).await;

    let metrics = Client::new(hub.program.url("admin")).request(Method::GET, "/metrics");
    let metrics = metrics.send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("/api/auth/login") || metrics.contains("login"), "{metrics}");
    let command_line = std::fs::read(format!("/proc/{}/cmdline", hub.program.id())).unwrap();
    let (log, access_log) = (hub.program.log.clone(), hub.data.join("access.log"));
    hub.program.signal("TERM");
    hub.program.ended().await;
    let access_log = eventually("the access log", || async {
        let text = std::fs::read_to_string(&access_log).ok()?;
        text.contains("/api/auth/logout").then_some(text)
    });
    let (access_log, log) = (access_log.await, std::fs::read_to_string(log).unwrap());
    let said: Vec<_> = hub.program.lines.iter().filter(|(label, _)| *label != "set-up").collect();
    for (place, text) in [
        ("metrics", metrics),
        ("the command line", String::from_utf8_lossy(&command_line).into_owned()),
        ("the access log", access_log),
        ("standard error", log),
        ("standard output", format!("{said:?}")),
    ] {
        assert!(!text.is_empty(), "{place} is empty");
        assert_eq!(hub.found_in(&text), None, "in {place}:\n{text}");
    }
    for (what, text) in &hub.answers {
        assert_eq!(hub.found_in(text), None, "in the answer to {what}:\n{text}");
    }
    assert!(hub.secrets.len() > 20 && hub.answers.len() > 25, "{}", hub.answers.len());
}

/// Whoever has a secret uses it as they should.
async fn use_everything(hub: &mut Watched) {
    let [first, second, third, ..] = PASSWORDS;
    let code = hub.secrets[1].1.clone();
    let account = |name: &str| json!({"username": name, "email": format!("{name}@a.example"), "password": first});
    let mut root = account("root");
    root["code"] = json!(code);
    hub.session("/api/auth/setup", root, 201).await;
    let (access, refresh) = hub.session("/api/auth/register", account("ada"), 201).await;
    let body = json!({ "refreshToken": refresh });
    let (_, refresh) = hub.session("/api/auth/refresh-token", body, 200).await;
    let used = json!({ "refreshToken": refresh });
    hub.session("/api/auth/refresh-token", used.clone(), 200).await;
    hub.post("/api/auth/refresh-token", used, 401).await;

    let login = |password: &str| json!({"username": "ada", "password": password});
    let cookie = hub.cookie("/api/auth/login", None, login(first)).await;
    hub.cookie("/api/auth/refresh-token", Some(&cookie), json!({})).await;
    let (access_again, _) = hub.session("/api/auth/login", login(first), 200).await;
    let ada = hub.client.with_token(&access_again);
    hub.post("/api/auth/login", login("a wrong password, Wn55"), 401).await;
    let old = hub.client.with_token(&access).request(Method::GET, "/api/users/profile");
    hub.call(old, 401, &[]).await;

    let key = json!({"name": "robot", "scopes": ["rooms:read"]});
    let request = ada.request(Method::POST, "/api/auth/api-keys").json(&key);
    let key = hub.call(request, 201, &[("a machine key", "/key")]).await;
    let request = hub.client.request(Method::GET, "/api/chat/rooms");
    hub.call(request.header("x-api-key", key["key"].as_str().unwrap()), 200, &[]).await;
    for path in ["/api/auth/api-keys", "/api/auth/sessions", "/api/users/profile", "/api/users"] {
        hub.call(ada.request(Method::GET, path), 200, &[]).await;
    }

    let path = format!("/api/chat/ws?token={access_again}");
    Socket::open(&ada.base, &path, None).await.want_op("hello").await;
    let request = ada.request(Method::POST, "/api/auth/ws-ticket").json(&json!({}));
    let ticket = hub.call(request, 201, &[("a ticket", "/ticket")]).await;
    let path = format!("/api/chat/ws?ticket={}", ticket["ticket"].as_str().unwrap());
    Socket::open(&ada.base, &path, None).await.want_op("hello").await;

    let change = json!({"currentPassword": first, "newPassword": second});
    let request = ada.request(Method::PUT, "/api/auth/change-password").json(&change);
    hub.call(request, 200, &[]).await;
    hub.post("/api/auth/forgot-password", json!({"email": "ada@a.example"}), 202).await;
    let token = mailed(hub, "#token=").await;
    let reset = json!({"token": token, "password": third});
    hub.post("/api/auth/reset-password", reset.clone(), 200).await;
    hub.post("/api/auth/reset-password", reset, 410).await;
    let verify = mailed(hub, "?token=").await;
    let page = format!("/api/auth/verify-email?token={verify}");
    let request = hub.client.request(Method::GET, &page);
    // The page carries it on, for it is what its button sends.
    let page = request.send().await.unwrap();
    let headers = format!("{:?}", page.headers());
    let text = headers + &page.text().await.unwrap().replace(&verify, "<given>");
    hub.answers.push(("GET /api/auth/verify-email".to_owned(), text));
    let (access, _) = hub.session("/api/auth/login", login(third), 200).await;
    let request = hub.client.with_token(&access).request(Method::POST, "/api/auth/logout");
    hub.call(request.json(&json!({})), 200, &[]).await;
}

/// What is behind `mark` in the letters, secret from now on.
async fn mailed(hub: &mut Watched, mark: &str) -> String {
    let folder = hub.data.join("mail");
    let token = eventually("a letter", || async {
        let letters = std::fs::read_dir(&folder).ok()?.flatten();
        let mut texts = letters.filter_map(|letter| std::fs::read_to_string(letter.path()).ok());
        texts.find_map(|text| Some(text.split_once(mark)?.1.split_whitespace().next()?.to_owned()))
    });
    let token = token.await;
    hub.secrets.push(("a token of a letter", token.clone()));
    token
}

/// Secrets where they do not belong, as people and programs send them.
async fn misuse_everything(hub: &mut Watched) {
    let [.., misplaced, field, header] = PASSWORDS;
    let token = hub.secrets.iter().rfind(|(name, _)| *name == "an access token").unwrap().1.clone();
    let refresh =
        hub.secrets.iter().rfind(|(name, _)| *name == "a refresh token").unwrap().1.clone();
    let forged = format!("{}AAAA", &token[..token.len() - 4]);
    hub.secrets.push(("a bad token", forged.clone()));
    let bad = hub.client.with_token(&forged).request(Method::GET, "/api/users/profile");
    hub.call(bad, 401, &[]).await;
    for name in ["token", "ticket", "access_token", "api_key"] {
        let path = format!("/api/users/profile?{name}={token}&x=1");
        hub.call(hub.client.request(Method::GET, &path), 401, &[]).await;
        let path = format!("/api/chat/ws?{name}={forged}");
        let request = hub.client.request(Method::GET, &path);
        let refused = request.send().await.unwrap();
        let text = format!("{:?}", refused.headers()) + &refused.text().await.unwrap();
        hub.answers.push((format!("GET /api/chat/ws?{name}="), text));
    }
    for body in [
        json!(misplaced),
        json!([misplaced]),
        json!({"username": [misplaced], "password": field}),
        json!({"username": "ada", "password": [field]}),
        json!({"username": "ada", "password": {"is": field}}),
        json!({"username": "ada", "email": "a@a.example", "password": field}),
    ] {
        hub.post("/api/auth/login", body, 400).await;
    }
    let broken = format!(r#"{{"username": "ada", "password": "{field}"#);
    let request = hub.client.request(Method::POST, "/api/auth/login");
    hub.call(request.header("content-type", "application/json").body(broken), 400, &[]).await;
    let form = format!("username=ada&password={field}");
    let request = hub.client.request(Method::POST, "/api/auth/login");
    let typed = request.header("content-type", "application/x-www-form-urlencoded");
    hub.call(typed.body(form), 415, &[]).await;
    let weak = json!({"username": "x", "email": "no", "password": field});
    hub.post("/api/auth/register", weak, 400).await;
    hub.post("/api/auth/setup", json!({"code": refresh, "username": "x"}), 400).await;

    let basic = STANDARD.encode(format!("ada:{header}"));
    hub.secrets.push(("a password in Basic", basic.clone()));
    for field in [format!("Basic {basic}"), token.clone(), format!("Token {token}")] {
        let request = hub.client.request(Method::GET, "/api/users/profile");
        hub.call(request.header("authorization", field), 401, &[]).await;
    }
    let request = hub.client.request(Method::GET, "/api/users/profile");
    hub.call(request.header("x-api-key", format!("hbk_{header}").replace(' ', "")), 401, &[]).await;
}

#[test]
fn a_secret_on_the_command_line_is_masked_in_what_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(hubbub());
    command.arg("--data").arg(folder.path().join("data")).arg("--print-config");
    let secrets = [
        ("identity.jwt_secret", JWT_SECRET),
        ("user.setup_code", PASSWORDS[0]),
        ("user.mail.password", PASSWORDS[1]),
        ("user.phone_codes.secret", PASSWORDS[2]),
        ("database.url", "postgres://hubbub:Kz81Qm27Vt93@db.example/hubbub"),
        ("bus.url", "nats://hubbub:Wn55Bd64Hc38@nats.example"),
    ];
    for (key, secret) in secrets {
        command.arg("--set").arg(format!("{key}={secret}"));
    }
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    for secret in secrets.map(|(_, secret)| secret).iter().chain(&["Kz81Qm27Vt93", "Wn55Bd64Hc38"])
    {
        assert!(!said.contains(secret), "{secret} is in:\n{said}");
    }
    assert!(said.contains("jwt_secret = \"***\""), "{said}");
}
