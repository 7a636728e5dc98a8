//! The listener: what it bounds, what junk does to it, and what it keeps of a call's names.

use std::time::Duration;

use axum::http::{Request, header};
use chassis::Stop;
use harness::Engine;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tonic::Code;
use tonic::body::Body;

use super::client::{Client, from, http};
use super::spoke;
use crate::support::{Spoke, access, settings};

fn place(spoke: &Spoke) -> String {
    spoke.told("grpc").unwrap().replace("http://", "")
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused() {
    let spoke = spoke(Engine::Sqlite).await;
    let bridge = spoke.service_token("bridge");
    let client = Client::of(&spoke);
    let status = client.generate(Some(&bridge), &"x".repeat(66_000)).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert_eq!(status.message(), "The message is too large.");
    let status = client.generate(Some(&bridge), "nobody@example.com").await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound, "the connection goes on");
}

#[tokio::test]
async fn a_head_over_the_limit_is_refused() {
    let spoke = spoke(Engine::Sqlite).await;
    let session = spoke.registered("ada").await;
    let client = Client::of(&spoke);
    assert!(client.validate(Some(&"x".repeat(70_000)), access(&session)).await.is_err());
    client.validate(Some(access(&session)), access(&session)).await.unwrap();
}

#[tokio::test]
async fn a_message_that_cannot_be_read_is_invalid_and_repeated_to_nobody() {
    let spoke = spoke(Engine::Sqlite).await;
    let client = Client::of(&spoke);
    let cut_off = [0, 0, 0, 0, 2, 0x0a, 0xff].as_slice();
    let too_short = [0, 0, 0, 0, 9, 0x0a].as_slice();
    let not_text = [0, 0, 0, 0, 3, 0x0a, 1, 0xff].as_slice();
    let compressed = [1, 0, 0, 0, 1, 0].as_slice();
    for junk in [cut_off, too_short, not_text, compressed, &[]] {
        let request = Request::post(format!("{}auth.AuthService/ValidateToken", client.origin))
            .header(header::CONTENT_TYPE, "application/grpc")
            .body(Body::new(axum::body::Body::from(junk)))
            .unwrap();
        let answer = client.http.request(request).await.unwrap();
        assert_eq!(answer.headers()["grpc-status"], "3", "{junk:?}");
        assert_eq!(answer.headers()["grpc-message"], "The%20message%20cannot%20be%20read.");
    }
}

#[tokio::test]
async fn junk_is_hung_up_on_and_harms_nobody() {
    let spoke = spoke(Engine::Sqlite).await;
    let session = spoke.registered("ada").await;
    let client = Client::of(&spoke);
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    for junk in [
        "GET / HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(),
        "\x16\x03\x01\x02\x00\x01\x00\x01\u{fc}\x03\x03".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\rx".to_owned(),
        format!("{preface}{}", "junk".repeat(1_000)),
    ] {
        let mut stream = TcpStream::connect(place(&spoke)).await.unwrap();
        stream.write_all(junk.as_bytes()).await.unwrap();
        let mut said = Vec::new();
        // A reset is as good an end as any.
        stream.read_to_end(&mut said).await.ok();
        assert!(!said.starts_with(b"HTTP/1"), "{said:?}");
        client.validate(Some(access(&session)), access(&session)).await.unwrap();
    }
}

