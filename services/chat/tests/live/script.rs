//! A message service of a page: rooms in memory, and a script of what goes wrong.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chassis::Bus;
use contract::caller::ServiceClaims;
use contract::internal::{Batch, BatchItem, Head, HeadsQuery, LogQuery};
use contract::{Event, EventKind, Kind, MessageId, Problem, Timestamp, UserId};
use serde_json::value::to_raw_value;
use serde_json::{Value, json};
use uuid::Uuid;

/// Whether what is stored is rung.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bell {
    Rings,
    Silent,
}

/// Whether the service answers batches, and what is asked for to catch up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Well,
    /// Everything is 503.
    Down,
    /// Stores the next batch and answers 503: its sender cannot know.
    Forgetful,
}

/// The service. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Script {
    state: Arc<Mutex<Store>>,
    bus: Bus,
}

struct Store {
    epoch: String,
    mood: Mood,
    bell: Bell,
    rooms: HashMap<String, Room>,
    /// Sizes of the batches that came.
    batches: Vec<usize>,
    /// The last query of `GET /api/rooms`.
    query: String,
    /// How often heads were asked for.
    head_checks: u64,
}

#[derive(Default)]
struct Room {
    is_private: bool,
    members: Vec<UserId>,
    events: Vec<Event>,
    messages: Vec<Value>,
}

impl Script {
    pub(crate) fn new(bus: Bus) -> Self {
        let store = Store {
            epoch: "e1".to_owned(),
            mood: Mood::Well,
            bell: Bell::Rings,
            rooms: HashMap::new(),
            batches: Vec::new(),
            query: String::new(),
            head_checks: 0,
        };
        Self { state: Arc::new(Mutex::new(store)), bus }
    }

    pub(crate) fn public(&self, room: &str, members: &[UserId]) {
        let room_state = Room { members: members.to_vec(), ..Room::default() };
        self.store().rooms.insert(room.to_owned(), room_state);
    }

    pub(crate) fn private(&self, room: &str, members: &[UserId]) {
        let room_state = Room { is_private: true, members: members.to_vec(), ..Room::default() };
        self.store().rooms.insert(room.to_owned(), room_state);
    }

    pub(crate) fn set_mood(&self, mood: Mood) {
        self.store().mood = mood;
    }

    pub(crate) fn set_bell(&self, bell: Bell) {
        self.store().bell = bell;
    }

    pub(crate) fn batches(&self) -> Vec<usize> {
        self.store().batches.clone()
    }

    pub(crate) fn query(&self) -> String {
        self.store().query.clone()
    }

    pub(crate) fn head_checks(&self) -> u64 {
        self.store().head_checks
    }

    /// Another life of every log.
    pub(crate) fn restore(&self) {
        "e2".clone_into(&mut self.store().epoch);
    }

    /// Stores a message of `user`, and rings unless the bell is silent.
    pub(crate) fn say(&self, room: &str, user: UserId, content: &str) {
        let item = json!({"op": "send", "userId": user, "username": "x", "roomId": room, "content": content});
        let result = self.send(&serde_json::from_value(item).unwrap());
        assert_eq!(result["dup"], false, "{result}");
    }

    /// Takes `user` out of `room`.
    pub(crate) fn expel(&self, room: &str, user: UserId) {
        self.store().rooms.get_mut(room).unwrap().members.retain(|member| *member != user);
        self.append(room, EventKind::MemberLeft, |_| json!({"userId": user}));
    }

    pub(crate) fn is_member(&self, room: &str, user: UserId) -> bool {
        self.store().rooms[room].members.contains(&user)
    }

    pub(crate) fn routes(&self) -> Router {
        Router::new()
            .route("/internal/messages/batch", post(batch))
            .route("/internal/heads", post(heads))
            .route("/internal/log", get(log))
            .route("/internal/rooms/{id}/access", get(access))
            .route("/api/rooms", get(list).post(create))
            .route("/api/rooms/{id}", get(show))
            .route("/api/rooms/{id}/join", post(join))
            .route("/api/messages/room/{id}", get(history))
            .with_state(self.clone())
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.state.lock().unwrap()
    }

