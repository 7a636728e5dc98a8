//! The gateway as callers and upstreams see it: raw bytes in, raw bytes out, on free ports.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod auth;
mod bodies;
mod endpoints;
mod forwarding;
mod frames;
mod framing;
mod grpc;
mod h2c;
mod issuer;
mod machines;
mod own;
mod parting;
mod revoked;
mod sockets;
mod stopping;
mod streams;
mod support;
mod trailers;
mod trunk_settings;
mod trunks;
mod tunnels;
mod upstreams;
