//! Letters over SMTP and codes over a webhook: real conversations with small servers that follow a script.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use harness::{Engine, on_both_engines};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::letters::{Log, letters, token, wait_for};
use crate::support::{Settings, settings};

const PHONE: &str = "+4930123456";

on_both_engines!(
    a_letter_is_handed_to_the_server,
    a_letter_waits_for_a_server_that_is_away,
    a_letter_that_is_not_taken_now_is_tried_again_and_one_that_never_is_is_given_up,
    a_server_that_hangs_does_not_hold_up_callers_or_the_end,
    a_server_without_encryption_gets_nothing,
    a_code_is_handed_to_the_webhook,
    a_webhook_that_is_busy_is_called_again_and_a_redirect_is_not_followed,
);

/// What a small server heard, and the tasks that listen.
struct Server {
    port: u16,
    heard: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl Server {
    /// Talks SMTP on `port`; answers to `RCPT` come from `script`, and are 250 when it is over.
    async fn smtp(port: u16, script: &[&'static str]) -> Self {
        let script: VecDeque<_> = script.iter().copied().collect();
        let (script, heard) = (Arc::new(Mutex::new(script)), Arc::<Mutex<Vec<String>>>::default());
        let (listener, ours) = (listen(port).await, heard.clone());
        let port = listener.local_addr().unwrap().port();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                converse(stream, &script, &ours).await;
            }
        });
        Self { port, heard, _tasks: tasks }
    }

    /// Takes calls over HTTP; answers come from `script`, and are 204 when it is over.
    async fn http(script: &[&'static str]) -> Self {
        let mut script: VecDeque<_> = script.iter().copied().collect();
        let heard = Arc::<Mutex<Vec<String>>>::default();
        let (listener, ours) = (listen(0).await, heard.clone());
        let port = listener.local_addr().unwrap().port();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let call = call(&mut stream).await;
                ours.lock().unwrap().push(call);
                let status = script.pop_front().unwrap_or("204 No Content");
                let answer = format!("HTTP/1.1 {status}\r\nconnection: close\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.ok();
            }
        });
        Self { port, heard, _tasks: tasks }
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }

    async fn heard_of(&self, part: &str, count: usize) -> String {
        wait_for(part, || {
            let heard = self.heard().into_iter().filter(|one| one.contains(part));
            heard.collect::<Vec<_>>().into_iter().nth(count - 1)
        })
        .await
    }
}

async fn listen(port: u16) -> TcpListener {
    TcpListener::bind(("127.0.0.1", port)).await.unwrap()
}

