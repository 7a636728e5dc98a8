//! Nothing is lost and nothing comes twice: resuming, holes, gaps, and rooms that close to somebody.

use serde_json::{Value, json};

use crate::client::Client;
use crate::script::{Bell, Mood};
use crate::world::{World, until, user};

fn tea(world: &World, messages: usize) {
    world.script.public("tea", &[user("ada"), user("bob")]);
    for number in 1..=messages {
        world.script.say("tea", user("ada"), &number.to_string());
    }
}

fn since(seq: u64, epoch: &str) -> Value {
    json!({"id": 1, "op": "sub", "ch": "room:tea", "since": {"epoch": epoch, "seq": seq},
        "with": ["presence", "receipts", "typing"]})
}

async fn seqs(client: &mut Client, count: usize) -> Vec<u64> {
    let mut seqs = Vec::new();
    while seqs.len() < count {
        let frame = client.hear().await;
        assert_eq!(frame["op"], "event", "{frame}");
        seqs.push(frame["seq"].as_u64().unwrap());
    }
    seqs
}

#[tokio::test]
async fn a_client_resumes_where_it_was() {
    let world = World::new();
    tea(&world, 5);
    let chat = world.start().await;
    let mut ada = Client::open(&world, &chat, "ada").await;
    let ack = ada.ask(&since(3, "e1")).await;
    let here = &ack["chs"][0];
    assert_eq!((&here["recovered"], &here["head"]), (&json!(true), &json!(5)));
    let events = here["events"].as_array().unwrap();
    assert_eq!(events.iter().map(|event| &event["seq"]).collect::<Vec<_>>(), [4, 5]);
    assert_eq!(events[0]["data"]["content"], "4");
    assert_eq!((&here["reads"], &here["delivered"]), (&json!({}), &json!({})));
    assert_eq!(here["presence"], json!([]));
    world.script.say("tea", user("bob"), "6");
    assert_eq!(seqs(&mut ada, 1).await, [6]);
}

#[tokio::test]
async fn a_recovery_is_whole_or_not_at_all() {
    let world = World::new();
    tea(&world, 5);
    let chat = world.start().await;
    let mut ada = Client::open(&world, &chat, "ada").await;
    let mut limited = since(1, "e1");
    limited["limit"] = 3.into();
    for frame in [limited, since(3, "e0 & more"), since(9, "e1")] {
        let ack = ada.ask(&frame).await;
        let here = &ack["chs"][0];
        assert_eq!((&here["recovered"], &here["events"]), (&json!(false), &json!([])), "{frame}");
        assert_eq!((&here["epoch"], &here["head"]), (&json!("e1"), &json!(5)));
    }
    world.script.say("tea", user("bob"), "6");
    assert_eq!(seqs(&mut ada, 1).await, [6]);
}

#[tokio::test]
async fn one_sub_may_name_many_channels_and_each_is_judged_by_itself() {
    let world = World::new();
    tea(&world, 1);
    world.script.private("attic", &[user("ada")]);
    let chat = world.start().await;
    let mut bob = Client::open(&world, &chat, "bob").await;
    let chs = ["room:tea", "room:attic", "room:none", "cellar", "room:tea"];
    let chs: Vec<_> = chs.iter().map(|ch| json!({"ch": ch})).collect();
    let ack = bob.ask(&json!({"id": 1, "op": "sub", "chs": chs})).await;
    let codes: Vec<_> =
        ack["chs"].as_array().unwrap().iter().map(|ch| &ch["err"]["code"]).collect();
    let (none, unknown) = (&Value::Null, &json!("not-found"));
    assert_eq!(codes, [none, unknown, unknown, unknown, &json!("invalid")]);
    assert_eq!(
        (&ack["chs"][1]["ch"], &ack["chs"][1]["err"]["status"]),
        (&json!("room:attic"), &json!(404))
    );
    let many: Vec<_> = (0..257).map(|number| json!({"ch": format!("room:r{number}")})).collect();
    let err = bob.ask(&json!({"id": 2, "op": "sub", "chs": many})).await;
    assert_eq!((&err["code"], &err["id"]), (&json!("invalid"), &json!(2)));
}

#[tokio::test]
async fn a_hole_is_filled_from_the_log_in_order() {
    let world = World::new();
    tea(&world, 1);
    let chat = world.start().await;
    let mut ada = Client::open(&world, &chat, "ada").await;
    ada.subscribe("room:tea").await;
    world.script.set_bell(Bell::Silent);
    world.script.say("tea", user("bob"), "2");
    world.script.say("tea", user("bob"), "3");
    world.script.set_bell(Bell::Rings);
    world.script.say("tea", user("bob"), "4");
    world.script.say("tea", user("bob"), "5");
    assert_eq!(seqs(&mut ada, 4).await, [2, 3, 4, 5]);
}

#[tokio::test]
async fn a_last_message_that_was_not_rung_is_found_by_the_head_check() {
    let mut world = World::new();
    world.layers.put("chat.head_check_interval", "20ms");
    tea(&world, 1);
    let chat = world.start().await;
    let mut ada = Client::open(&world, &chat, "ada").await;
    ada.subscribe("room:tea").await;
    world.script.set_bell(Bell::Silent);
    world.script.say("tea", user("bob"), "2");
    assert_eq!(seqs(&mut ada, 1).await, [2]);
}

