//! The chat service from outside: a real listener on a free port, real sockets, real tokens, and a
//! scripted message service behind it.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod accounts;
mod broker;
mod client;
mod credentials;
mod endings;
mod frames;
mod keys;
mod messages;
mod pressure;
mod recovery;
mod revoked;
mod rings;
mod rooms;
mod scopes;
mod script;
mod tickets;
mod world;