#[tokio::test]
async fn whoever_connects_and_says_nothing_is_hung_up_on() {
    let settings = settings(Engine::Sqlite).with("user.grpc.preface_timeout=20ms");
    let spoke = settings.start().await;
    let mut silent = TcpStream::connect(place(&spoke)).await.unwrap();
    assert_eq!(silent.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_call_that_never_ends_is_ended() {
    let spoke = settings(Engine::Sqlite).with("user.grpc.call_timeout=20ms").start().await;
    let client = Client::of(&spoke);
    let never = futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>();
    let request = Request::post(format!("{}auth.AuthService/ValidateToken", client.origin))
        .header(header::CONTENT_TYPE, "application/grpc")
        .body(Body::new(axum::body::Body::from_stream(never)))
        .unwrap();
    let answer = client.http.request(request).await.unwrap();
    assert_eq!(answer.headers()["grpc-status"], "4");
}

#[tokio::test]
async fn one_connection_too_many_waits_for_another_to_end() {
    let spoke = settings(Engine::Sqlite).with("user.grpc.connections_max=1").start().await;
    let session = spoke.registered("ada").await;
    let first = TcpStream::connect(place(&spoke)).await.unwrap();
    let client = Client::of(&spoke);
    let call = client.validate(Some(access(&session)), access(&session));
    tokio::pin!(call);
    let early = tokio::time::timeout(Duration::from_millis(100), call.as_mut()).await;
    assert!(early.is_err(), "{early:?}");
    drop(first);
    call.await.unwrap();
}

#[tokio::test]
async fn a_call_keeps_the_name_that_it_came_with() {
    let spoke = spoke(Engine::Sqlite).await;
    let session = spoke.registered("ada").await;
    let client = Client::of(&spoke);
    let mut kept = Vec::new();
    for id in ["a-name.of_its-own", "not a name"] {
        let message = auth_proto::ValidateTokenRequest { token: access(&session).to_owned() };
        let mut request = from(Some(access(&session)), message);
        request.metadata_mut().insert("x-request-id", id.parse().unwrap());
        let answer = client.auth().validate_token(request).await.unwrap();
        kept.push(answer.metadata().get("x-request-id").unwrap().to_str().unwrap().to_owned());
    }
    assert_eq!(kept[0], "a-name.of_its-own");
    assert_eq!(kept[1].len(), 32, "{}", kept[1]);
}

#[tokio::test]
async fn a_call_that_there_is_not_is_unimplemented() {
    let spoke = spoke(Engine::Sqlite).await;
    let client = Client::of(&spoke);
    for path in ["auth.AuthService/Nothing", "auth.Nothing/ValidateToken", "", "api/profile"] {
        let request =
            Request::post(format!("{}{path}", client.origin)).body(Body::empty()).unwrap();
        let answer = http().request(request).await.unwrap();
        assert_eq!(answer.headers()["grpc-status"], "12", "{path}");
    }
}

#[tokio::test]
async fn without_an_address_there_is_no_listener() {
    let spoke = settings(Engine::Sqlite).with("user.grpc_listen=").start().await;
    assert!(spoke.told("grpc").is_none());
    spoke.get("/health").await.is(200);
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let settings = settings(Engine::Sqlite).with(&format!("user.grpc_listen={address}"));
    let error = settings.fault().await.to_string();
    assert!(error.contains(&address.to_string()) && error.contains("taken"), "{error}");
}

/// What is in flight is still answered, and then the connection ends.
#[tokio::test]
async fn a_drain_finishes_what_is_in_flight() {
    let spoke = spoke(Engine::Sqlite).await;
    let session = spoke.registered("ada").await;
    let client = Client::of(&spoke);
    let (token, stop) = (access(&session).to_owned(), spoke.stop().clone());
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let body = futures_util::stream::once(async move {
        begun.send(()).unwrap();
        Stop::drain_began(&stop).await;
        Ok::<_, std::io::Error>(framed(&token))
    });
    let request = Request::post(format!("{}auth.AuthService/ValidateToken", client.origin))
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::AUTHORIZATION, format!("Bearer {}", access(&session)))
        .body(Body::new(axum::body::Body::from_stream(body)))
        .unwrap();
    let call = client.http.request(request);
    let drain = async {
        has_begun.await.unwrap();
        // Behind it on the same connection: when this is answered, that one has come.
        client.validate(Some(access(&session)), access(&session)).await.unwrap();
        spoke.drain().await
    };
    let (answer, drained) = tokio::join!(call, drain);
    assert_eq!(drained, chassis::running::Drained::Clean);
    let answer = answer.unwrap();
    assert!(!answer.headers().contains_key("grpc-status"), "{answer:?}");
    assert!(client.validate(Some("any"), "any").await.is_err(), "nobody listens any more");
}

/// The message with `token`, as it goes over the wire.
fn framed(token: &str) -> Vec<u8> {
    let length = token.len();
    assert!((128..16_384).contains(&length), "two bytes say how long it is");
    let varint = [0x80 | (length & 0x7f), length >> 7].map(|part| u8::try_from(part).unwrap());
    let message = [&[0x0a], varint.as_slice(), token.as_bytes()].concat();
    let prefix = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0], prefix.as_slice(), &message].concat()
}
