//! Calls of gRPC through the gateway: every shape of call, and how it says no itself.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request};

use crate::h2c::{Client, Up, answer, data, ended, grpc, h2c_gateway, head, read, soon, whole};
use crate::issuer::Issuer;
use crate::support::{Gateway, Upstream, gateway};

/// The route of the default configuration.
const VALIDATE: &str = "/auth.AuthService/ValidateToken";

#[tokio::test]
async fn a_unary_call_and_its_trailers_pass_in_both_directions() {
    let up = Up::echo().await;
    let gateway = h2c_gateway(up.address, &[]).await;
    let client = Client::connect(&gateway).await;
    let mut request = grpc("/open/t.T/Unary?x=1");
    request.headers_mut().insert("grpc-timeout", HeaderValue::from_static("5S"));
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("7"));
    for name in ["x-user-id", "authorization", "x-user-roles", "x-user_id", "content-length"] {
        trailers.insert(name, HeaderValue::from_static("1"));
    }
    let answer = client.call(request, b"\0\0\0\0\x02hi", Some(trailers)).await.unwrap();
    assert_eq!((answer.status, &answer.body[..]), (200, &b"\0\0\0\0\x02hi"[..]));
    assert_eq!(answer.trailer("grpc-status"), Some("0"));
    assert!(answer.field("x-request-id").is_some());
    let saw = up.saw_one();
    assert_eq!((saw.method.as_str(), saw.uri.as_str()), ("POST", "http://hub/t.T/Unary?x=1"));
    assert_eq!(saw.headers["grpc-timeout"], "5S");
    assert_eq!(saw.headers["te"], "trailers");
    assert!(saw.headers["via"].to_str().unwrap().starts_with("2.0 hubbub-"), "{saw:?}");
    let trailers = saw.trailers.unwrap();
    assert_eq!(trailers.keys().collect::<Vec<_>>(), ["x-sum"]);
}

#[tokio::test]
async fn messages_stream_both_ways_without_waiting_for_each_other() {
    let up = Up::serving(async |request, mut respond| {
        let mut from = request.into_body();
        let mut to = respond.send_response(head(), false).unwrap();
        while let Some(Ok(part)) = from.data().await {
            from.flow_control().release_capacity(part.len()).unwrap();
            to.send_data(part, false).unwrap();
        }
        to.send_trailers(ended("0")).unwrap();
    })
    .await;
    let gateway = h2c_gateway(up.address, &[]).await;
    let client = Client::connect(&gateway).await;
    let (answer, mut to) = client.begin(grpc("/open/t.T/Echo")).await;
    let mut from = soon(answer).await.unwrap().into_body();
    for message in ["one", "two", "three"] {
        to.send_data(Bytes::from(message), false).unwrap();
        let back = soon(from.data()).await.unwrap().unwrap();
        from.flow_control().release_capacity(back.len()).unwrap();
        assert_eq!(back, message);
    }
    to.send_data(Bytes::new(), true).unwrap();
    assert!(soon(from.data()).await.is_none());
    let trailers = soon(from.trailers()).await.unwrap().unwrap();
    assert_eq!(trailers["grpc-status"], "0");
}

#[tokio::test]
async fn a_stream_of_answers_comes_message_by_message() {
    let up = Up::serving(async |request, mut respond| {
        read(request).await;
        let mut to = respond.send_response(head(), false).unwrap();
        for message in ["a", "b", "c"] {
            to.send_data(Bytes::from(message), false).unwrap();
        }
        to.send_trailers(ended("0")).unwrap();
    })
    .await;
    let gateway = h2c_gateway(up.address, &[]).await;
    let client = Client::connect(&gateway).await;
    let answer = client.call(grpc("/open/t.T/Stream"), b"go", None).await.unwrap();
    assert_eq!(answer.body, b"abc");
    assert_eq!(answer.trailer("grpc-status"), Some("0"));
}

#[tokio::test]
async fn an_answer_of_trailers_only_stays_one() {
    let up = Up::serving(async |request, mut respond| {
        read(request).await;
        let mut head = head();
        head.headers_mut().extend(ended("5"));
        respond.send_response(head, true).unwrap();
    })
    .await;
    let gateway = h2c_gateway(up.address, &[]).await;
    let answer = Client::connect(&gateway).await.call(grpc("/open/t.T/Fail"), b"x", None).await;
    let answer = answer.unwrap();
    assert_eq!((answer.field("grpc-status"), answer.body.len()), (Some("5"), 0));
}

