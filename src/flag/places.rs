//! How many connections there are at a time, in total and of one peer: whoever opens them without end takes none of the others' places.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use super::metrics::Cut;

/// Connections at a time. Each may hold the head and the body of a request, and with TLS its buffers: what there may be of them fits into the memory
/// that the chart gives a replica.
pub(super) const MOST: usize = 512;
/// Connections of one address at a time.
pub(super) const MOST_OF_PEER: usize = 64;

/// The open connections by peer. An address without one is not kept, so there are at most [`MOST`] of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Places(Arc<Mutex<Open>>);

#[derive(Debug, Default)]
struct Open {
    all: usize,
    of: BTreeMap<IpAddr, usize>,
}

/// One connection's place, free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Places,
    peer: IpAddr,
}

impl Places {
    /// A place for one more connection of `peer`.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn take(&self, peer: IpAddr) -> Result<Place, Cut> {
        // An IPv4 address is the same peer on a socket for both families.
        let peer = peer.to_canonical();
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if open.of.get(&peer).is_some_and(|of| *of >= MOST_OF_PEER) {
            return Err(Cut::FullOfPeer);
        }
        if open.all >= MOST {
            return Err(Cut::Full);
        }
        open.all += 1;
        *open.of.entry(peer).or_default() += 1;
        Ok(Place { places: self.clone(), peer })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.places.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.all -= 1;
        if let Some(of) = open.of.get_mut(&self.peer) {
            *of -= 1;
            if *of == 0 {
                open.of.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(number: usize) -> IpAddr {
        IpAddr::from([10, 0, 0, u8::try_from(number).unwrap()])
    }

    #[test]
    fn no_peer_takes_the_places_of_the_others() {
        let places = Places::default();
        let mut taken: Vec<Place> = (0..MOST_OF_PEER).map(|_| places.take(peer(0)).unwrap()).collect();
        assert_eq!(places.take(peer(0)).unwrap_err(), Cut::FullOfPeer);
        let mapped = "::ffff:10.0.0.0".parse().unwrap();
        assert_eq!(places.take(mapped).unwrap_err(), Cut::FullOfPeer, "by its other name");
        assert!(places.take(peer(1)).is_ok());
        taken.pop();
        assert!(places.take(peer(0)).is_ok(), "a place that is free again");
    }

    #[test]
    fn there_are_only_so_many_and_nothing_is_kept_of_those_that_left() {
        let places = Places::default();
        let taken: Vec<Place> =
            (0..MOST).map(|number| places.take(peer(number / MOST_OF_PEER)).unwrap()).collect();
        assert_eq!(places.take(peer(200)).unwrap_err(), Cut::Full);
        drop(taken);
        let open = places.0.lock().unwrap();
        assert_eq!((open.all, open.of.len()), (0, 0));
    }
}
