//! The bus from outside: what every kind of it promises, and NATS when it goes away, when it carries
//! rubbish, and when it asks who we are.

#![expect(clippy::unwrap_used, reason = "a test ends where it is wrong")]

mod access;
mod both;
mod encryption;
mod outage;
mod proxy;
mod rubbish;
mod world;
