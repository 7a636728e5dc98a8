//! Following what is revoked, from outside: a feed that is slow, away, set back or talkative, the bus
//! that is quicker, and a set that has it all within a second.

#![expect(clippy::unwrap_used, reason = "a test ends where it is wrong")]

mod feed;
mod following;
mod world;
