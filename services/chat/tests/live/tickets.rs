//! Sockets that are opened with a ticket.

use std::time::Duration;

use contract::Kind;
use contract::caller::UserClaims;
use contract::revocation::Revoked;
use serde_json::json;

use crate::accounts::Users;
use crate::client::{Client, request};
use crate::world::{Chat, World, claims, user};

async fn at(chat: &Chat, path: &str) -> Client {
    Client::connect(request(chat, path, &[])).await.0
}

#[tokio::test]
async fn a_ticket_opens_one_socket() {
    let mut world = World::new();
    world.script.public("tea", &[user("ada")]);
    let users = Users::start(&mut world);
    let chat = world.start().await;
    users.give_ticket("t1", claims("ada"));
    users.give_ticket("t2", claims("ada"));
    let hello = at(&chat, "/ws?ticket=t1").await.hear().await;
    assert_eq!((&hello["userId"], &hello["sessionId"]), (&json!(user("ada")), &json!(user("ada"))));
    for bad in ["t1", "", "nonsense", &"x".repeat(2_000)] {
        let (code, frames) = at(&chat, &format!("/ws?ticket={bad}")).await.closed().await;
        assert_eq!((code, &frames[0]["code"]), (4401, &json!("bad-token")), "{bad}");
    }
    let mut room = at(&chat, "/ws/tea?ticket=t2").await;
    assert_eq!(room.hear().await["op"], "hello");
    assert_eq!(room.hear().await["op"], "subscribed");
}

#[tokio::test]
async fn a_socket_ends_as_the_token_behind_its_ticket_would() {
    let mut world = World::new();
    world.layers.put("chat.ws.token_grace", "10ms");
    let users = Users::start(&mut world);
    let chat = world.start().await;
    users.give_ticket("dying", UserClaims { exp: claims("ada").iat + 2, ..claims("ada") });
    users.give_ticket("dead", UserClaims { exp: claims("ada").iat - 2, ..claims("ada") });
    users.give_ticket("ended", claims("bob"));
    let mut bob = Client::open(&world, &chat, "bob").await;
    users.revoke(Revoked::Session { sid: claims("bob").sid }, chassis::Clock::System.now());
    assert_eq!(bob.closed().await.0, 4410);
    let (code, frames) = at(&chat, "/ws?ticket=ended").await.closed().await;
    assert_eq!((code, &frames[0]["code"]), (4410, &json!("revoked-token")));
    let (code, frames) = at(&chat, "/ws?ticket=dead").await.closed().await;
    assert_eq!((code, &frames[0]["code"]), (4401, &json!("expired-token")));
    let (code, frames) = at(&chat, "/ws?ticket=dying").await.closed().await;
    let said = frames.iter().map(|frame| frame["op"].as_str().unwrap());
    let said: Vec<_> = said.filter(|op| *op != "ping").collect();
    assert_eq!((code, said), (4401, vec!["hello", "tokenExpiring", "err"]));
}

#[tokio::test]
async fn a_user_service_that_is_away_or_slow_is_told_before_the_upgrade() {
    let mut world = World::new();
    let users = Users::start(&mut world);
    let chat = world.start().await;
    users.give_ticket("t", claims("ada"));
    users.set_trouble(Some(Kind::Unavailable));
    let refused = Client::refused(request(&chat, "/ws?ticket=t", &[])).await;
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["retry-after"]),
        (503, &"1".parse().unwrap())
    );
    users.set_trouble(None);
    assert_eq!(at(&chat, "/ws?ticket=t").await.hear().await["op"], "hello");
    // Takes connections and says nothing.
    let mute = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    world.layers.put("chat.user_url", format!("http://{}", mute.local_addr().unwrap()));
    world.layers.put("chat.user_timeout", "50ms");
    let chat = world.start().await;
    let refusing = Client::refused(request(&chat, "/ws?ticket=t", &[]));
    let refused = tokio::time::timeout(Duration::from_secs(5), refusing).await.unwrap();
    assert_eq!(refused.status(), 503);
}
