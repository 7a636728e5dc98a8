//! Judging without a database: who may do what, and which number it gets.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::fixture::{author, draft, id, new_room, private_room, user};

const NOW: Timestamp = Timestamp(1_800_000_000_000);

/// What a batch over an empty store comes to.
fn judged(commands: &[(u128, Work)]) -> (Vec<Result<Outcome, Error>>, Changes) {
    judged_over(Known::default(), commands)
}

fn judged_over(known: Known, commands: &[(u128, Work)]) -> (Vec<Result<Outcome, Error>>, Changes) {
    let random = Random::seeded(7);
    let mut plan = Plan::new(known, NOW, &random);
    let answers = commands.iter().map(|(who, work)| plan.judge(&author(*who), work)).collect();
    (answers, plan.finish())
}

fn say(text: &str, number: Option<u128>) -> Work {
    Work::Send(draft("tea", text, number))
}

fn create() -> Work {
    Work::Create(new_room("tea"))
}

fn join() -> Work {
    Work::Join(id("tea"))
}

fn leave() -> Work {
    Work::Leave(id("tea"))
}

fn sent(answer: &Result<Outcome, Error>) -> &Sent {
    match answer {
        Ok(Outcome::Sent(sent)) => sent,
        other => panic!("not sent: {other:?}"),
    }
}

#[test]
fn events_are_numbered_without_gaps_and_messages_are_too() {
    let (answers, changes) = judged(&[
        (1, create()),
        (1, say("one", None)),
        (2, join()),
        (2, say("two", None)),
        (3, say("refused", None)),
        (2, leave()),
        (1, say("three", None)),
    ]);
    let seqs: Vec<_> = changes.log.iter().map(|entry| entry.seq).collect();
    assert_eq!(seqs, [1, 2, 3, 4, 5, 6]);
    let places: Vec<_> = changes.messages.iter().map(|m| (m.seq, m.n)).collect();
    assert_eq!(places, [(2, 1), (4, 2), (6, 3)]);
    assert!(matches!(answers[4], Err(Error::NotAMember)));
    assert_eq!(changes.rooms[0].room.last_seq, 6);
    assert_eq!(changes.rooms[0].last_message_seq, 6);
}

#[test]
fn the_same_command_twice_in_a_batch_is_one_message() {
    let (answers, changes) =
        judged(&[(1, create()), (1, say("hi", Some(9))), (1, say("hi", Some(9)))]);
    assert_eq!(changes.messages.len(), 1);
    assert_eq!(sent(&answers[1]).novelty, Novelty::New);
    assert_eq!(sent(&answers[2]).novelty, Novelty::Repeat);
    assert_eq!(sent(&answers[1]).message.id, sent(&answers[2]).message.id);
}

#[test]
fn a_client_id_with_another_body_is_a_conflict_and_belongs_to_its_sender_alone() {
    let (answers, changes) = judged(&[
        (1, create()),
        (2, join()),
        (1, say("hi", Some(9))),
        (1, say("ho", Some(9))),
        (2, say("ho", Some(9))),
    ]);
    assert!(matches!(answers[3], Err(Error::ClientIdConflict)));
    assert_eq!(sent(&answers[4]).novelty, Novelty::New);
    assert_eq!(changes.messages.len(), 2);
}

#[test]
fn a_refused_command_does_not_use_up_its_client_id() {
    let (answers, _) = judged(&[
        (1, create()),
        (2, say("early", Some(9))),
        (2, join()),
        (2, say("later", Some(9))),
    ]);
    assert!(matches!(answers[1], Err(Error::NotAMember)));
    assert_eq!(sent(&answers[3]).message.content, "later");
}

#[test]
fn a_private_room_does_not_exist_for_a_stranger() {
    let (answers, changes) = judged(&[
        (1, Work::Create(private_room("tea"))),
        (2, say("hi", None)),
        (2, join()),
        (2, leave()),
    ]);
    for answer in &answers[1..] {
        assert!(matches!(answer, Err(Error::NoSuchRoom)), "{answer:?}");
    }
    assert_eq!(changes.log.len(), 1);
}

#[test]
fn an_unknown_room_takes_nothing_and_changes_nothing() {
    let (answers, changes) = judged(&[(1, say("hi", None)), (1, join()), (1, leave())]);
    assert!(answers.iter().all(|answer| matches!(answer, Err(Error::NoSuchRoom))));
    assert!(changes.log.is_empty() && changes.rooms.is_empty());
}

