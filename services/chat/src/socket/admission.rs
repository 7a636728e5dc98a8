//! How many sockets a node takes, and how many of one person.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chassis::Stop;
use contract::UserId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A place for a socket, given back when it is dropped.
pub(crate) type Place = OwnedSemaphorePermit;

/// Counts sockets.
#[derive(Debug)]
pub(crate) struct Admission {
    places: Arc<Semaphore>,
    places_max: u32,
    per_user_max: usize,
    people: Mutex<HashMap<UserId, usize>>,
}

impl Admission {
    pub(crate) fn new(places_max: u32, per_user_max: usize) -> Arc<Self> {
        let places = Arc::new(Semaphore::new(usize::try_from(places_max).unwrap_or(usize::MAX)));
        Arc::new(Self { places, places_max, per_user_max, people: Mutex::default() })
    }

    /// A place for one more socket, unless the node is full.
    pub(crate) fn place(&self) -> Option<Place> {
        self.places.clone().try_acquire_owned().ok()
    }

    /// Ends when the node drains and no socket is left, or when everything is cut off. Safe to drop.
    pub(crate) async fn ended(&self, stop: &Stop) {
        let vacated = async {
            stop.drain_began().await;
            // The semaphore is never closed.
            drop(self.places.acquire_many(self.places_max).await);
        };
        tokio::select! {
            () = vacated => {}
            () = stop.cancelled() => {}
        }
    }

    /// Counts a socket in for `user`, unless that is one too many.
    pub(crate) fn admit(self: &Arc<Self>, user: UserId) -> Option<Admitted> {
        let mut people = self.people();
        let count = people.entry(user).or_default();
        if *count >= self.per_user_max {
            return None;
        }
        *count += 1;
        Some(Admitted { admission: self.clone(), user })
    }

    fn people(&self) -> MutexGuard<'_, HashMap<UserId, usize>> {
        self.people.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A socket that was counted in; dropped, it is counted out.
#[derive(Debug)]
pub(crate) struct Admitted {
    admission: Arc<Admission>,
    user: UserId,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut people = self.admission.people();
        if let Some(count) = people.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                people.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_so_many_sockets_and_no_more() {
        let admission = Admission::new(9, 2);
        let (ada, bob) = (UserId(uuid::Uuid::from_u128(1)), UserId(uuid::Uuid::from_u128(2)));
        let first = admission.admit(ada);
        let _second = admission.admit(ada).unwrap();
        assert!(admission.admit(ada).is_none());
        assert!(admission.admit(bob).is_some());
        drop(first);
        assert!(admission.admit(ada).is_some());
        assert_eq!(admission.people().len(), 1);
    }

    #[tokio::test]
    async fn a_node_has_so_many_places_and_has_ended_when_all_are_given_back() {
        let admission = Admission::new(1, 2);
        let place = admission.place().unwrap();
        assert!(admission.place().is_none());
        let stop = Stop::new();
        stop.drain();
        drop(place);
        admission.ended(&stop).await;
    }
}
