//! The gateway as callers and upstreams see it: raw bytes in, raw bytes out, on free ports.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod auth;
mod bodies;
mod endpoints;
mod forwarding;
mod frames;
mod framing;
mod issuer;
mod own;
mod parting;
mod sockets;
mod stopping;
mod support;
mod tunnels;
mod upstreams;