    fn append(&self, room: &str, kind: EventKind, data: impl FnOnce(u64) -> Value) -> Event {
        let mut store = self.store();
        let (epoch, bell) = (store.epoch.clone(), store.bell);
        let log = &mut store.rooms.get_mut(room).unwrap().events;
        let seq = log.len() as u64 + 1;
        let data = to_raw_value(&data(seq)).unwrap();
        let channel = format!("room:{room}").parse().unwrap();
        let event = Event { channel, epoch, seq, kind, ts: Timestamp(0), data };
        log.push(event.clone());
        // Rung under the lock, so in order.
        if bell == Bell::Rings {
            self.bus.publish(Arc::new(event.clone()));
        }
        event
    }

    fn send(&self, item: &BatchItem) -> Value {
        let known = {
            let store = self.store();
            let Some(room) = store.rooms.get(&item.room_id) else { return refused(Kind::NotFound) };
            if !room.members.contains(&item.user_id) {
                let kind = if room.is_private { Kind::NotFound } else { Kind::NotAMember };
                return refused(kind);
            }
            let id = json!(item.client_id);
            room.messages.iter().find(|m| !id.is_null() && m["clientId"] == id).cloned()
        };
        if let Some(message) = known {
            if message["content"] != item.content {
                return refused(Kind::ClientIdConflict);
            }
            return json!({"status": 200, "seq": message["seq"], "n": message["n"], "dup": true, "message": message});
        }
        let n = self.store().rooms[&item.room_id].messages.len() + 1;
        let event = self.append(&item.room_id, EventKind::MessageCreated, |seq| {
            json!({
                "id": MessageId(Uuid::now_v7()), "roomId": item.room_id, "seq": seq, "n": n,
                "userId": item.user_id, "username": item.username, "content": item.content,
                "messageType": "text", "parentId": null, "clientId": item.client_id,
                "createdAt": "2026-11-20T17:00:00.000Z", "editedAt": null, "deleted": false,
                "reactions": [], "status": "sent",
            })
        });
        let message: Value = serde_json::from_str(event.data.get()).unwrap();
        let mut store = self.store();
        store.rooms.get_mut(&item.room_id).unwrap().messages.push(message.clone());
        json!({"status": 201, "seq": event.seq, "n": n, "dup": false, "message": message})
    }
}

fn problem(kind: Kind) -> Response {
    let status = StatusCode::from_u16(kind.status()).unwrap();
    (status, Json(Problem::new(kind, "r"))).into_response()
}

fn refused(kind: Kind) -> Value {
    json!({"status": kind.status(), "problem": Problem::new(kind, "r")})
}

/// Whoever calls; the claims are believed, their signature is the message service's to test.
fn claims(headers: &HeaderMap) -> ServiceClaims {
    claims_for(headers, "message")
}

/// The same for another service that is called.
pub(crate) fn claims_for(headers: &HeaderMap, called: &str) -> ServiceClaims {
    let token = headers["authorization"].to_str().unwrap().strip_prefix("Bearer ").unwrap();
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    let claims: ServiceClaims = serde_json::from_slice(&payload).unwrap();
    assert_eq!((claims.iss.as_str(), claims.aud.as_str()), ("chat", called));
    claims
}

async fn batch(
    State(script): State<Script>,
    headers: HeaderMap,
    Json(batch): Json<Batch<BatchItem>>,
) -> Response {
    assert_eq!(claims(&headers).sub, None);
    let mood = {
        let mut store = script.store();
        store.batches.push(batch.items.len());
        let next = if store.mood == Mood::Forgetful { Mood::Well } else { store.mood };
        std::mem::replace(&mut store.mood, next)
    };
    if mood == Mood::Down {
        return problem(Kind::Unavailable);
    }
    let results: Vec<_> = batch.items.iter().map(|item| script.send(item)).collect();
    match mood {
        Mood::Forgetful => problem(Kind::Unavailable),
        Mood::Well | Mood::Down => Json(json!({"results": results})).into_response(),
    }
}

async fn heads(State(script): State<Script>, Json(query): Json<HeadsQuery>) -> Response {
    let mut store = script.store();
    store.head_checks += 1;
    if store.mood == Mood::Down {
        return problem(Kind::Unavailable);
    }
    let known = query.channels.iter().filter_map(|channel| {
        let room = store.rooms.get(channel.room().as_str())?;
        let head = Head { epoch: store.epoch.clone(), head: room.events.len() as u64 };
        Some((channel.to_string(), json!(head)))
    });
    Json(known.collect::<Value>()).into_response()
}

