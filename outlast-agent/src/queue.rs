//! Whose turn it is: the oldest drop of each workload, then the next of each, and so on.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::path::Path;

use outlast_drop::DropAddress;
use outlast_types::{ContentHash, Day, DropId, Timestamp, WorkloadName};

use crate::action::{Hop, Parcel};
use crate::sights::Sights;

/// Parcels to be shipped in one pass. A workload with many drops does not keep the others waiting.
#[derive(Debug)]
pub(crate) struct Queue {
    /// Oldest first, so that the last snapshot is the newest drop. None is empty.
    ready: BTreeMap<WorkloadName, BTreeMap<(DropId, Day), Parcel>>,
    /// Those that were taken and are under way.
    carried: BTreeMap<WorkloadName, DropAddress>,
    /// How many stay for a later pass.
    behind: BTreeMap<WorkloadName, u64>,
    /// The workload that was served last, also in the pass before.
    turn: Option<WorkloadName>,
    /// Since when each drop waits, by our own clock.
    since: BTreeMap<DropAddress, Timestamp>,
    /// The same of the pass before, until this one has seen it.
    before: BTreeMap<DropAddress, Timestamp>,
    /// Bytes of content that are to be read of drops that wait.
    bytes: BTreeMap<WorkloadName, BTreeMap<(DropId, Day), u64>>,
    now: Timestamp,
    /// Where that outlives a restart.
    sights: Option<Sights>,
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            ready: BTreeMap::new(),
            carried: BTreeMap::new(),
            behind: BTreeMap::new(),
            turn: None,
            since: BTreeMap::new(),
            before: BTreeMap::new(),
            bytes: BTreeMap::new(),
            now: Timestamp::EPOCH,
            sights: None,
        }
    }
}

impl Queue {
    /// One that knows since when drops wait from an earlier run of an agent with this directory.
    pub(crate) fn resumed(state: &Path) -> Self {
        let sights = Sights::open(state);
        Self { since: sights.known(), sights: Some(sights), ..Self::default() }
    }

    /// Writes down since when drops wait, for the next run.
    pub(crate) fn remember(&mut self) {
        if let Some(sights) = &mut self.sights {
            sights.keep(&self.since);
        }
    }

    /// Begins a pass: all that is still to be shipped of the workloads that were `looked` at will be put in again.
    pub(crate) fn begin(&mut self, now: Timestamp, looked: &BTreeSet<&WorkloadName>) {
        self.ready.retain(|workload, _| !looked.contains(workload));
        self.behind.retain(|workload, _| !looked.contains(workload));
        let since = std::mem::take(&mut self.since).into_iter();
        (self.before, self.since) =
            since.partition(|(address, _)| looked.contains(&address.workload));
        self.bytes.retain(|workload, _| !looked.contains(workload));
        self.now = now;
    }

    /// So many bytes of content are to be read of a drop.
    pub(crate) fn weigh(&mut self, address: &DropAddress, bytes: u64) {
        let of_workload = self.bytes.entry(address.workload.clone()).or_default();
        of_workload.insert((address.drop, address.day), bytes);
    }

    /// Bytes of content that are to be read of a workload.
    pub(crate) fn bytes(&self, workload: &WorkloadName) -> u64 {
        self.bytes.get(workload).map_or(0, |of_workload| of_workload.values().sum())
    }

    /// A drop lies there and waits; since when, by our own clock.
    pub(crate) fn sight(&mut self, address: &DropAddress) -> Timestamp {
        if let Some(since) = self.since.get(address) {
            return *since;
        }
        let since = self.before.remove(address).unwrap_or(self.now);
        self.since.insert(address.clone(), since);
        since
    }

    pub(crate) fn push(&mut self, parcel: Parcel) {
        let address = &parcel.address;
        self.sight(address);
        if self.carried.get(&address.workload) == Some(address) {
            return;
        }
        let key = (parcel.address.drop, parcel.address.day);
        self.ready.entry(parcel.address.workload.clone()).or_default().insert(key, parcel);
    }

    /// Takes the oldest parcel of the next workload that is `free`, after the one that was served last.
    pub(crate) fn pop(&mut self, is_free: impl Fn(&WorkloadName) -> bool) -> Option<Parcel> {
        let (after, before) = match &self.turn {
            Some(turn) => {
                let after = (Bound::Excluded(turn), Bound::Unbounded);
                let before = (Bound::Unbounded, Bound::Included(turn));
                (after, before)
            }
            None => ((Bound::Unbounded, Bound::Unbounded), (Bound::Unbounded, Bound::Unbounded)),
        };
        let names = self.ready.range::<WorkloadName, _>(after);
        let names = names.chain(self.ready.range::<WorkloadName, _>(before));
        let workload = names.map(|(name, _)| name).find(|name| is_free(name))?.clone();
        let parcels = self.ready.get_mut(&workload)?;
        let (_, parcel) = parcels.pop_first()?;
        if parcels.is_empty() {
            self.ready.remove(&workload);
        }
        self.turn = Some(workload);
        Some(parcel)
    }

