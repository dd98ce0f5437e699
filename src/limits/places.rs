//! Places for connections: so many in all, and so many for one address.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use crate::model::AddressList;

/// The places.
#[derive(Debug)]
pub struct Places {
    number: ArcSwap<Number>,
    taken: AtomicUsize,
    /// Only addresses with a connection, so that the total bounds it.
    by_address: DashMap<IpAddr, usize, foldhash::quality::RandomState>,
    refused: AtomicUsize,
}

/// How many places there are.
#[derive(Debug)]
struct Number {
    most: usize,
    per_address: Option<usize>,
    /// Proxies in front: many callers come from their address.
    uncounted: AddressList,
}

/// One connection's place, free again when dropped.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    address: Option<IpAddr>,
}

impl Places {
    /// `most` places, and where `per_address` is given, that many for one address that is not in
    /// `uncounted`.
    pub fn new(most: usize, per_address: Option<usize>, uncounted: AddressList) -> Arc<Self> {
        Arc::new(Self {
            number: ArcSwap::from_pointee(Number { most, per_address, uncounted }),
            taken: AtomicUsize::new(0),
            by_address: DashMap::default(),
            refused: AtomicUsize::new(0),
        })
    }

    /// Changes the number of places, as [`Places::new`] has it. Who has a place keeps it; connections that
    /// came while none of their address were counted are not counted later.
    pub fn renumber(&self, most: usize, per_address: Option<usize>, uncounted: AddressList) {
        self.number.store(Arc::new(Number { most, per_address, uncounted }));
    }

    /// A place for a connection from `address`; `None` when there is none left.
    pub fn take(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let mut place = Place { places: Arc::clone(self), address: None };
        // Counted before it is compared: of two that race for the last place one goes.
        let before = self.taken.fetch_add(1, Ordering::Relaxed);
        let number = self.number.load();
        let fits = before < number.most && self.take_of_address(&number, address, &mut place);
        if !fits {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        fits.then_some(place)
    }

    fn take_of_address(&self, number: &Number, address: IpAddr, place: &mut Place) -> bool {
        let Some(most) = number.per_address.filter(|_| !number.uncounted.contains(address)) else {
            return true;
        };
        let mut count = self.by_address.entry(address).or_insert(0);
        if *count >= most {
            return false;
        }
        *count += 1;
        place.address = Some(address);
        true
    }

    /// Connections that are open.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Connections that were closed for want of a place.
    pub fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken.fetch_sub(1, Ordering::Relaxed);
        if let Some(address) = self.address
            && let Entry::Occupied(mut count) = self.places.by_address.entry(address)
        {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn places_come_back() {
        let places = Places::new(2, None, AddressList::default());
        let one = places.take(address("192.0.2.1")).unwrap();
        let _two = places.take(address("192.0.2.1")).unwrap();
        assert!(places.take(address("192.0.2.2")).is_none());
        assert_eq!((places.taken(), places.refused()), (2, 1));
        drop(one);
        assert!(places.take(address("192.0.2.2")).is_some());
    }

    #[test]
    fn one_address_cannot_take_them_all() {
        let proxy = AddressList::new(vec![AddressList::parse_entry("10.0.0.0/8").unwrap()]);
        let places = Places::new(100, Some(2), proxy);
        let kept: Vec<_> = (0..2).map(|_| places.take(address("192.0.2.1")).unwrap()).collect();
        assert!(places.take(address("192.0.2.1")).is_none());
        let _other = places.take(address("192.0.2.2")).unwrap();
        let _behind_proxy: Vec<_> = (0..5).map(|_| places.take(address("10.1.1.1")).unwrap()).collect();
        drop(kept);
        assert!(places.take(address("192.0.2.1")).is_some());
        assert_eq!(places.by_address.len(), 1, "addresses without a connection are forgotten");
    }

    #[test]
    fn a_race_for_the_last_place_has_one_winner() {
        let places = Places::new(8, Some(8), AddressList::default());
        for _ in 0..50 {
            let taken: Vec<_> = std::thread::scope(|threads| {
                let racing: Vec<_> =
                    (0..16).map(|_| threads.spawn(|| places.take(address("192.0.2.1")))).collect();
                racing.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
            });
            assert!(taken.len() <= 8, "{}", taken.len());
        }
        assert_eq!(places.taken(), 0);
    }
}
