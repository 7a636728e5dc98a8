//! Rooms for clients: what the message service keeps, with what is live added.

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use chassis::caller::{Acting, Allowed};
use chassis::hop::Hop;
use chassis::identity::{Caller, Person};
use chassis::json::{Json, Path};
use chassis::peer::Answer;
use chassis::refuse::Refusal;
use contract::message::{Message, SendMessage};
use contract::room::{CreateRoom, Done, Room};
use contract::scope::Scope;
use contract::{Channel, Kind, RoomId};
use http::header::{HeaderValue, LINK};
use http::{HeaderMap, StatusCode};
use tokio::sync::oneshot;

use super::Api;
use crate::hub::Hub;
use crate::lane::{Draft, Reply};

pub(super) async fn create_room(
    State(api): State<Api>,
    Allowed(caller): Allowed,
    hop: Hop,
    Json(draft): Json<CreateRoom>,
) -> Result<Response, Refusal> {
    let (person, sight) = Sight::of(caller)?;
    let made = api.node.conversations.create_room(&person, &draft, &hop).await?;
    Ok((made.status, Json(sight.of_room(&api.node.hub, made.body))).into_response())
}

pub(super) async fn list_rooms(
    State(api): State<Api>,
    Allowed(caller): Allowed,
    hop: Hop,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let (person, sight) = Sight::of(caller)?;
    let query = query.unwrap_or_default();
    let page = api.node.conversations.list_rooms(&person, &query, &hop).await?;
    let links = link(&page, &api.node.config.public_prefix);
    let rooms = page.body.into_iter().map(|room| sight.of_room(&api.node.hub, room));
    Ok((links, Json(rooms.collect::<Vec<_>>())).into_response())
}

pub(super) async fn get_room(
    State(api): State<Api>,
    Allowed(caller): Allowed,
    hop: Hop,
    Path(id): Path<RoomId>,
) -> Result<Json<Room>, Refusal> {
    let (person, sight) = Sight::of(caller)?;
    let found = api.node.conversations.get_room(&person, &id, &hop).await?;
    Ok(Json(sight.of_room(&api.node.hub, found.body)))
}

pub(super) async fn join_room(
    State(api): State<Api>,
    Allowed(caller): Allowed,
    hop: Hop,
    Path(id): Path<RoomId>,
) -> Result<Json<Done>, Refusal> {
    let (person, sight) = Sight::of(caller)?;
    let done = api.node.conversations.join_room(&person, &id, &hop).await?.body;
    let room = done.room.map(|room| sight.of_room(&api.node.hub, room));
    Ok(Json(Done { message: done.message, room }))
}

pub(super) async fn leave_room(
    State(api): State<Api>,
    Allowed(caller): Allowed,
    hop: Hop,
    Path(id): Path<RoomId>,
) -> Result<Json<Done>, Refusal> {
    let (person, sight) = Sight::of(caller)?;
    let done = api.node.conversations.leave_room(&person, &id, &hop).await?.body;
    let room = done.room.map(|room| sight.of_room(&api.node.hub, room));
    Ok(Json(Done { message: done.message, room }))
}

pub(super) async fn send_message(
    State(api): State<Api>,
    Acting(person): Acting,
    Path(id): Path<RoomId>,
    Json(message): Json<SendMessage>,
) -> Result<(StatusCode, Json<Message>), Refusal> {
    let (reply, stored) = oneshot::channel();
    api.node.lane.send(Draft { author: &person, room: &id, message }, Reply::Caller(reply));
    // A lane that is cut off answers nobody.
    let stored = stored.await.map_err(|_| Refusal::new(Kind::Unavailable))??;
    let status = if stored.dup { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, Json(*stored.message)))
}

/// How much of a room its reader may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sight {
    Whole,
    /// The reader's machine key is not for reading messages.
    WithoutMessages,
}

impl Sight {
    /// For whom the call is, and how much is shown.
    fn of(caller: Caller) -> Result<(Person, Self), Refusal> {
        let may_read = caller.may(Scope::MessagesRead);
        let sight = if may_read { Self::Whole } else { Self::WithoutMessages };
        Ok((caller.acting()?, sight))
    }

    /// Takes off what may not be seen, and adds what is live: how many people have the room open here, and
    /// which of its members.
    fn of_room(self, hub: &Hub, mut room: Room) -> Room {
        let channel = Channel::from(room.id.clone());
        room.online_members = Some(hub.people(&channel));
        for member in room.members.iter_mut().flatten() {
            member.online = Some(hub.has(&channel, member.user_id));
        }
        match self {
            Self::Whole => {}
            Self::WithoutMessages => room.last_message = None,
        }
        room
    }
}

/// The `Link` of a page of rooms, with its path as the public sees it; it may come as a query alone
/// (RFC 3986 section 4.2).
fn link<T>(page: &Answer<T>, prefix: &str) -> HeaderMap {
    let public = page.link.as_ref().map(|link| match link.strip_prefix("<?") {
        Some(query) => format!("<{prefix}/rooms?{query}"),
        None => link.replace("</api/", &format!("<{prefix}/")),
    });
    let value = public.and_then(|link| HeaderValue::try_from(link).ok());
    value.map(|value| (LINK, value)).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_where_the_public_can_go() {
        let link_of = |link: Option<&str>| {
            let page = Answer { status: StatusCode::OK, link: link.map(str::to_owned), body: () };
            link_header(&page)
        };
        for written in ["</api/rooms?cursor=x&limit=2>", "<?cursor=x&limit=2>"] {
            assert_eq!(
                link_of(Some(&format!("{written}; rel=\"next\""))).as_deref(),
                Some("</api/chat/rooms?cursor=x&limit=2>; rel=\"next\"")
            );
        }
        assert_eq!(link_of(None), None);
    }

    fn link_header(page: &Answer<()>) -> Option<String> {
        let headers = link(page, "/api/chat");
        headers.get(LINK).map(|value| value.to_str().unwrap().to_owned())
    }
}