fn next(script: &Mutex<VecDeque<&'static str>>) -> &'static str {
    script.lock().unwrap().pop_front().unwrap_or("250 ok")
}

async fn converse(
    stream: TcpStream,
    script: &Mutex<VecDeque<&'static str>>,
    heard: &Mutex<Vec<String>>,
) {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 ready\r\n").await.ok();
    let mut line = String::new();
    while stream.read_line(&mut line).await.is_ok_and(|bytes| bytes > 0) {
        let command = line.split(' ').next().unwrap().trim().to_ascii_uppercase();
        heard.lock().unwrap().push(line.trim_end().to_owned());
        let answer = match command.as_str() {
            "EHLO" => "250-here\r\n250 8BITMIME",
            "RCPT" => next(script),
            "DATA" => {
                stream.write_all(b"354 go on\r\n").await.ok();
                let mut text = String::new();
                while !text.ends_with("\r\n.\r\n") {
                    if stream.read_line(&mut text).await.is_ok_and(|bytes| bytes == 0) {
                        return;
                    }
                }
                heard.lock().unwrap().push(text);
                "250 taken"
            }
            "QUIT" => "221 bye",
            _ => "250 ok",
        };
        if stream.write_all(format!("{answer}\r\n").as_bytes()).await.is_err() {
            return;
        }
        line.clear();
    }
}

/// One request, head and body.
async fn call(stream: &mut TcpStream) -> String {
    let (mut text, mut buffer) = (String::new(), [0; 4096]);
    while !text.contains("\r\n\r\n{") || !text.ends_with('}') {
        match stream.read(&mut buffer).await {
            Ok(bytes) if bytes > 0 => text += &String::from_utf8_lossy(&buffer[..bytes]),
            _ => break,
        }
    }
    text
}

fn with_server(engine: Engine, port: u16) -> Settings {
    settings(engine)
        .with("user.mail.host=127.0.0.1")
        .with(&format!("user.mail.port={port}"))
        .with("user.mail.tls=none")
        .with("user.mail.sending.pause_first=20ms")
        .with("user.mail.from=Shop <shop@example.org>")
}

async fn a_letter_is_handed_to_the_server(engine: Engine) {
    let log = Log::of_this_thread();
    let server = Server::smtp(0, &[]).await;
    let spoke = with_server(engine, server.port).start().await;
    spoke.registered("ada").await;
    let letter = server.heard_of("Subject: ", 1).await;
    assert!(
        letter.contains("From: Shop <shop@example.org>\r\nTo: ada@example.com\r\n"),
        "{letter}"
    );
    let heard = server.heard();
    for line in ["EHLO example.org", "RCPT TO:<ada@example.com>"] {
        assert!(heard.iter().any(|one| one.starts_with(line)), "{line} not in {heard:?}");
    }
    let body = json!({"token": token(&letter)});
    spoke.post("/api/verify-email", &body).await.is(200);
    assert!(letters(&spoke).is_empty(), "a letter that has a server is no file");
    for secret in [token(&letter).as_str(), "ada@example.com", "Confirm your"] {
        assert!(!log.text().contains(secret), "{secret} is in the log");
    }
}

async fn a_letter_waits_for_a_server_that_is_away(engine: Engine) {
    let log = Log::of_this_thread();
    let port = harness::free_port().unwrap();
    let spoke = with_server(engine, port).with("user.mail.sending.tries_max=1000").start().await;
    spoke.registered("ada").await;
    wait_for("a warning", || log.text().contains("A letter has to wait").then_some(())).await;
    let server = Server::smtp(port, &[]).await;
    let letter = server.heard_of("Subject: ", 1).await;
    spoke.post("/api/verify-email", &json!({"token": token(&letter)})).await.is(200);
}

async fn a_letter_that_is_not_taken_now_is_tried_again_and_one_that_never_is_is_given_up(
    engine: Engine,
) {
    let log = Log::of_this_thread();
    let server = Server::smtp(0, &["451 ada@example.com: later", "250 ok"]).await;
    let spoke = with_server(engine, server.port).start().await;
    spoke.registered("ada").await;
    server.heard_of("To: ada@example.com", 1).await;

    let server = Server::smtp(0, &["550 bob@example.com: never"]).await;
    let spoke = with_server(engine, server.port).start().await;
    spoke.registered("bob").await;
    wait_for("a warning", || log.text().contains("A letter was not delivered").then_some(())).await;
    assert!(log.text().contains("lost=1") && log.text().contains("the server says 550"));
    assert!(!server.heard().iter().any(|one| one.starts_with("DATA")));
    assert!(!log.text().contains("@example.com"), "what a server says is not in the log");
}

async fn a_server_that_hangs_does_not_hold_up_callers_or_the_end(engine: Engine) {
    let silent = listen(0).await;
    let port = silent.local_addr().unwrap().port();
    let spoke = with_server(engine, port).with("user.mail.timeout=1h").start().await;
    spoke.registered("ada").await;
    let began = tokio::time::Instant::now();
    spoke.restart().await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

async fn a_server_without_encryption_gets_nothing(engine: Engine) {
    let log = Log::of_this_thread();
    let server = Server::smtp(0, &[]).await;
    let settings = with_server(engine, server.port).with("user.mail.tls=starttls");
    let spoke = settings.with("user.mail.sending.tries_max=1").start().await;
    spoke.registered("ada").await;
    wait_for("a warning", || log.text().contains("A letter was not delivered").then_some(())).await;
    assert!(!server.heard().iter().any(|one| one.starts_with("MAIL")), "{:?}", server.heard());
}

fn with_webhook(engine: Engine, port: u16) -> Settings {
    settings(engine)
        .with("user.phone_codes.provider=webhook")
        .with(&format!("user.phone_codes.url=http://127.0.0.1:{port}/codes"))
        .with("user.phone_codes.secret=swordfish")
        .with("user.phone_codes.sending.pause_first=20ms")
}

fn body(call: &str) -> Value {
    serde_json::from_str(call.split_once("\r\n\r\n").unwrap().1).unwrap()
}

async fn a_code_is_handed_to_the_webhook(engine: Engine) {
    let log = Log::of_this_thread();
    let server = Server::http(&[]).await;
    let spoke = with_webhook(engine, server.port).start().await;
    spoke.post("/api/otp", &json!({"phone": PHONE})).await.is(202);
    let call = server.heard_of("POST /codes", 1).await;
    assert!(call.contains("authorization: Bearer swordfish\r\n"), "{call}");
    let body = body(&call);
    let code = body["code"].as_str().unwrap();
    assert_eq!((&body["phone"], &body["expiresIn"]), (&json!(PHONE), &json!(300)));
    assert!(body["text"].as_str().unwrap().contains(code));
    let answer = json!({"phone": PHONE, "code": code});
    spoke.post("/api/otp/verify", &answer).await.is(200);
    assert!(!log.text().contains("swordfish") && !log.text().contains(PHONE));
}

async fn a_webhook_that_is_busy_is_called_again_and_a_redirect_is_not_followed(engine: Engine) {
    let log = Log::of_this_thread();
    let script = ["503 Busy", "204 No Content", "307 Elsewhere\r\nlocation: /elsewhere"];
    let server = Server::http(&script).await;
    let spoke = with_webhook(engine, server.port).start().await;
    spoke.post("/api/otp", &json!({"phone": PHONE})).await.is(202);
    let (first, second) =
        (server.heard_of("POST /codes", 1).await, server.heard_of("POST /codes", 2).await);
    assert_eq!(body(&first), body(&second), "the same code");
    let key = |call: &str| call.split_once("idempotency-key: ").unwrap().1[..36].to_owned();
    assert_eq!(key(&first), key(&second));

    spoke.post("/api/otp", &json!({"phone": PHONE})).await.is(202);
    wait_for("a warning", || log.text().contains("A code was not delivered").then_some(())).await;
    assert_eq!(server.heard().len(), 3, "{:?}", server.heard());
}
