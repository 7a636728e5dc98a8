//! The gateway as callers and upstreams see it: raw bytes in, raw bytes out, on free ports.

mod auth;
mod bodies;
mod forwarding;
mod framing;
mod own;
mod sockets;
mod stopping;
mod support;
mod upstreams;
