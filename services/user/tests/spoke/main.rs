//! The user service as its callers meet it: a real listener on a free port, a real database of its
//! own, of either engine.

#[cfg(test)]
mod crashing;
#[cfg(test)]
mod directory;
#[cfg(test)]
mod guessing;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod profile;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod registering;
#[cfg(test)]
mod replicas;
#[cfg(test)]
mod restarting;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod setting_up;
#[cfg(test)]
mod support;
