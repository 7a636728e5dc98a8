//! `sub`: joins the hub first, then reads the store, then lets what waited follow. Whatever happens
//! in between is heard once, in order.

use std::collections::HashSet;
use std::sync::Arc;

use chassis::hop::Hop;
use chassis::refuse::Refusal;
use contract::internal::{Access, Head, LogEvent};
use contract::live::{
    self, CHANNELS_MAX, CloseCode, Done, Joined, OUTBOUND_BYTES_MAX, RECOVERED_EVENTS_DEFAULT,
    RECOVERED_EVENTS_MAX, ServerFrame, SubChannel, Subscribed, With,
};
use contract::scope::Scope;
use contract::{Channel, Kind};
use futures_util::{StreamExt as _, stream};

use super::entry::{RoomUrl, close_code};
use super::ops::{RequestId, fields};
use super::session::Session;
use crate::conversations::LogFrom;
use crate::error::fault;
use crate::hub::{Seat, Settled};

/// What may stand in a frame beside its envelope, in bytes.
pub(super) const FRAME_ROOM_BYTES: usize = OUTBOUND_BYTES_MAX - 128 * 1024;
/// More than an event takes beside its data, in bytes.
const EVENT_ENVELOPE_BYTES: usize = 160;
/// Reads at a time for one socket.
const READS_AT_ONCE: usize = 8;

/// A channel that is being subscribed.
struct Wanted {
    spec: SubChannel,
    place: Result<Arc<Seat>, Kind>,
}

/// What the store said about one.
struct Found {
    is_private: bool,
    /// Where a position was given: what came after it.
    log: Option<Recovered>,
}

struct Recovered {
    head: Head,
    is_whole: bool,
    events: Vec<LogEvent>,
}

/// Subscribes the room of a URL, joining it where it is public; `hello` was said. A socket whose token is
/// not for that stays, for what else it is for.
pub(super) async fn open_room(session: &Session, url: &RoomUrl) -> Result<(), CloseCode> {
    let refuse = |refusal: Refusal| {
        refusal.log("", "/ws/{room_id}");
        // One that is hidden is refused in the words of one that is not there.
        let hidden = refusal.kind() == Kind::NotFound;
        let told = if hidden { Refusal::new(Kind::NotFound) } else { refusal };
        session.line.say(&fault(None, &told));
        close_code(told.kind())
    };
    let Some(room) = &url.room else { return Err(refuse(Refusal::new(Kind::NotFound))) };
    let conversations = &session.node.conversations;
    let access = conversations.access(room, session.person.id).await;
    let access = access.map_err(|error| refuse(error.into()))?;
    readable(&access).map_err(|kind| refuse(Refusal::new(kind)))?;
    if let Err(refusal) = allowed(session, &access) {
        session.line.say(&fault(None, &refusal));
        return Ok(());
    }
    if !access.member {
        let joined = conversations.join_room(&session.person, room, &Hop::default()).await;
        joined.map_err(|error| refuse(error.into()))?;
    }
    let ch = Channel::from(room.clone()).to_string();
    let spec = SubChannel { ch, since: url.since.clone(), ..SubChannel::default() };
    let mut refused = None;
    let frame = |chs: Vec<Subscribed>| {
        refused = chs.iter().find_map(|ch| match ch {
            Subscribed::Refused { err, .. } => Some(err.code),
            Subscribed::Here(_) => None,
        });
        refused.is_none().then_some(ServerFrame::Subscribed { chs })
    };
    session.subscribe_all(vec![spec], frame).await;
    refused.map_or(Ok(()), |kind| Err(refuse(Refusal::new(kind))))
}

/// Refuses a token that is not for opening a room's own URL.
fn allowed(session: &Session, access: &Access) -> Result<(), Refusal> {
    session.require(Scope::MessagesRead)?;
    if access.member { Ok(()) } else { session.require(Scope::RoomsWrite) }
}

impl Session {
    pub(super) async fn subscribe(&self, id: RequestId, text: &str) -> Result<(), Refusal> {
        let sub: live::Sub = fields(text)?;
        let specs = if sub.chs.is_empty() {
            let ch = self.channel(sub.ch)?.to_string();
            let live::Sub { since, limit, with, .. } = sub;
            vec![SubChannel { ch, since, limit, with }]
        } else {
            sub.chs
        };
        if specs.len() > CHANNELS_MAX {
            return Err(Refusal::invalid("chs", format!("has to name at most {CHANNELS_MAX}")));
        }
        let ack = |chs| Some(ServerFrame::Ack(live::Ack { id: id?, done: Done::Sub { chs } }));
        self.subscribe_all(specs, ack).await;
        Ok(())
    }

    /// Subscribes to all of `specs` and answers with the frame that `answer` makes.
    async fn subscribe_all(
        &self,
        specs: Vec<SubChannel>,
        answer: impl FnOnce(Vec<Subscribed>) -> Option<ServerFrame>,
    ) {
        let wanted = self.take_places(specs);
        let looks: Vec<_> = wanted.iter().map(|one| self.look(one)).collect();
        let found: Vec<_> = stream::iter(looks).buffered(READS_AT_ONCE).collect().await;
        let heads = self.heads_for(&wanted, &found).await;
        let mut room = FRAME_ROOM_BYTES;
        let mut settling = Vec::new();
        let mut chs = Vec::new();
        for (Wanted { spec, place }, found) in wanted.into_iter().zip(found) {
            let joined = place.and_then(|seat| {
                let joined = self.judge(&spec, &seat, found, &heads, &mut room);
                joined.inspect_err(|_| self.leave(seat.channel())).map(|joined| (seat, joined))
            });
            chs.push(match joined {
                Ok((seat, (joined, is_private))) => {
                    settling.push((seat, joined.head, is_private));
                    Subscribed::Here(Box::new(joined))
                }
                Err(kind) => Subscribed::Refused { ch: spec.ch, err: kind.into() },
            });
        }
        if let Some(frame) = answer(chs) {
            self.line.say(&frame);
        }
        for (seat, head, is_private) in settling {
            if seat.settle(head) == Settled::Departed && is_private {
                self.node.hub.put_out(&seat);
            }
        }
    }

