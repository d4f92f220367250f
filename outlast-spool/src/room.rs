//! How much a spool holds, and how much more may come: pure.

use std::collections::BTreeMap;

use outlast_types::WorkloadName;

use crate::error::SpoolError;
use crate::item::{Item, Key};

/// The least that is kept back for indexes and bills, in bytes: what waits for them must not be
/// stuck for want of a few of them.
const RESERVE_LEAST: u64 = 64 << 20;

/// What a spool may hold, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    pub total: u64,
    /// The most of any one workload.
    pub each: u64,
}

impl Room {
    /// What packs leave free: a hundredth, or 64 MiB, but never more than half of a small spool.
    pub fn reserve(&self) -> u64 {
        (self.total / 100).max(RESERVE_LEAST).min(self.total / 2)
    }
}

/// What waits in a spool, or is about to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    pub items: u64,
    pub bytes: u64,
}

/// The book of a spool.
pub(crate) struct Book {
    room: Room,
    /// What is here, and what is promised to those who write.
    all: Usage,
    by_workload: BTreeMap<WorkloadName, Usage>,
}

impl Book {
    pub(crate) fn new(room: Room) -> Self {
        Self { room, all: Usage::default(), by_workload: BTreeMap::new() }
    }

    pub(crate) fn set_room(&mut self, room: Room) {
        self.room = room;
    }

    pub(crate) fn all(&self) -> Usage {
        self.all
    }

    pub(crate) fn by_workload(&self) -> &BTreeMap<WorkloadName, Usage> {
        &self.by_workload
    }

    /// Sets `bytes` more aside for `key`, if there is room for them.
    pub(crate) fn promise(&mut self, key: &Key, bytes: u64) -> Result<(), SpoolError> {
        let is_word = key.what.is_word();
        let room = if is_word { self.room.total } else { self.room.total - self.room.reserve() };
        if self.all.bytes.saturating_add(bytes) > room {
            return Err(SpoolError::Full { used: self.all.bytes, room });
        }
        let own = self.by_workload.get(&key.workload).copied().unwrap_or_default();
        // A quota that keeps a workload's bill out would keep its packs here.
        if !is_word && own.bytes.saturating_add(bytes) > self.room.each {
            let (workload, room) = (key.workload.clone(), self.room.each);
            return Err(SpoolError::OverQuota { workload, used: own.bytes, room });
        }
        self.add(&key.workload, Usage { items: 0, bytes });
        Ok(())
    }

    /// What was set aside is not needed.
    pub(crate) fn take_back(&mut self, key: &Key, bytes: u64) {
        self.subtract(&key.workload, Usage { items: 0, bytes });
    }

    /// An item is here, whose bytes were set aside.
    pub(crate) fn stored(&mut self, item: &Item) {
        self.add(&item.key.workload, Usage { items: 1, bytes: 0 });
    }

    /// An item was found here, which nobody set anything aside for.
    pub(crate) fn found(&mut self, item: &Item) {
        self.add(&item.key.workload, Usage { items: 1, bytes: item.size });
    }

    pub(crate) fn gone(&mut self, item: &Item) {
        self.subtract(&item.key.workload, Usage { items: 1, bytes: item.size });
    }

    fn add(&mut self, workload: &WorkloadName, more: Usage) {
        let own = self.by_workload.entry(workload.clone()).or_default();
        for usage in [&mut self.all, own] {
            usage.items += more.items;
            usage.bytes += more.bytes;
        }
    }

    fn subtract(&mut self, workload: &WorkloadName, less: Usage) {
        let Some(own) = self.by_workload.get_mut(workload) else { return };
        for usage in [&mut self.all, own] {
            usage.items = usage.items.saturating_sub(less.items);
            usage.bytes = usage.bytes.saturating_sub(less.bytes);
        }
        if *own == Usage::default() {
            self.by_workload.remove(workload);
        }
    }
}

#[cfg(test)]
mod tests {
    use outlast_types::{IndexId, PackId};
    use proptest::prelude::*;

    use super::*;
    use crate::item::{Arrival, What};

    const MIB: u64 = 1 << 20;

    fn pack(workload: &str, name: u8) -> Key {
        Key { workload: workload.parse().unwrap(), what: What::Pack(PackId([name; 32])) }
    }

    fn index(workload: &str) -> Key {
        Key { workload: workload.parse().unwrap(), what: What::Index(IndexId([1; 32])) }
    }

    #[test]
    fn packs_leave_room_for_the_words_that_let_them_go() {
        let mut book = Book::new(Room { total: 1000 * MIB, each: 2000 * MIB });
        book.promise(&pack("a", 1), 936 * MIB).unwrap();
        assert!(matches!(book.promise(&pack("b", 1), 1), Err(SpoolError::Full { .. })));
        book.promise(&index("b"), 64 * MIB).unwrap();
        assert!(matches!(book.promise(&index("b"), 1), Err(SpoolError::Full { .. })));
    }

    #[test]
    fn one_workload_gets_its_quota_and_no_more_and_its_words_pass() {
        let mut book = Book::new(Room { total: 1000 * MIB, each: 10 * MIB });
        book.promise(&pack("a", 1), 10 * MIB).unwrap();
        assert!(matches!(book.promise(&pack("a", 2), 1), Err(SpoolError::OverQuota { .. })));
        book.promise(&index("a"), 1).unwrap();
        book.promise(&pack("b", 1), 10 * MIB).unwrap();
    }

    #[test]
    fn a_small_spool_has_room_for_both() {
        assert_eq!(Room { total: 10 * MIB, each: MIB }.reserve(), 5 * MIB);
        assert_eq!(Room { total: 100_000 * MIB, each: MIB }.reserve(), 1000 * MIB);
    }

    proptest! {
        /// Whatever happens in which order, the book has what is here, and nothing is left of what went.
        #[test]
        fn the_sum_is_what_is_here(steps in proptest::collection::vec((0u8..4, 1u64..5 * MIB), 1..60)) {
            let mut book = Book::new(Room { total: 500 * MIB, each: 400 * MIB });
            let mut here: Vec<Item> = Vec::new();
            for (number, (step, size)) in (0u64..).zip(steps) {
                let key = pack(if size % 2 == 0 { "a" } else { "b" }, 1);
                match step {
                    0 if book.promise(&key, size).is_ok() => {
                        let item = Item { key, arrival: Arrival(number), size, shipment: None };
                        book.stored(&item);
                        here.push(item);
                    }
                    1 if book.promise(&key, size).is_ok() => book.take_back(&key, size),
                    2 => here.pop().iter().for_each(|item| book.gone(item)),
                    3 => {
                        let item = Item { key, arrival: Arrival(number), size, shipment: None };
                        book.found(&item);
                        here.push(item);
                    }
                    _ => {}
                }
                let bytes: u64 = here.iter().map(|item| item.size).sum();
                prop_assert_eq!(book.all(), Usage { items: here.len() as u64, bytes });
                let parts: u64 = book.by_workload().values().map(|usage| usage.bytes).sum();
                prop_assert_eq!(parts, bytes);
            }
        }
    }
}