async fn log(State(script): State<Script>, Query(query): Query<LogQuery>) -> Response {
    let store = script.store();
    if store.mood == Mood::Down {
        return problem(Kind::Unavailable);
    }
    let Some(room) = store.rooms.get(query.channel.room().as_str()) else {
        return problem(Kind::NotFound);
    };
    let head = room.events.len() as u64;
    let limit = u64::from(query.limit.unwrap_or(500));
    let is_known = query.epoch.is_none_or(|epoch| epoch == store.epoch);
    let recovered = is_known && query.after <= head && head - query.after <= limit;
    let missed = room.events.iter().filter(|event| recovered && event.seq > query.after);
    let events: Vec<_> = missed.map(|event| json!(event)).collect();
    Json(json!({"epoch": store.epoch, "head": head, "recovered": recovered, "events": events}))
        .into_response()
}

async fn access(
    State(script): State<Script>,
    Path(id): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let store = script.store();
    let Some(room) = store.rooms.get(&id) else { return problem(Kind::NotFound) };
    let user: UserId = query["userId"].parse().unwrap();
    let member = room.members.contains(&user);
    let role = member.then_some("member");
    Json(json!({"member": member, "role": role, "kind": "group", "isPrivate": room.is_private, "banned": false}))
        .into_response()
}

fn room_json(id: &str, room: &Room) -> Value {
    let owner = room.members.first().copied().unwrap_or(UserId(Uuid::nil()));
    json!({
        "id": id, "name": id, "description": null, "kind": "group", "creatorId": owner,
        "createdAt": "2026-11-20T17:00:00.000Z", "isPrivate": room.is_private,
        "memberCount": room.members.len(), "onlineMembers": null,
        "lastSeq": room.events.len(), "unread": null, "lastMessage": room.messages.last(),
    })
}

async fn list(State(script): State<Script>, uri: Uri) -> Response {
    let mut store = script.store();
    uri.query().unwrap_or_default().clone_into(&mut store.query);
    let rooms: Vec<_> = store.rooms.iter().map(|(id, room)| room_json(id, room)).collect();
    ([("link", "</api/rooms?cursor=next>; rel=\"next\"")], Json(rooms)).into_response()
}

async fn create(
    State(script): State<Script>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let id = body["id"].as_str().unwrap().to_owned();
    if script.store().rooms.contains_key(&id) {
        return problem(Kind::Taken);
    }
    script.public(&id, &[claims(&headers).sub.unwrap()]);
    (StatusCode::CREATED, Json(room_json(&id, &script.store().rooms[&id]))).into_response()
}

async fn show(State(script): State<Script>, Path(id): Path<String>) -> Response {
    let store = script.store();
    let Some(room) = store.rooms.get(&id) else { return problem(Kind::NotFound) };
    let mut body = room_json(&id, room);
    let members = room.members.iter().map(|user| {
        json!({"userId": user, "username": null, "role": "member", "joinedAt": "2026-11-20T17:00:00.000Z"})
    });
    body["members"] = members.collect();
    Json(body).into_response()
}

async fn join(
    State(script): State<Script>,
    headers: HeaderMap,
    Path(id): Path<String>,
    _: Body,
) -> Response {
    let user = claims(&headers).sub.unwrap();
    let is_new = {
        let mut store = script.store();
        let Some(room) = store.rooms.get_mut(&id).filter(|room| !room.is_private) else {
            return problem(Kind::NotFound);
        };
        let is_new = !room.members.contains(&user);
        room.members.extend(is_new.then_some(user));
        is_new
    };
    if is_new {
        script.append(&id, EventKind::MemberJoined, |_| json!({"userId": user}));
    }
    let room = room_json(&id, &script.store().rooms[&id]);
    Json(json!({"message": format!("You joined {id}"), "room": room})).into_response()
}

async fn history(
    State(script): State<Script>,
    Path(id): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let store = script.store();
    let Some(room) = store.rooms.get(&id) else { return problem(Kind::NotFound) };
    let limit: usize = query["limit"].parse().unwrap();
    let bound = |name: &str| query.get(name).map(|seq| seq.parse::<u64>().unwrap());
    let (before, after) = (bound("before"), bound("after"));
    let wanted = room.messages.iter().filter(|message| {
        let seq = message["seq"].as_u64().unwrap();
        before.is_none_or(|before| seq < before) && after.is_none_or(|after| seq > after)
    });
    let wanted: Vec<_> = wanted.collect();
    let skipped = if after.is_some() { 0 } else { wanted.len().saturating_sub(limit) };
    Json(json!(wanted.iter().skip(skipped).take(limit).collect::<Vec<_>>())).into_response()
}
