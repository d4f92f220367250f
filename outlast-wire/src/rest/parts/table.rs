//! The table of what is coming in parts: bounded, and pure.

use std::collections::BTreeMap;
use std::time::Duration;

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Objects of one owner, and of all.
    pub(super) each: usize,
    pub(super) total: usize,
    /// The same of bytes in memory.
    pub(super) bytes_each: u64,
    pub(super) bytes_total: u64,
}

/// Where things stand with an object that does not begin or go on as was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    At(u64),
    InUse,
    Full,
}

pub(super) struct Table<K, O, T> {
    bounds: Bounds,
    entries: BTreeMap<K, Entry<O, T>>,
}

struct Entry<O, T> {
    owner: O,
    /// Of the whole object.
    size: u64,
    at: u64,
    /// In memory.
    bytes: u64,
    touched: Duration,
    /// `None` while somebody uses it.
    kept: Option<T>,
}

impl<K: Ord + Clone, O: Ord + Clone, T> Table<K, O, T> {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, entries: BTreeMap::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether an object of `size` goes on at `offset`, or begins there.
    pub(super) fn expects(&self, key: &K, size: u64, offset: u64) -> Result<(), Place> {
        let at = match self.entries.get(key) {
            Some(Entry { kept: None, .. }) => return Err(Place::InUse),
            Some(entry) if entry.size == size => entry.at,
            // One of another size is another attempt, and begins anew.
            _ => 0,
        };
        if at == offset { Ok(()) } else { Err(Place::At(at)) }
    }

    /// Takes the object: what was kept of it, or nothing if it begins. `(size, bytes)` is what it has as a
    /// whole, and what of that is held in memory; the owner has a weight. What has to make room for it
    /// goes to `gone`.
    pub(super) fn claim(
        &mut self,
        key: &K,
        (owner, weight): (O, usize),
        (size, bytes): (u64, u64),
        offset: u64,
        gone: &mut Vec<T>,
    ) -> Result<Option<T>, Place> {
        self.expects(key, size, offset)?;
        if let Some(entry) = self.entries.get_mut(key).filter(|entry| entry.size == size) {
            return Ok(entry.kept.take());
        }
        gone.extend(self.entries.remove(key).and_then(|entry| entry.kept));
        self.make_room(&owner, weight, bytes, gone)?;
        let entry = Entry { owner, size, at: 0, bytes, touched: Duration::ZERO, kept: None };
        self.entries.insert(key.clone(), entry);
        Ok(None)
    }

    /// Gives back what was claimed, which came up to `at`; `None` ends the object.
    pub(super) fn give_back(&mut self, key: &K, at: u64, kept: Option<T>, now: Duration) {
        match (self.entries.get_mut(key), kept) {
            (Some(entry), Some(kept)) => {
                (entry.at, entry.touched, entry.kept) = (at, now, Some(kept));
            }
            _ => drop(self.entries.remove(key)),
        }
    }

    /// Takes out what nobody touched for longer than `idle`.
    pub(super) fn expire(&mut self, now: Duration, idle: Duration) -> Vec<T> {
        let is_idle =
            |entry: &Entry<O, T>| entry.kept.is_some() && now.saturating_sub(entry.touched) > idle;
        let old: Vec<K> = self
            .entries
            .iter()
            .filter(|(_, entry)| is_idle(entry))
            .map(|(k, _)| k.clone())
            .collect();
        old.iter().filter_map(|key| self.entries.remove(key)?.kept).collect()
    }

    /// Makes room for one more of `owner`: within its own bound by what it touched least lately, and
    /// within that of all by the same of whoever has the most.
    fn make_room(
        &mut self,
        owner: &O,
        weight: usize,
        bytes: u64,
        gone: &mut Vec<T>,
    ) -> Result<(), Place> {
        let Bounds { each, total, bytes_each, bytes_total } = self.bounds;
        loop {
            let (count, held) = self.usage(Some(owner));
            if count < each * weight && held + bytes <= bytes_each * weight as u64 {
                break;
            }
            gone.push(self.remove_oldest(owner).ok_or(Place::Full)?);
        }
        loop {
            let (count, held) = self.usage(None);
            if count < total && held + bytes <= bytes_total {
                return Ok(());
            }
            let is_short_of_bytes = held + bytes > bytes_total;
            let most = self.owners().max_by_key(|other| {
                let (count, held) = self.usage(Some(other));
                if is_short_of_bytes { held } else { count as u64 }
            });
            let oldest = most.and_then(|most| self.remove_oldest(&most));
            gone.push(oldest.ok_or(Place::Full)?);
        }
    }

    /// The owners of something that nobody uses.
    fn owners(&self) -> impl Iterator<Item = O> {
        let idle = self.entries.values().filter(|entry| entry.kept.is_some());
        let owners: std::collections::BTreeSet<O> = idle.map(|entry| entry.owner.clone()).collect();
        owners.into_iter()
    }

