//! The message service from outside: a real listener on a free port, real tokens, a real disk.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test stops where it is wrong")]

mod bell;
mod fsync;
mod internal;
mod messages;
mod refusals;
mod restart;
mod rooms;
mod service;
