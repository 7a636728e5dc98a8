//! Health and reflection, which everybody may ask for.

use chassis::running::Drained;
use futures_util::{StreamExt as _, stream};
use harness::Engine;
use harness::postgres::{Disk, Server};
use tonic::{Code, Streaming};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use super::client::{Client, Http};
use super::spoke;
use crate::support::settings;

fn health(client: &Client) -> HealthClient<Http> {
    HealthClient::with_origin(client.http.clone(), client.origin.clone())
}

fn of(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned() }
}

async fn next(watch: &mut Streaming<HealthCheckResponse>) -> ServingStatus {
    watch.next().await.unwrap().unwrap().status()
}

#[tokio::test]
async fn health_is_told_for_the_whole_and_for_the_service() {
    let spoke = spoke(Engine::Sqlite).await;
    let mut health = health(&Client::of(&spoke));
    for service in ["", "auth.AuthService"] {
        let mut watch = health.watch(of(service)).await.unwrap().into_inner();
        assert_eq!(next(&mut watch).await, ServingStatus::Serving, "{service}");
        let answer = health.check(of(service)).await.unwrap();
        assert_eq!(answer.into_inner().status(), ServingStatus::Serving, "{service}");
    }
    let unknown = health.check(of("auth.Nothing")).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn health_follows_the_database() {
    let mut server = Server::start(Disk::Hurried).unwrap();
    let settings = settings(Engine::Sqlite).at(&server.url("postgres"));
    let spoke = settings.with("user.grpc.health_interval=20ms").start().await;
    let mut health = health(&Client::of(&spoke));
    let mut watch = health.watch(of("auth.AuthService")).await.unwrap().into_inner();
    assert_eq!(next(&mut watch).await, ServingStatus::Serving);
    tokio::task::block_in_place(|| server.crash());
    while next(&mut watch).await != ServingStatus::NotServing {}
    tokio::task::block_in_place(|| server.start_again()).unwrap();
    while next(&mut watch).await != ServingStatus::Serving {}
}

#[tokio::test]
async fn whoever_leaves_does_not_serve_and_waits_for_no_watcher() {
    let spoke = spoke(Engine::Sqlite).await;
    let client = Client::of(&spoke);
    let mut watch = health(&client).watch(of("")).await.unwrap().into_inner();
    assert_eq!(next(&mut watch).await, ServingStatus::Serving);
    let mut reflection = ServerReflectionClient::with_origin(client.http, client.origin);
    let silent = stream::pending::<ServerReflectionRequest>();
    let mut idle = reflection.server_reflection_info(silent).await.unwrap().into_inner();

    spoke.stop().leave();
    assert_eq!(next(&mut watch).await, ServingStatus::NotServing);
    assert_eq!(spoke.drain().await, Drained::Clean);
    assert_eq!(watch.next().await.unwrap().unwrap_err().code(), Code::Unavailable);
    assert_eq!(idle.next().await.unwrap().unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn reflection_lists_the_services() {
    let spoke = spoke(Engine::Sqlite).await;
    let client = Client::of(&spoke);
    let mut reflection = ServerReflectionClient::with_origin(client.http, client.origin);
    let ask =
        |message| ServerReflectionRequest { host: String::new(), message_request: Some(message) };
    let questions = [
        ask(MessageRequest::ListServices(String::new())),
        ask(MessageRequest::FileContainingSymbol("auth.AuthService".to_owned())),
    ];
    let answers = reflection.server_reflection_info(stream::iter(questions)).await.unwrap();
    let answers: Vec<_> =
        answers.into_inner().map(|one| one.unwrap().message_response).collect().await;
    let [Some(MessageResponse::ListServicesResponse(list)), Some(file)] = answers.as_slice() else {
        panic!("{answers:?}")
    };
    let mut names: Vec<_> = list.service.iter().map(|service| service.name.as_str()).collect();
    names.sort_unstable();
    let wanted =
        ["auth.AuthService", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"];
    assert_eq!(names, wanted);
    assert!(matches!(file, MessageResponse::FileDescriptorResponse(_)), "{file:?}");
}