    /// How many objects there are, and their bytes in memory; of one owner, or of all.
    fn usage(&self, owner: Option<&O>) -> (usize, u64) {
        let meant = self.entries.values().filter(|entry| owner.is_none_or(|it| *it == entry.owner));
        meant.fold((0, 0), |(count, bytes), entry| (count + 1, bytes + entry.bytes))
    }

    fn remove_oldest(&mut self, owner: &O) -> Option<T> {
        let idle = self.entries.iter().filter(|(_, entry)| entry.kept.is_some());
        let of_owner = idle.filter(|(_, entry)| entry.owner == *owner);
        let key = of_owner.min_by_key(|(_, entry)| entry.touched)?.0.clone();
        self.entries.remove(&key)?.kept
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOUNDS: Bounds = Bounds { each: 3, total: 7, bytes_each: 10, bytes_total: 25 };

    #[derive(Debug, Clone)]
    enum Step {
        Claim { owner: u8, object: u8, size: u64, offset: u64, in_memory: bool },
        GiveBack { which: usize, more: u64 },
        End { which: usize },
        Wait(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let claim = (0..4_u8, 0..4_u8, 1..4_u64, 0..4_u64, any::<bool>()).prop_map(
            |(owner, object, size, offset, in_memory)| Step::Claim {
                owner,
                object,
                size,
                offset,
                in_memory,
            },
        );
        let step = prop_oneof![
            4 => claim,
            3 => (any::<usize>(), 0..3_u64).prop_map(|(which, more)| Step::GiveBack { which, more }),
            1 => any::<usize>().prop_map(|which| Step::End { which }),
            1 => (0..20_u64).prop_map(Step::Wait),
        ];
        prop::collection::vec(step, 0..120)
    }

    proptest! {
        /// Whatever is asked in whatever order: bounds hold, nobody has what another one has, and what
        /// is kept is kept whole: with as many bytes as it was given back with.
        #[test]
        fn bounds_hold_and_what_is_kept_is_what_was_given_back(steps in steps()) {
            let mut table = Table::new(BOUNDS);
            let mut held: Vec<((u8, u8), u64, u64)> = Vec::new();
            let mut now = Duration::ZERO;
            for step in steps {
                let mut gone = Vec::new();
                match step {
                    Step::Claim { owner, object, size, offset, in_memory } => {
                        let key = (owner, object);
                        let bytes = if in_memory { size } else { 0 };
                        match table.claim(&key, (owner, 1), (size, bytes), offset, &mut gone) {
                            Ok(kept) => {
                                prop_assert!(held.iter().all(|(other, ..)| *other != key));
                                prop_assert_eq!(kept.unwrap_or(0), offset);
                                held.push((key, size, offset));
                            }
                            Err(Place::InUse) => {
                                prop_assert!(held.iter().any(|(other, ..)| *other == key));
                            }
                            Err(Place::At(at)) => prop_assert_ne!(at, offset),
                            Err(Place::Full) => prop_assert!(!held.is_empty()),
                        }
                    }
                    Step::GiveBack { which, more } if !held.is_empty() => {
                        let (key, size, at) = held.swap_remove(which % held.len());
                        let at = (at + more).min(size);
                        table.give_back(&key, at, Some(at), now);
                    }
                    Step::End { which } if !held.is_empty() => {
                        let (key, _, at) = held.swap_remove(which % held.len());
                        table.give_back(&key, at, None, now);
                    }
                    Step::Wait(seconds) => {
                        now += Duration::from_secs(seconds);
                        table.expire(now, Duration::from_secs(30));
                    }
                    Step::GiveBack { .. } | Step::End { .. } => {}
                }
                let (count, bytes) = table.usage(None);
                prop_assert!(count <= BOUNDS.total && bytes <= BOUNDS.bytes_total);
                for owner in 0..4 {
                    let (count, bytes) = table.usage(Some(&owner));
                    prop_assert!(count <= BOUNDS.each && bytes <= BOUNDS.bytes_each);
                }
                for (key, ..) in &held {
                    prop_assert!(table.entries.contains_key(key), "what is in use stays");
                }
            }
        }
    }

    #[test]
    fn who_has_the_most_makes_room_for_others_with_what_it_touched_least_lately() {
        let mut table: Table<(u8, u8), u8, u64> = Table::new(BOUNDS);
        let mut gone = Vec::new();
        for (second, (owner, object)) in
            [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (2, 0), (2, 1)].into_iter().enumerate()
        {
            table.claim(&(owner, object), (owner, 1), (9, 0), 0, &mut gone).unwrap();
            let now = Duration::from_secs(second as u64);
            table.give_back(&(owner, object), 5, Some(u64::from(owner * 10 + object)), now);
        }
        assert!(gone.is_empty());
        table.claim(&(3, 0), (3, 1), (9, 0), 0, &mut gone).unwrap();
        assert_eq!(gone, [0], "of the owner with three, the oldest");
        table.claim(&(3, 1), (3, 1), (9, 11), 0, &mut gone).unwrap_err();
    }
}
