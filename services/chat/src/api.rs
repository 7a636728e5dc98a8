//! What this service answers to, on one screen.

mod rings;
mod rooms;
mod upgrade;

use std::sync::Arc;

use axum::Router;
use axum::extract::FromRef;
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::{get, post};
use chassis::Bus;
use chassis::caller::Needs;
use chassis::identity::Identity;
use contract::scope::Scope;
use http::header::{CACHE_CONTROL, HeaderValue};

use crate::socket::Node;

/// What handlers work with.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    pub(crate) node: Arc<Node>,
    /// Where rings of a message service without a bus are passed on.
    pub(crate) bus: Bus,
}

impl FromRef<Api> for Identity {
    fn from_ref(api: &Api) -> Self {
        api.node.identity.clone()
    }
}

/// What machine keys need for messages, and for rooms.
const MESSAGES: Needs = Needs::read(Scope::MessagesRead).write(Scope::MessagesWrite);
const ROOMS: Needs = Needs::read(Scope::RoomsRead).write(Scope::RoomsWrite);

/// The route table.
pub(crate) fn routes(api: Api) -> Router {
    Router::new()
        .route("/ws", get(upgrade::open_socket))
        .route("/ws/{room_id}", get(upgrade::open_room_socket))
        .route("/api/rooms/{id}/messages", post(rooms::send_message).layer(MESSAGES.layer()))
        .merge(rooms().route_layer(ROOMS.layer()))
        .route("/internal/rings", post(rings::ring))
        .layer(map_response(keep_private))
        .with_state(api)
}

fn rooms() -> Router<Api> {
    Router::new()
        .route("/api/rooms", get(rooms::list_rooms).post(rooms::create_room))
        .route("/api/rooms/{id}", get(rooms::get_room))
        .route("/api/rooms/{id}/join", post(rooms::join_room))
        .route("/api/rooms/{id}/leave", post(rooms::leave_room))
}

/// Every answer is for its caller alone (RFC 9111 section 5.2.2.5).
async fn keep_private(mut response: Response) -> Response {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
