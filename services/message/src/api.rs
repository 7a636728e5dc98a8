//! The paths that this service serves, on one screen. A handler translates, it does not decide.

mod create_room;
mod get_access;
mod get_heads;
mod get_log;
mod get_message;
mod get_room;
mod join_room;
mod leave_room;
mod list_messages;
mod list_rooms;
mod send_batch;
mod send_message;

use axum::Router;
use axum::extract::FromRef;
use axum::routing::{get, post};
use chassis::caller::Needs;
use chassis::identity::{Identity, Person};
use contract::scope::Scope;

use crate::command::Author;
use crate::reading::Reading;
use crate::writer::Writer;

/// Entries of a page when the caller does not say.
const PAGE_DEFAULT: u32 = 50;
/// Most entries of a page; who asks for more gets these.
const PAGE_MAX: u32 = 200;

/// What handlers need.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    pub(crate) writer: Writer,
    pub(crate) reading: Reading,
    pub(crate) identity: Identity,
}

/// What machine keys need for messages, and for rooms.
const MESSAGES: Needs = Needs::read(Scope::MessagesRead).write(Scope::MessagesWrite);
const ROOMS: Needs = Needs::read(Scope::RoomsRead).write(Scope::RoomsWrite);

/// The route table: users' paths, then those of services, which are not for machine keys.
pub(crate) fn routes(api: Api) -> Router {
    Router::new()
        .merge(messages().route_layer(MESSAGES.layer()))
        .merge(rooms().route_layer(ROOMS.layer()))
        .route("/internal/messages/batch", post(send_batch::send_batch))
        .route("/internal/heads", post(get_heads::get_heads))
        .route("/internal/log", get(get_log::get_log))
        .route("/internal/rooms/{id}/access", get(get_access::get_access))
        .with_state(api)
}

fn messages() -> Router<Api> {
    Router::new()
        .route("/api/messages", post(send_message::send_message))
        .route("/api/messages/{id}", get(get_message::get_message))
        .route("/api/messages/room/{room_id}", get(list_messages::list_messages))
}

fn rooms() -> Router<Api> {
    Router::new()
        .route("/api/rooms", get(list_rooms::list_rooms).post(create_room::create_room))
        .route("/api/rooms/{id}", get(get_room::get_room))
        .route("/api/rooms/{id}/join", post(join_room::join_room))
        .route("/api/rooms/{id}/leave", post(leave_room::leave_room))
}

impl FromRef<Api> for Writer {
    fn from_ref(api: &Api) -> Self {
        api.writer.clone()
    }
}

impl FromRef<Api> for Reading {
    fn from_ref(api: &Api) -> Self {
        api.reading.clone()
    }
}

impl FromRef<Api> for Identity {
    fn from_ref(api: &Api) -> Self {
        api.identity.clone()
    }
}

/// How many entries a page has, when so many were asked for.
fn page_size(asked: Option<u32>) -> u32 {
    asked.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX)
}

impl From<Person> for Author {
    fn from(person: Person) -> Self {
        Self { id: person.id, name: person.name }
    }
}
