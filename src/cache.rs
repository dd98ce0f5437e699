//! A bounded map in front of slow, shared truth, in which a stale yes is impossible.
//!
//! The protocol, in two sentences. **A miss reads the truth and fills the entry while it holds the
//! map's lock on that entry.** **Whoever changed the truth drops the key after its commit and before
//! it tells anybody.** A fill that read the old truth holds the lock, so that the drop waits for it
//! and then takes the entry away; a fill that starts after the drop reads after the commit. Either
//! way nothing older than the commit is left once the change is acknowledged. Absence is never kept.
//!
//! Nothing here knows SQLite: the truth is a closure.

use std::borrow::Borrow;
use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_queue::ArrayQueue;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use foldhash::quality::RandomState;

/// Shards of the map (a power of two). Many, because a miss reads the truth while it holds the lock
/// of its shard: with 1024 a reader seldom meets one.
const SHARDS: usize = 1024;

/// How many entries in use one insertion may spare before it takes the next one regardless.
const SECOND_CHANCES: usize = 8;

/// The map. `K` is cheap to clone.
pub(crate) struct Cache<K, V> {
    map: DashMap<K, Slot<V>, RandomState>,
    /// Every key in the map has a place here (or is about to get one), in the order in which it came;
    /// a key that was dropped leaves its place behind as a ghost, which costs nothing when its turn
    /// comes. So the queue's capacity bounds the map.
    order: ArrayQueue<K>,
}

struct Slot<V> {
    value: Arc<V>,
    /// Set by a hit, cleared by the hand of the clock: an entry in use gets a second chance.
    referenced: AtomicBool,
}

impl<K: Eq + Hash + Clone, V> Cache<K, V> {
    /// An empty map for at most `capacity` entries (and one more for each thread that is inserting).
    pub(crate) fn new(capacity: NonZeroUsize) -> Self {
        Self {
            map: DashMap::with_capacity_and_hasher_and_shard_amount(0, RandomState::default(), SHARDS),
            order: ArrayQueue::new(capacity.get()),
        }
    }

    /// The value of `key`: what is kept, or what `read` finds, which is then kept under `own(key)`.
    ///
    /// # Errors
    ///
    /// The error of `read`; nothing is kept then.
    pub(crate) fn read_through<Q, E>(
        &self,
        key: &Q,
        own: impl FnOnce(&Q) -> K,
        read: impl FnOnce() -> Result<Option<V>, E>,
    ) -> Result<Option<Arc<V>>, E>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        if let Some(slot) = self.map.get(key) {
            return Ok(Some(slot.hit()));
        }
        let key = own(key);
        let value = match self.map.entry(key.clone()) {
            Entry::Occupied(slot) => return Ok(Some(slot.get().hit())),
            Entry::Vacant(place) => {
                // The lock of the entry is held from here until it is filled. Reading before taking
                // it would let a drop pass between the two: see the head of this file.
                let Some(value) = read()? else { return Ok(None) };
                let value = Arc::new(value);
                place.insert(Slot { value: value.clone(), referenced: AtomicBool::new(false) });
                value
            }
        };
        self.admit(key);
        Ok(Some(value))
    }

    /// Forgets `key`. To be called after the commit that changed it and before the change is
    /// acknowledged; waits for a fill of the same key that is under way.
    pub(crate) fn drop_key<Q>(&self, key: &Q)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.map.remove(key);
    }

    /// Forgets everything, with the same guarantee for every key.
    pub(crate) fn clear(&self) {
        self.map.clear();
    }

    /// How many entries are kept; an instant's view, for metrics.
    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }

    /// Queues a key that was just inserted, and makes room: the oldest key goes, unless it was used
    /// since its last turn. No lock is held while the queue is touched.
    fn admit(&self, key: K) {
        let mut chances = SECOND_CHANCES;
        let mut oldest = self.order.force_push(key);
        while let Some(key) = oldest {
            let mut spared = false;
            self.map.remove_if(&key, |_, slot| {
                spared = chances > 0 && slot.referenced.swap(false, Ordering::Relaxed);
                !spared
            });
            if !spared {
                return;
            }
            chances -= 1;
            oldest = self.order.force_push(key);
        }
    }
}

