//! The user service as its callers meet it: a real listener on a free port, a real database of its
//! own, of either engine.

#[cfg(test)]
mod administering;
#[cfg(test)]
mod besieged;
#[cfg(test)]
mod confirming;
#[cfg(test)]
mod cookies;
#[cfg(test)]
mod crashing;
#[cfg(test)]
mod directory;
#[cfg(test)]
mod document;
#[cfg(test)]
mod documented;
#[cfg(test)]
mod ending;
#[cfg(test)]
mod exchanging;
#[cfg(test)]
mod forging;
#[cfg(test)]
mod grpc;
#[cfg(test)]
mod guessing;
#[cfg(test)]
mod impersonating;
#[cfg(test)]
mod issuer;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod letters;
#[cfg(test)]
mod machines;
#[cfg(test)]
mod noticing;
#[cfg(test)]
mod people;
#[cfg(test)]
mod posting;
#[cfg(test)]
mod profile;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod registering;
#[cfg(test)]
mod replicas;
#[cfg(test)]
mod resetting;
#[cfg(test)]
mod restarting;
#[cfg(test)]
mod rotating;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod setting_up;
#[cfg(test)]
mod support;
#[cfg(test)]
mod telephoning;
#[cfg(test)]
mod tickets;
