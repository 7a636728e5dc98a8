//! The words on the wire between the parts of Hubbub, and between Hubbub and its clients.
//!
//! Only what two processes say to each other may live here: ids, bodies, events, frames and the
//! catalogue of problems. No rule, no I/O, no state. Fields are added, their meaning never changes.

pub mod caller;
pub mod event;
pub mod health;
mod hidden;
pub mod id;
pub mod internal;
pub mod key;
pub mod live;
pub mod message;
pub mod problem;
pub mod revocation;
pub mod room;
pub mod scope;
pub mod timestamp;
pub mod user;

pub use event::{Channel, Event, EventKind};
pub use id::{ClientId, MessageId, RoomId, SessionId, UserId};
pub use problem::{Kind, Problem};
pub use timestamp::Timestamp;
