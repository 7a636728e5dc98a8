//! The whole, from outside: the real binaries on free ports in temporary folders, driven by a real
//! HTTP client and real sockets.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it is wrong")]

mod bad_frames;
mod bad_input;
mod cluster;
mod cluster_outages;
mod conversation;
mod crash;
mod durability;
mod ending;
mod grpc;
mod guessing;
mod letters;
mod machines;
mod secrets;
mod separate;
mod startup;
mod support;
