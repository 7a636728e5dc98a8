//! The message service from outside: a real listener on a free port, real tokens, a real disk.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test stops where it is wrong")]

mod bell;
mod deleted;
mod fsync;
mod internal;
mod messages;
mod refusals;
mod restart;
mod revoked;
mod rooms;
mod scopes;
mod service;