    /// Joins the hub for every channel that may be asked for; from now on events wait.
    fn take_places(&self, specs: Vec<SubChannel>) -> Vec<Wanted> {
        self.seats().retain(|_, seat| !seat.is_gone());
        let mut taken = HashSet::new();
        let place = |spec: &SubChannel| {
            let channel: Channel = spec.ch.parse().map_err(|_| Kind::NotFound)?;
            if !taken.insert(channel.clone()) {
                return Err(Kind::Invalid);
            }
            self.leave(&channel);
            if self.seats().len() >= CHANNELS_MAX {
                return Err(Kind::Invalid);
            }
            let seat = self.node.hub.join(&channel, self.person.id, &self.line);
            self.seats().insert(channel, seat.clone());
            Ok(seat)
        };
        let places: Vec<_> = specs.iter().map(place).collect();
        specs.into_iter().zip(places).map(|(spec, place)| Wanted { spec, place }).collect()
    }

    /// Asks the store about one channel.
    async fn look(&self, wanted: &Wanted) -> Result<Found, Kind> {
        let Wanted { spec, place } = wanted;
        let seat = place.as_ref().map_err(|kind| *kind)?;
        let conversations = &self.node.conversations;
        let access = conversations.access(seat.channel().room(), self.person.id).await;
        let access = access.map_err(kind_of)?;
        readable(&access)?;
        let mut found = Found { is_private: access.is_private, log: None };
        if let Some(since) = &spec.since {
            let limit = spec.limit.unwrap_or(RECOVERED_EVENTS_DEFAULT).min(RECOVERED_EVENTS_MAX);
            let from = LogFrom { after: since.seq, epoch: Some(&since.epoch), limit: Some(limit) };
            let log = conversations.log(seat.channel(), from).await.map_err(kind_of)?;
            // The head is read before the events, which may go beyond it.
            let last = log.events.last().map_or(0, |event| event.seq);
            let head = Head { epoch: log.epoch, head: log.head.max(last) };
            found.log = Some(Recovered { head, is_whole: log.recovered, events: log.events });
        }
        Ok(found)
    }

    /// The heads of the channels that gave no position, in one call.
    async fn heads_for(
        &self,
        wanted: &[Wanted],
        found: &[Result<Found, Kind>],
    ) -> Result<contract::internal::Heads, Kind> {
        let open = wanted.iter().zip(found).filter_map(|(wanted, found)| {
            let is_open = found.as_ref().is_ok_and(|found| found.log.is_none());
            let seat = wanted.place.as_ref().ok().filter(|_| is_open)?;
            Some(seat.channel().clone())
        });
        let channels: Vec<_> = open.collect();
        if channels.is_empty() {
            return Ok(contract::internal::Heads::new());
        }
        self.node.conversations.heads(&channels).await.map_err(kind_of)
    }

    /// The answer for one channel, and whether its room is private.
    fn judge(
        &self,
        spec: &SubChannel,
        seat: &Seat,
        found: Result<Found, Kind>,
        heads: &Result<contract::internal::Heads, Kind>,
        room: &mut usize,
    ) -> Result<(Joined, bool), Kind> {
        // A machine key's next token may have come meanwhile, and be for less.
        self.require(Scope::MessagesRead).map_err(|refusal| refusal.kind())?;
        let Found { is_private, log } = found?;
        let (head, recovered, events) = if let Some(log) = log {
            let (is_whole, events) = whole(log.is_whole, log.events, room);
            (log.head, Some(is_whole), events)
        } else {
            let heads = heads.as_ref().map_err(|kind| *kind)?;
            (heads.get(seat.channel()).cloned().ok_or(Kind::NotFound)?, None, Vec::new())
        };
        self.node.hub.learn(seat.channel(), is_private, &head);
        if is_private && seat.was_put_out() {
            return Err(Kind::NotFound);
        }
        let wants = |with| spec.with.contains(&with);
        let joined = Joined {
            ch: seat.channel().clone(),
            epoch: head.epoch,
            head: head.head,
            recovered,
            events,
            reads: wants(With::Receipts).then(Default::default),
            delivered: wants(With::Receipts).then(Default::default),
            presence: wants(With::Presence).then(Vec::new),
        };
        Ok((joined, is_private))
    }
}

/// Recovery is whole or not at all, also where the frame would become too big.
fn whole(is_whole: bool, events: Vec<LogEvent>, room: &mut usize) -> (bool, Vec<LogEvent>) {
    let bytes = events.iter().map(|event| event.data.get().len() + EVENT_ENVELOPE_BYTES);
    match room.checked_sub(bytes.sum()) {
        Some(left) if is_whole => {
            *room = left;
            (true, events)
        }
        Some(_) | None => (false, Vec::new()),
    }
}

/// Refuses whoever may not read a room: where it is hidden, as if it were not there.
fn readable(access: &Access) -> Result<(), Kind> {
    match (access.may_read(), access.is_private) {
        (true, _) => Ok(()),
        (false, true) => Err(Kind::NotFound),
        (false, false) => Err(Kind::Forbidden),
    }
}

fn kind_of(error: chassis::peer::PeerError) -> Kind {
    let refusal = Refusal::from(error);
    refusal.log("", "/ws");
    refusal.kind()
}