impl<V> Slot<V> {
    fn hit(&self) -> Arc<V> {
        // Written once per turn of the clock, not per hit: the line stays shared between cores.
        if !self.referenced.load(Ordering::Relaxed) {
            self.referenced.store(true, Ordering::Relaxed);
        }
        self.value.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::AtomicU64;
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;

    fn cache(capacity: usize) -> Cache<u64, u64> {
        Cache::new(NonZeroUsize::new(capacity).unwrap())
    }

    fn read(cache: &Cache<u64, u64>, key: u64, truth: Option<u64>) -> Option<u64> {
        cache.read_through(&key, |key| *key, || Ok::<_, Infallible>(truth)).unwrap().map(|value| *value)
    }

    #[test]
    fn what_was_read_is_kept_until_it_is_dropped() {
        let cache = cache(8);
        assert_eq!(read(&cache, 1, Some(10)), Some(10));
        assert_eq!(read(&cache, 1, Some(11)), Some(10), "kept");
        cache.drop_key(&1);
        assert_eq!(read(&cache, 1, Some(11)), Some(11), "read again");
        cache.clear();
        assert_eq!(read(&cache, 1, None), None);
    }

    #[test]
    fn neither_absence_nor_an_error_is_kept() {
        let cache = cache(8);
        assert_eq!(read(&cache, 1, None), None);
        assert_eq!(cache.read_through(&1, |key| *key, || Err("down")), Err("down"));
        assert_eq!(read(&cache, 1, Some(1)), Some(1));
    }

    #[test]
    fn it_stays_within_its_capacity_and_spares_what_is_used() {
        let cache = cache(100);
        for key in 0..10_000 {
            read(&cache, key, Some(key));
            assert_eq!(read(&cache, 0, Some(999)), Some(0), "used all the time, so never evicted");
            assert!(cache.len() <= 100, "{} entries", cache.len());
        }
        // Dropped keys leave ghosts in the queue; they must not let the map grow, nor starve it.
        for key in 0..10_000 {
            read(&cache, key, Some(key));
            if key % 2 == 0 {
                cache.drop_key(&key);
            }
            assert!(cache.len() <= 100);
        }
        assert!(cache.len() >= 25, "{} entries", cache.len());
    }

    #[test]
    fn all_in_use_still_makes_room() {
        let cache = cache(16);
        for key in 0..1_000 {
            read(&cache, key, Some(key));
            for used in 0..=key {
                if cache.map.contains_key(&used) {
                    read(&cache, used, None);
                }
            }
            assert!(cache.len() <= 16);
        }
    }

    /// The one interleaving that matters, forced: the truth changes and its key is dropped while a
    /// fill that read the old truth is under way.
    #[test]
    fn a_fill_cannot_outlive_the_drop_that_follows_the_commit() {
        let cache = cache(8);
        let truth = AtomicU64::new(1);
        let acknowledged = AtomicBool::new(false);
        thread::scope(|threads| {
            let found = cache.read_through(
                &7,
                |key| *key,
                || {
                    let old = truth.load(Ordering::SeqCst);
                    threads.spawn(|| {
                        truth.store(2, Ordering::SeqCst); // commit
                        cache.drop_key(&7); // must wait for this fill
                        acknowledged.store(true, Ordering::SeqCst);
                    });
                    // With the read outside the lock the drop would be through before this ends.
                    let patience = Instant::now();
                    while !acknowledged.load(Ordering::SeqCst)
                        && patience.elapsed() < Duration::from_millis(50)
                    {
                        thread::yield_now();
                    }
                    assert!(!acknowledged.load(Ordering::SeqCst), "acknowledged in the middle of a fill");
                    Ok::<_, Infallible>(Some(old))
                },
            );
            assert_eq!(found.unwrap().as_deref(), Some(&1), "it began before the acknowledgement");
        });
        assert_eq!(read(&cache, 7, Some(truth.load(Ordering::SeqCst))), Some(2));
    }

    #[test]
    fn many_threads_stay_within_capacity_and_never_see_the_past() {
        let cache = cache(32);
        let truth: Vec<AtomicU64> = (0..64).map(|_| AtomicU64::new(0)).collect();
        let acknowledged: Vec<AtomicU64> = (0..64).map(|_| AtomicU64::new(0)).collect();
        thread::scope(|threads| {
            for seed in 0..3u64 {
                let (cache, truth, acknowledged) = (&cache, &truth, &acknowledged);
                threads.spawn(move || {
                    for round in 0..20_000u64 {
                        let key = (round * 31 + seed * 17) % 64;
                        let floor = acknowledged[key as usize].load(Ordering::SeqCst);
                        let fill = || Ok::<_, Infallible>(Some(truth[key as usize].load(Ordering::SeqCst)));
                        let seen = *cache.read_through(&key, |key| *key, fill).unwrap().unwrap();
                        assert!(seen >= floor, "saw {seen} after {floor} was acknowledged");
                    }
                });
            }
            threads.spawn(|| {
                for round in 1..20_000u64 {
                    let key = round % 64;
                    truth[key as usize].store(round, Ordering::SeqCst);
                    cache.drop_key(&key);
                    acknowledged[key as usize].store(round, Ordering::SeqCst);
                }
            });
        });
        // Counted at rest: the map counts shard by shard, so that during the race an entry that goes
        // and one that comes may both be counted.
        assert!(cache.len() <= 32, "{} entries", cache.len());
        let queued: Vec<u64> = std::iter::from_fn(|| cache.order.pop()).collect();
        assert!(cache.map.iter().all(|entry| queued.contains(entry.key())), "an entry without a place");
    }
}