#[tokio::test]
async fn a_gap_on_the_bus_is_filled_at_once() {
    let world = World::with_bus(2);
    tea(&world, 1);
    world.script.public("noise", &[user("bob")]);
    let chat = world.start().await;
    let mut ada = Client::open(&world, &chat, "ada").await;
    ada.subscribe("room:tea").await;
    // On one thread the service hears nothing before all of it has been rung.
    world.script.say("tea", user("bob"), "2");
    for number in 0..8 {
        world.script.say("noise", user("bob"), &number.to_string());
    }
    assert_eq!(seqs(&mut ada, 1).await, [2]);
}

#[tokio::test]
async fn a_gap_while_the_store_is_away_is_filled_when_it_is_back() {
    let world = World::with_bus(2);
    tea(&world, 1);
    world.script.public("noise", &[user("bob")]);
    let chat = world.start().await;
    let mut ada = Client::open(&world, &chat, "ada").await;
    ada.subscribe("room:tea").await;
    world.script.set_mood(Mood::Down);
    world.script.say("tea", user("bob"), "2");
    for number in 0..8 {
        world.script.say("noise", user("bob"), &number.to_string());
    }
    until(|| world.script.head_checks() >= 3).await;
    world.script.set_mood(Mood::Well);
    assert_eq!(seqs(&mut ada, 1).await, [2]);
}

#[tokio::test]
async fn another_life_of_the_log_sends_everybody_back_to_the_store() {
    let world = World::new();
    tea(&world, 1);
    let chat = world.start().await;
    let mut ada = Client::open(&world, &chat, "ada").await;
    ada.subscribe("room:tea").await;
    world.script.restore();
    world.script.say("tea", user("bob"), "2");
    assert_eq!(ada.hear().await, json!({"op": "lagged", "ch": "room:tea", "head": 2}));
    let ack = ada.ask(&since(1, "e1")).await;
    assert_eq!(
        (&ack["chs"][0]["recovered"], &ack["chs"][0]["epoch"]),
        (&json!(false), &json!("e2"))
    );
    world.script.say("tea", user("bob"), "3");
    assert_eq!(seqs(&mut ada, 1).await, [3]);
}

#[tokio::test]
async fn whoever_leaves_a_private_room_hears_nothing_more_of_it() {
    let world = World::new();
    world.script.private("attic", &[user("ada"), user("bob")]);
    let chat = world.start().await;
    let mut ada = Client::open(&world, &chat, "ada").await;
    let mut bob = Client::open(&world, &chat, "bob").await;
    ada.subscribe("room:attic").await;
    bob.subscribe("room:attic").await;
    world.script.expel("attic", user("bob"));
    let expected = json!({"op": "unsubscribed", "ch": "room:attic", "code": "not-found"});
    assert_eq!(bob.hear().await, expected);
    world.script.say("attic", user("ada"), "alone");
    assert_eq!(seqs(&mut ada, 2).await, [1, 2]);
    let again = bob.subscribe("room:attic").await;
    assert_eq!(again["err"]["code"], "not-found");
}

#[tokio::test]
async fn an_unsubscribed_channel_is_silent_and_others_go_on() {
    let world = World::new();
    tea(&world, 0);
    world.script.public("milk", &[user("ada")]);
    let chat = world.start().await;
    let mut ada = Client::open(&world, &chat, "ada").await;
    ada.subscribe("room:tea").await;
    ada.subscribe("room:milk").await;
    let ack = ada.ask(&json!({"id": 2, "op": "unsub", "ch": "room:tea"})).await;
    assert_eq!(ack, json!({"op": "ack", "id": 2}));
    world.script.say("tea", user("bob"), "unheard");
    world.script.say("milk", user("ada"), "heard");
    assert_eq!(ada.hear().await["ch"], "room:milk");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribing_while_others_write_misses_nothing_and_repeats_nothing() {
    const MESSAGES: u64 = 300;
    let world = World::new();
    tea(&world, 1);
    let chat = world.start().await;
    let script = world.script.clone();
    let writer = tokio::task::spawn_blocking(move || {
        for number in 2..=MESSAGES {
            script.say("tea", user("bob"), &number.to_string());
            std::thread::yield_now();
        }
    });
    for round in 0..4 {
        let mut ada = Client::open(&world, &chat, "ada").await;
        let ack = ada.ask(&since(0, "e1")).await;
        let here = &ack["chs"][0];
        assert_eq!(here["recovered"], true, "{round}");
        let mut next = here["events"].as_array().unwrap().len() as u64 + 1;
        assert_eq!(here["head"], next - 1);
        while next <= MESSAGES {
            let frame = ada.hear().await;
            assert_eq!((&frame["op"], &frame["seq"]), (&json!("event"), &json!(next)), "{round}");
            next += 1;
        }
    }
    writer.await.unwrap();
}
