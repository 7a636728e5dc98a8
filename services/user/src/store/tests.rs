//! The store by itself: what is unique, what is spent, what is swept.

use contract::caller::Role;
use contract::user::Register;
use contract::{SessionId, Timestamp, UserId};
use tempfile::TempDir;
use uuid::Uuid;

use super::accounts::Name;
use super::sessions::{NewSession, Renewal, Spent};
use super::*;
use crate::account::Account;
use crate::register::{Draft, Rules};

const NOW: Timestamp = Timestamp(1_795_194_000_000);
const LATER: Timestamp = Timestamp(NOW.0 + 1_000);
const PHC: &str = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaA";

async fn store() -> (Store, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let db = Sqlite::open(&folder.path().join("user.db"), crate::STEPS).await.unwrap();
    (Store::new(db), folder)
}

fn account(number: u128, name: &str) -> Account {
    let body = Register {
        username: name.to_owned(),
        email: format!("{name}@example.com"),
        password: "correct horse".to_owned(),
        ..Register::default()
    };
    let draft = Draft::parse(&body, Rules::AnyPassword).unwrap();
    draft.account(UserId(Uuid::from_u128(number)), vec![Role::Customer, Role::Admin], NOW)
}

fn session(number: u8) -> NewSession {
    NewSession {
        id: SessionId(Uuid::from_u128(number.into())),
        hash: [number; 32],
        now: NOW,
        expires_at: LATER,
        per_account_max: 10,
    }
}

async fn spend(store: &Store, token: u8, next: u8) -> Spent {
    let renewal = Renewal { hash: [next; 32], now: NOW };
    store.spend(&[token; 32], &renewal, |_| LATER).await.unwrap()
}

async fn rows(store: &Store, table: &str) -> i64 {
    let text = sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}"));
    sqlx::query_scalar(text).fetch_one(&store.db.reader).await.unwrap()
}

#[tokio::test]
async fn an_account_is_read_as_it_was_stored() {
    let (store, _folder) = store().await;
    let stored = account(1, "ada");
    store.register(&stored, PHC, &session(1)).await.unwrap();
    let read = store.find_account(stored.id).await.unwrap().unwrap();
    assert_eq!(format!("{read:?}"), format!("{stored:?}"));
    let name = Name::Username("ADA".parse().unwrap());
    let credentials = store.find_credentials(&name).await.unwrap().unwrap();
    assert_eq!(credentials.password.as_deref(), Some(PHC));
}

#[tokio::test]
async fn an_account_that_fails_leaves_no_session_behind() {
    let (store, _folder) = store().await;
    store.register(&account(1, "ada"), PHC, &session(1)).await.unwrap();
    let same_name = Account { email: None, ..account(2, "ada") };
    let again = store.register(&same_name, PHC, &session(2)).await;
    assert!(matches!(again, Err(Error::Taken(Unique::Username))));
    assert_eq!(rows(&store, "sessions").await, 1);
}

#[tokio::test]
async fn each_unique_column_has_its_name() {
    let (store, _folder) = store().await;
    store.register(&account(1, "ada"), PHC, &session(1)).await.unwrap();
    let same_email = Account { email: account(1, "ada").email, ..account(2, "bob") };
    let refused = store.register(&same_email, PHC, &session(2)).await;
    assert!(matches!(refused, Err(Error::Taken(Unique::Email))));
    let phone = Some("+4930123456".parse().unwrap());
    let one = Account { phone, ..account(3, "cid") };
    store.register(&one, PHC, &session(3)).await.unwrap();
    let two = Account { phone: one.phone, ..account(4, "dan") };
    let refused = store.register(&two, PHC, &session(4)).await;
    assert!(matches!(refused, Err(Error::Taken(Unique::Phone))));
    let same_id = store.register(&account(1, "eve"), PHC, &session(5)).await;
    assert!(matches!(same_id, Err(Error::Statement(_))));
}

#[tokio::test]
async fn a_token_is_spent_once_and_the_second_use_ends_its_session() {
    let (store, _folder) = store().await;
    store.register(&account(1, "ada"), PHC, &session(1)).await.unwrap();
    assert!(matches!(spend(&store, 1, 2).await, Spent::Renewed { .. }));
    assert!(matches!(spend(&store, 1, 3).await, Spent::Reused { .. }));
    assert!(matches!(spend(&store, 2, 4).await, Spent::Ended));
    assert!(matches!(spend(&store, 9, 5).await, Spent::Unknown));
    assert_eq!(rows(&store, "refresh_tokens").await, 2, "only a renewal stores a token");
}

#[tokio::test]
async fn the_sweep_takes_what_is_dead_and_leaves_what_is_alive() {
    let (store, _folder) = store().await;
    store.register(&account(1, "ada"), PHC, &session(1)).await.unwrap();
    spend(&store, 1, 2).await;
    assert_eq!(store.sweep(NOW, NOW, 10).await.unwrap(), 0);
    assert_eq!(store.sweep(NOW, LATER, 10).await.unwrap(), 1, "the spent token");
    assert!(matches!(spend(&store, 2, 3).await, Spent::Renewed { .. }));
    let end = Timestamp(LATER.0 + 1);
    assert_eq!(store.sweep(end, NOW, 10).await.unwrap(), 1, "the session");
    assert_eq!(rows(&store, "refresh_tokens").await, 0);
    assert_eq!(rows(&store, "accounts").await, 1);
}

#[tokio::test]
async fn a_sweep_is_bounded() {
    let (store, _folder) = store().await;
    store.register(&account(1, "ada"), PHC, &session(1)).await.unwrap();
    for number in 2..6 {
        store.open_session(account(1, "ada").id, &session(number)).await.unwrap();
    }
    let end = Timestamp(LATER.0 + 1);
    assert_eq!(store.sweep(end, NOW, 3).await.unwrap(), 3);
    assert_eq!(store.sweep(end, NOW, 3).await.unwrap(), 2);
}

#[tokio::test]
async fn a_row_that_breaks_the_rules_is_not_passed_on() {
    let (store, _folder) = store().await;
    let stored = account(1, "ada");
    store.register(&stored, PHC, &session(1)).await.unwrap();
    let spoil = sqlx::query("UPDATE accounts SET roles = 'king'");
    spoil.execute(&store.db.writer).await.unwrap();
    let read = store.find_account(stored.id).await;
    assert!(matches!(read, Err(Error::Corrupt { column: "roles" })));
}
