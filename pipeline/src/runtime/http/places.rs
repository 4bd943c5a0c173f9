//! Places for connections: so many, and more or fewer while the server runs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Places for connections.
pub(super) struct Places {
    free: Arc<Semaphore>,
    bound: Mutex<Bound>,
}

/// How many places there are to be.
struct Bound {
    places: usize,
    /// So many of those that are taken go when they are given back.
    owed: usize,
}

impl Places {
    pub fn new(places: usize) -> Arc<Self> {
        Arc::new(Self {
            free: Arc::new(Semaphore::new(places)),
            bound: Mutex::new(Bound { places, owed: 0 }),
        })
    }

    fn bound(&self) -> MutexGuard<'_, Bound> {
        self.bound.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many there are to be.
    pub fn count(&self) -> usize {
        self.bound().places
    }

    /// A place, if one is free.
    pub fn try_take(self: &Arc<Self>) -> Option<Place> {
        let permit = Arc::clone(&self.free).try_acquire_owned().ok()?;
        Some(self.place(permit))
    }

    /// A place, once one is free.
    pub async fn take(self: &Arc<Self>) -> Place {
        let permit = Arc::clone(&self.free).acquire_owned().await;
        self.place(permit.expect("nobody closes it"))
    }

    fn place(self: &Arc<Self>, permit: OwnedSemaphorePermit) -> Place {
        Place {
            permit: Some(permit),
            of: Arc::clone(self),
        }
    }

    /// From now on there are so many. Where more are taken they stay so until they are given back.
    pub fn resize(&self, places: usize) {
        let mut bound = self.bound();
        if places > bound.places {
            let more = places - bound.places;
            let kept = more.min(bound.owed);
            bound.owed -= kept;
            self.free.add_permits(more - kept);
        } else {
            let fewer = bound.places - places;
            bound.owed += fewer - self.free.forget_permits(fewer);
        }
        bound.places = places;
    }
}

/// A place that is taken, until it is dropped.
pub(super) struct Place {
    permit: Option<OwnedSemaphorePermit>,
    of: Arc<Places>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut bound = self.of.bound();
        // It is back before anybody else counts.
        let permit = self.permit.take();
        if bound.owed > 0
            && let Some(permit) = permit
        {
            bound.owed -= 1;
            permit.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take_all(places: &Arc<Places>) -> Vec<Place> {
        std::iter::from_fn(|| places.try_take()).collect()
    }

    #[test]
    fn places_become_more_and_fewer_and_no_connection_ends_for_it() {
        let places = Places::new(4);
        let mut taken = take_all(&places);
        assert_eq!(taken.len(), 4);
        places.resize(2);
        taken.truncate(2);
        assert!(places.try_take().is_none(), "two are left, and taken");
        taken.truncate(1);
        assert_eq!(take_all(&places).len(), 1);
        places.resize(5);
        assert_eq!(take_all(&places).len(), 4);
        places.resize(3);
        assert_eq!(take_all(&places).len(), 2);
        drop(taken);
        assert_eq!(take_all(&places).len(), 3);
    }

    #[test]
    fn what_is_owed_is_not_owed_twice() {
        let places = Places::new(3);
        let taken = take_all(&places);
        places.resize(1);
        places.resize(4);
        assert_eq!(take_all(&places).len(), 1);
        drop(taken);
        assert_eq!(take_all(&places).len(), 4);
    }
}