#[tokio::test]
async fn an_upstream_that_breaks_off_in_an_answer_is_told_as_unavailable() {
    let up = Up::start(async |mut connection, number| {
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            if request.uri().path() != "/die" || number > 0 {
                answer(respond, Bytes::from("well"));
                continue;
            }
            let mut stream = respond.send_response(head(), false).unwrap();
            stream.send_data(Bytes::from("half"), false).unwrap();
            // Writes what there is, then ends without a word.
            let flushed = std::future::poll_fn(|cx| connection.poll_closed(cx));
            tokio::time::timeout(Duration::from_millis(200), flushed).await.ok();
            return;
        }
    })
    .await;
    let gateway = h2c_gateway(up.address, &[]).await;
    let client = Client::connect(&gateway).await;
    let answer = client.call(grpc("/open/die"), b"x", None).await.unwrap();
    assert_eq!((answer.status, &answer.body[..]), (200, &b"half"[..]));
    assert_eq!(answer.trailer("grpc-status"), Some("14"));
    // Nobody else is harmed, neither on the same connection nor elsewhere.
    let answer = client.call(grpc("/open/live"), b"x", None).await.unwrap();
    assert_eq!((answer.trailer("grpc-status"), &answer.body[..]), (Some("0"), &b"well"[..]));
}

/// How the gateway refuses the call `request`: its code and words.
async fn refusal(gateway: &Gateway, request: Request<()>) -> (String, String) {
    let answer = Client::connect(gateway).await.call(request, b"x", None).await.unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.field("content-type"), Some("application/grpc"), "{answer:?}");
    assert!(answer.field("x-request-id").is_some(), "{answer:?}");
    assert!(answer.body.is_empty() && answer.trailers.is_none(), "{answer:?}");
    let text = |name| answer.field(name).unwrap_or_default().to_owned();
    (text("grpc-status"), text("grpc-message"))
}

#[tokio::test]
async fn a_call_that_is_refused_hears_so_in_the_words_of_grpc() {
    let up = Up::echo().await;
    let settings = ["gateway.routes.open.body_bytes_max=8"];
    let gateway = h2c_gateway(up.address, &settings).await;
    assert_eq!(refusal(&gateway, grpc(VALIDATE)).await.0, "16");
    assert_eq!(refusal(&gateway, grpc("/no.Such/Call")).await.0, "12");
    let mut bad = grpc("/open/a");
    bad.headers_mut().insert("content-length", HeaderValue::from_static("9"));
    let client = Client::connect(&gateway).await;
    let answer = client.call(bad, b"123456789", None).await.unwrap();
    assert_eq!(answer.field("grpc-status"), Some("8"), "{answer:?}");
    let answer = client.call(grpc("/open/a"), b"123456789", None).await.unwrap();
    assert_eq!(answer.field("grpc-status"), Some("8"), "{answer:?}");
    let (code, words) = refusal(&gateway, grpc("/open/a/%2F")).await;
    assert_eq!(code, "3");
    assert!(!words.is_empty());
}

