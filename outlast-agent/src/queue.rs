//! Whose turn it is: the oldest drop of each workload, then the next of each, and so on.

use std::collections::{BTreeMap, BTreeSet};

use outlast_drop::DropAddress;
use outlast_types::{Day, DropId, Timestamp, WorkloadName};

use crate::action::Parcel;

/// Parcels to be shipped in one pass. A workload with many drops does not keep the others waiting.
#[derive(Debug)]
pub(crate) struct Queue {
    /// Oldest first, so that the last snapshot is the newest drop. None is empty.
    ready: BTreeMap<WorkloadName, BTreeMap<(DropId, Day), Parcel>>,
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
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            ready: BTreeMap::new(),
            behind: BTreeMap::new(),
            turn: None,
            since: BTreeMap::new(),
            before: BTreeMap::new(),
            bytes: BTreeMap::new(),
            now: Timestamp::EPOCH,
        }
    }
}

impl Queue {
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

    pub(crate) fn push(&mut self, parcel: Parcel) {
        let address = &parcel.address;
        if !self.since.contains_key(address) {
            let since = self.before.remove(address).unwrap_or(self.now);
            self.since.insert(address.clone(), since);
        }
        let key = (parcel.address.drop, parcel.address.day);
        self.ready.entry(parcel.address.workload.clone()).or_default().insert(key, parcel);
    }

    /// Takes the oldest parcel of the workload that comes after the one that was served last.
    pub(crate) fn pop(&mut self) -> Option<Parcel> {
        let is_after = |name: &&WorkloadName| self.turn.as_ref().is_none_or(|turn| *name > turn);
        let after = self.ready.keys().find(is_after);
        let workload = after.or_else(|| self.ready.keys().next())?.clone();
        let parcels = self.ready.get_mut(&workload)?;
        let (_, parcel) = parcels.pop_first()?;
        if parcels.is_empty() {
            self.ready.remove(&workload);
        }
        self.turn = Some(workload);
        Some(parcel)
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

    /// A drop waits no more.
    pub(crate) fn done(&mut self, address: &DropAddress) {
        if let Some(of_workload) = self.bytes.get_mut(&address.workload) {
            of_workload.remove(&(address.drop, address.day));
        }
        self.since.remove(address);
    }

    /// Since when the drop waits that has waited longest.
    pub(crate) fn oldest(&self) -> Option<Timestamp> {
        self.since.values().min().copied()
    }

    /// How many drops of a workload are still to be shipped.
    pub(crate) fn waiting(&self, workload: &WorkloadName) -> u64 {
        let ready = self.ready.get(workload).map_or(0, |ready| ready.len() as u64);
        ready + self.behind.get(workload).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use outlast_types::ContentHash;

    use super::*;
    use crate::action::Hop;

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
        }
    }

    /// All that is popped, if the workload `last` was served last.
    fn order(mut queue: Queue, last: Option<&str>) -> Vec<Parcel> {
        queue.turn = last.map(|last| WorkloadName::new(last).unwrap());
        std::iter::from_fn(|| queue.pop()).collect()
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
        queue.pop().unwrap();
        let names = ["a", "b", "c"].map(|name| WorkloadName::new(name).unwrap());
        queue.begin(Timestamp::EPOCH, &names[1..].iter().collect());
        assert_eq!(queue.waiting(&names[0]), 2, "nobody looked at it, so they wait as before");
        queue.begin(Timestamp::EPOCH, &names.iter().collect());
        assert_eq!((queue.pop(), queue.waiting(&names[0])), (None, 0));
        parcels.iter().for_each(|&(workload, number)| queue.push(parcel(workload, number)));
        assert_eq!(queue.pop(), Some(parcel("b", 2)), "the next pass goes on with the next");
    }

    #[test]
    fn what_stays_behind_is_counted_and_not_popped_again() {
        let mut queue = Queue::default();
        let name = WorkloadName::new("a").unwrap();
        (1..=4).for_each(|number| queue.push(parcel("a", number)));
        assert_eq!(queue.waiting(&name), 4);
        queue.pop().unwrap();
        assert_eq!(queue.waiting(&name), 3, "done with");
        queue.pop().unwrap();
        queue.leave(&name);
        assert_eq!(queue.waiting(&name), 3);
        queue.pop().unwrap();
        queue.leave_all(&name);
        assert_eq!((queue.waiting(&name), queue.pop()), (3, None));
        assert_eq!(queue.waiting(&WorkloadName::new("b").unwrap()), 0);
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
            let popped = queue.pop().unwrap();
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