    /// Whether a workload of some kind waits for its turn.
    pub(crate) fn has(&self, is_meant: impl Fn(&WorkloadName) -> bool) -> bool {
        self.ready.keys().any(is_meant)
    }

    /// A parcel that was taken is carried, for as long as that takes; it is not put in again meanwhile.
    pub(crate) fn carry(&mut self, address: &DropAddress) {
        self.carried.insert(address.workload.clone(), address.clone());
    }

    /// It is not carried any more.
    pub(crate) fn put_down(&mut self, address: &DropAddress) {
        self.carried.remove(&address.workload);
    }

    /// Leaves a parcel that was taken for a later pass.
    pub(crate) fn leave(&mut self, workload: &WorkloadName) {
        *self.behind.entry(workload.clone()).or_default() += 1;
    }

    /// Leaves all other parcels of its workload, too.
    pub(crate) fn leave_all(&mut self, workload: &WorkloadName) {
        let rest = self.ready.remove(workload).map_or(0, |rest| rest.len() as u64);
        *self.behind.entry(workload.clone()).or_default() += 1 + rest;
    }

    /// The drops of a workload that wait and that nobody has begun to read, with the digests of their seals.
    pub(crate) fn unread(
        &self,
        workload: &WorkloadName,
    ) -> impl Iterator<Item = (DropAddress, ContentHash)> {
        let parcels = self.ready.get(workload).into_iter().flat_map(BTreeMap::values);
        let unread = parcels.filter(|parcel| parcel.hop < Hop::Shipped && !parcel.is_loaded);
        unread.map(|parcel| (parcel.address.clone(), parcel.seal))
    }

    /// A drop waits no more.
    pub(crate) fn done(&mut self, address: &DropAddress) {
        if let Some(ready) = self.ready.get_mut(&address.workload) {
            ready.remove(&(address.drop, address.day));
            if ready.is_empty() {
                self.ready.remove(&address.workload);
            }
        }
        if let Some(of_workload) = self.bytes.get_mut(&address.workload) {
            of_workload.remove(&(address.drop, address.day));
        }
        self.since.remove(address);
    }

    /// Since when a drop waits, by our own clock.
    pub(crate) fn since(&self, address: &DropAddress) -> Option<Timestamp> {
        self.since.get(address).copied()
    }

    /// Since when the drop waits that has waited longest.
    pub(crate) fn oldest(&self) -> Option<Timestamp> {
        self.since.values().min().copied()
    }