#[tokio::test]
async fn a_call_over_http_1_is_refused_in_the_same_words() {
    let up = Up::echo().await;
    for way in ["gateway.lean_way=true", "gateway.lean_way=false"] {
        let gateway = h2c_gateway(up.address, &[way]).await;
        let fields = "Host: a\r\nContent-Type: application/grpc+proto\r\nContent-Length: 0\r\n";
        for (path, code) in [(VALIDATE, "16"), ("/no.Such/Call", "12")] {
            let answer = gateway.ask(&format!("POST {path} HTTP/1.1\r\n{fields}\r\n")).await;
            assert_eq!(
                (answer.status, answer.field("grpc-status")),
                (200, Some(code)),
                "{answer:?}"
            );
            assert!(answer.body.is_empty() && answer.field("x-request-id").is_some());
        }
    }
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_told_as_unavailable() {
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let gateway = h2c_gateway(gone, &[]).await;
    assert_eq!(refusal(&gateway, grpc("/open/a")).await.0, "14");
}

#[tokio::test]
async fn an_upstream_that_is_late_is_told_as_a_deadline() {
    let up = Up::serving(async |request, _respond| {
        read(request).await;
        std::future::pending::<()>().await;
    })
    .await;
    let settings = ["gateway.routes.open.response_timeout=200ms"];
    let gateway = h2c_gateway(up.address, &settings).await;
    assert_eq!(refusal(&gateway, grpc("/open/a")).await.0, "4");
}

#[tokio::test]
async fn what_is_no_call_of_grpc_is_refused_with_a_problem() {
    let up = Up::echo().await;
    let gateway = h2c_gateway(up.address, &[]).await;
    let answer = Client::connect(&gateway).await.get("/nothing").await.unwrap();
    assert_eq!(answer.status, 404);
    assert_eq!(answer.field("content-type"), Some("application/problem+json"));
}

#[tokio::test]
async fn a_token_opens_the_route_of_the_token_service() {
    let issuer = Issuer::new("a");
    let keys = Upstream::answering(Issuer::answer(&[&issuer])).await;
    let up = Up::echo().await;
    let url = format!("gateway.auth.jwks_url=http://{}/keys", keys.address);
    let at = format!("gateway.upstreams.user-grpc.endpoints=[\"http://{}\"]", up.address);
    let gateway = gateway(keys.address, &[&url, &at]).await;
    let mut request = grpc(VALIDATE);
    let token = issuer.token(60, &[]);
    let bearer = HeaderValue::try_from(format!("Bearer {token}")).unwrap();
    request.headers_mut().insert("authorization", bearer.clone());
    request.headers_mut().insert("x-user-id", HeaderValue::from_static("root"));
    let answer = Client::connect(&gateway).await.call(request, b"token", None).await.unwrap();
    assert_eq!(answer.trailer("grpc-status"), Some("0"), "{answer:?}");
    let saw = up.saw_one();
    assert_eq!(saw.uri, format!("http://hub{VALIDATE}"));
    assert_eq!(saw.headers["authorization"], bearer);
    let named: Vec<_> = saw.headers.get_all("x-user-id").iter().collect();
    assert_eq!(named, ["00000000-0000-0000-0000-000000000007"]);
}

#[tokio::test]
async fn a_caller_that_gives_up_is_given_up_at_the_upstream() {
    let (tell, mut told) = tokio::sync::mpsc::channel::<Option<h2::Reason>>(2);
    let up = Up::serving(move |_request, mut respond| {
        let tell = tell.clone();
        async move {
            tell.send(None).await.unwrap();
            let reason = std::future::poll_fn(|cx| respond.poll_reset(cx)).await.unwrap();
            tell.send(Some(reason)).await.unwrap();
        }
    })
    .await;
    let gateway = h2c_gateway(up.address, &[]).await;
    let client = Client::connect(&gateway).await;
    let (answer, mut stream) = client.begin(grpc("/open/a")).await;
    stream.send_data(Bytes::from("x"), false).unwrap();
    assert_eq!(soon(told.recv()).await, Some(None), "it has arrived");
    stream.send_reset(h2::Reason::CANCEL);
    assert!(soon(whole(answer)).await.is_err());
    assert_eq!(soon(told.recv()).await, Some(Some(h2::Reason::CANCEL)));
}

#[tokio::test]
async fn a_large_body_passes_within_windows_in_both_directions() {
    const LENGTH: usize = 700_000;
    let up = Up::serving(async |request, mut respond| {
        let mut from = request.into_body();
        let body = data(&mut from).await.unwrap();
        let mut to = respond.send_response(head(), false).unwrap();
        to.send_data(body.into(), false).unwrap();
        to.send_trailers(ended("0")).unwrap();
    })
    .await;
    let gateway = h2c_gateway(up.address, &[]).await;
    let body: &'static [u8] = Box::leak(vec![b'z'; LENGTH].into_boxed_slice());
    let answer = Client::connect(&gateway).await.call(grpc("/open/a"), body, None).await.unwrap();
    assert_eq!((answer.body.len(), answer.trailer("grpc-status")), (LENGTH, Some("0")));
}