#[test]
fn an_id_is_taken_once_even_within_a_batch() {
    let (answers, changes) = judged(&[(1, create()), (2, create())]);
    assert!(matches!(answers[1], Err(Error::RoomIdTaken)));
    assert_eq!(changes.rooms[0].room.creator_id, user(1));
}

#[test]
fn a_room_is_made_with_its_creator_first_and_each_member_once() {
    let members = vec![user(2), user(1), user(2), user(3)];
    let room = NewRoom { members, ..new_room("tea") };
    let (answers, changes) = judged(&[(1, Work::Create(room))]);
    let Ok(Outcome::Room(room)) = &answers[0] else { panic!("{answers:?}") };
    assert_eq!((room.member_count, room.last_seq), (3, 3));
    assert!(changes.log[0].data.get().contains("\"role\":\"owner\""));
    assert_eq!(changes.joined.len(), 3);
}

#[test]
fn joining_and_leaving_twice_is_no_event() {
    let (answers, changes) =
        judged(&[(1, create()), (2, join()), (2, join()), (2, leave()), (2, leave())]);
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(changes.log.len(), 3);
    assert_eq!(changes.left, [(id("tea"), user(2))]);
    assert_eq!(changes.rooms[0].room.member_count, 1);
}

#[test]
fn an_owner_may_leave_and_owns_the_room_again_on_coming_back() {
    let (_, changes) = judged(&[(1, create()), (1, leave()), (2, join()), (1, join())]);
    let role = |number| {
        let joined = changes.joined.iter().find(|(_, member)| member.user_id == user(number));
        joined.map(|(_, member)| member.role.as_str())
    };
    assert_eq!(role(1), Some("owner"));
    assert_eq!(role(2), Some("member"));
}

#[test]
fn an_answer_goes_to_a_message_of_the_same_room() {
    let parent = MessageId(uuid::Uuid::from_u128(5));
    let reply = |room: &str| Draft { parent: Some(parent), ..draft(room, "re", None) };
    let mut known = Known::default();
    known.parents.insert(parent, id("tea"));
    let (answers, _) = judged_over(
        known,
        &[
            (1, create()),
            (1, Work::Create(new_room("milk"))),
            (1, Work::Send(reply("tea"))),
            (1, Work::Send(reply("milk"))),
        ],
    );
    assert_eq!(sent(&answers[2]).message.parent_id, Some(parent));
    assert!(matches!(answers[3], Err(Error::Invalid(_))));
}

/// One of the things that one of four people may do in one of two rooms.
fn anything() -> impl Strategy<Value = (u128, Work)> {
    let room = prop_oneof![Just("tea"), Just("milk")];
    (1..=4_u128, room, 0..6_u8, 0..8_u128).prop_map(|(who, room, what, number)| {
        let work = match what {
            0 => Work::Create(new_room(room)),
            1 => Work::Join(id(room)),
            2 => Work::Leave(id(room)),
            3 => Work::Send(draft(room, "the same", Some(number))),
            _ => Work::Send(draft(room, "anything", None)),
        };
        (who, work)
    })
}

proptest! {
    #[test]
    fn whatever_is_asked_numbers_have_no_gaps_and_only_members_write(
        commands in prop::collection::vec(anything(), 1..200),
    ) {
        let (_, changes) = judged(&commands);
        for room in &changes.rooms {
            let mut members = HashSet::new();
            let mut counted = 0;
            let log = changes.log.iter().filter(|entry| entry.room == room.room.id);
            for (seq, entry) in (1_u64..).zip(log) {
                prop_assert_eq!(entry.seq, seq);
                let of = |field| {
                    let data: serde_json::Value = serde_json::from_str(entry.data.get()).unwrap();
                    data[field].clone()
                };
                let user = of("userId").to_string();
                match entry.kind {
                    EventKind::MessageCreated => {
                        counted += 1;
                        prop_assert!(members.contains(&user));
                        prop_assert_eq!(of("n"), counted);
                    }
                    EventKind::MemberJoined => prop_assert!(members.insert(user)),
                    EventKind::MemberLeft => prop_assert!(members.remove(&user)),
                }
            }
            prop_assert_eq!(room.message_count, counted);
            prop_assert_eq!(room.room.member_count, members.len() as u64);
            let here = changes.joined.iter().filter(|(id, _)| *id == room.room.id);
            prop_assert_eq!(here.count(), members.len());
        }
        let named: Vec<_> = changes.messages.iter().filter_map(|m| Some((m.user_id, m.client_id?))).collect();
        let once: HashSet<_> = named.iter().collect();
        prop_assert_eq!(once.len(), named.len());
    }
}