    /// How many drops of a workload are still to be shipped.
    pub(crate) fn waiting(&self, workload: &WorkloadName) -> u64 {
        let ready = self.ready.get(workload).map_or(0, |ready| ready.len() as u64);
        let carried = u64::from(self.carried.contains_key(workload));
        ready + carried + self.behind.get(workload).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn parcel(workload: &str, number: u8) -> Parcel {
        let address = DropAddress {
            workload: WorkloadName::new(workload).unwrap(),
            day: Timestamp::EPOCH.day(),
            drop: format!("01a2066b-8649-78cb-a8bc-a5af0e9525{number:02x}").parse().unwrap(),
        };
        Parcel {
            address,
            seal: ContentHash([number; 32]),
            hop: Hop::Sealed,
            holder: None,
            is_loaded: false,
            first_seen: None,
            copy: None,
        }
    }

    /// All that is popped, if the workload `last` was served last.
    fn order(mut queue: Queue, last: Option<&str>) -> Vec<Parcel> {
        queue.turn = last.map(|last| WorkloadName::new(last).unwrap());
        std::iter::from_fn(|| queue.pop(|_| true)).collect()
    }

    #[test]
    fn each_workload_has_its_turn_with_its_oldest_drop() {
        let parcels = [("a", 3), ("a", 1), ("b", 2), ("c", 5), ("a", 2)];
        let filled = || {
            let mut queue = Queue::default();
            parcels.iter().for_each(|&(workload, number)| queue.push(parcel(workload, number)));
            queue
        };
        let expected = |order: [(&str, u8); 5]| order.map(|(name, number)| parcel(name, number));
        let from_a = expected([("a", 1), ("b", 2), ("c", 5), ("a", 2), ("a", 3)]);
        assert_eq!(order(filled(), None), from_a);
        let from_b = expected([("b", 2), ("c", 5), ("a", 1), ("a", 2), ("a", 3)]);
        assert_eq!(order(filled(), Some("a")), from_b);
        assert_eq!(order(filled(), Some("c")), from_a, "from the start after the last");
        let mut queue = filled();
        queue.pop(|_| true).unwrap();
        let names = ["a", "b", "c"].map(|name| WorkloadName::new(name).unwrap());
        queue.begin(Timestamp::EPOCH, &names[1..].iter().collect());
        assert_eq!(queue.waiting(&names[0]), 2, "nobody looked at it, so they wait as before");
        queue.begin(Timestamp::EPOCH, &names.iter().collect());
        assert_eq!((queue.pop(|_| true), queue.waiting(&names[0])), (None, 0));
        parcels.iter().for_each(|&(workload, number)| queue.push(parcel(workload, number)));
        assert_eq!(
            queue.pop(|_| true),
            Some(parcel("b", 2)),
            "the next pass goes on with the next"
        );
    }

    #[test]
    fn what_stays_behind_is_counted_and_not_popped_again() {
        let mut queue = Queue::default();
        let name = WorkloadName::new("a").unwrap();
        (1..=4).for_each(|number| queue.push(parcel("a", number)));
        assert_eq!(queue.waiting(&name), 4);
        queue.pop(|_| true).unwrap();
        assert_eq!(queue.waiting(&name), 3, "done with");
        queue.pop(|_| true).unwrap();
        queue.leave(&name);
        assert_eq!(queue.waiting(&name), 3);
        queue.pop(|_| true).unwrap();
        queue.leave_all(&name);
        assert_eq!((queue.waiting(&name), queue.pop(|_| true)), (3, None));
        assert_eq!(queue.waiting(&WorkloadName::new("b").unwrap()), 0);
    }

    #[test]
    fn what_is_carried_is_not_put_in_again_and_waits_until_it_is_put_down() {
        let mut queue = Queue::default();
        let (a, b) = (WorkloadName::new("a").unwrap(), WorkloadName::new("b").unwrap());
        let fill = |queue: &mut Queue| {
            queue.begin(Timestamp::EPOCH, &[&a, &b].into());
            for (name, number) in [("a", 1), ("a", 2), ("b", 3)] {
                queue.push(parcel(name, number));
            }
        };
        fill(&mut queue);
        let first = queue.pop(|_| true).unwrap();
        assert_eq!(first, parcel("a", 1));
        queue.carry(&first.address);
        for _ in 0..2 {
            // The next passes find it as it was.
            fill(&mut queue);
            assert_eq!((queue.waiting(&a), queue.waiting(&b)), (2, 1));
            assert!(queue.oldest().is_some() && queue.has(|name| *name == a));
        }
        assert_eq!(queue.pop(|name| *name != a), Some(parcel("b", 3)), "its workload is not free");
        assert_eq!(queue.pop(|name| *name != a), None);
        queue.put_down(&first.address);
        assert_eq!((queue.pop(|_| true), queue.waiting(&a)), (Some(parcel("a", 2)), 0));
        fill(&mut queue);
        assert_eq!(queue.pop(|_| true), Some(parcel("b", 3)));
        assert_eq!(queue.pop(|_| true), Some(parcel("a", 1)), "it is to be carried again");
    }

    #[test]
    fn the_drop_that_waits_longest_is_known_until_it_is_done_or_gone() {
        let at = |seconds| Timestamp::EPOCH.saturating_add(Duration::from_secs(seconds));
        let mut queue = Queue::default();
        assert_eq!(queue.oldest(), None);
        let name = WorkloadName::new("a").unwrap();
        let looked = BTreeSet::from([&name]);
        for second in 1..=3 {
            queue.begin(at(second), &looked);
            (1..=second).for_each(|n| queue.push(parcel("a", u8::try_from(n).unwrap())));
            let popped = queue.pop(|_| true).unwrap();
            queue.push(popped);
            assert_eq!(queue.oldest(), Some(at(1)));
        }
        queue.weigh(&parcel("a", 1).address, 7);
        queue.weigh(&parcel("a", 2).address, 5);
        assert_eq!(queue.bytes(&name), 12);
        queue.done(&parcel("a", 1).address);
        assert_eq!(queue.bytes(&name), 5);
        assert_eq!(queue.oldest(), Some(at(2)));
        queue.begin(at(4), &BTreeSet::new());
        assert_eq!(queue.oldest(), Some(at(2)), "nobody looked");
        queue.begin(at(4), &looked);
        queue.push(parcel("a", 3));
        assert_eq!(queue.oldest(), Some(at(3)), "the others have left the share");
    }
}
