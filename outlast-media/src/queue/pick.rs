//! Which object of a workload goes next: pure, but for the look into the spool.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use outlast_spool::{Arrival, Item, Spool, What};
use outlast_types::{Backoff, WorkloadName};
use outlast_wire::api::LACKING_OBJECTS_MAX;

/// How far ahead of those that are on their way it is looked for the next one.
const AHEAD: usize = 16;
/// Objects of one workload that wait for others, at most: more are tried again and again.
const WAITING_MAX: usize = 1000;

/// What there is to do.
#[derive(Debug)]
pub(crate) enum Job {
    /// To ask whether the vault lacks these.
    Ask(Vec<Item>),
    Send {
        item: Item,
        offset: u64,
        length: u64,
    },
}

impl Job {
    /// What it takes of a turn.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Ask(_) => 0,
            Self::Send { length, .. } => *length,
        }
    }
}

/// With what it is looked.
pub(super) struct Look<'a> {
    pub(super) spool: &'a Spool,
    /// By the timer.
    pub(super) now: Duration,
    pub(super) slice: u64,
    /// Whether an object may be begun that takes more than one slice.
    pub(super) may_begin: bool,
}

/// What is known of one workload.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// What was begun and is not on the line at this moment, with where it goes on.
    begun: BTreeMap<Arrival, (Item, u64)>,
    /// What is on the line.
    flying: BTreeSet<Arrival>,
    /// What waits for others.
    waiting: BTreeMap<Arrival, Backoff>,
    /// Up to which one the vault was asked what it lacks.
    asked: Option<Arrival>,
    is_asking: bool,
    pub(super) backoff: Backoff,
    trouble: Option<Trouble>,
}

/// Why a workload waits, and since when, by the timer.
#[derive(Debug)]
struct Trouble {
    reason: String,
    since: Duration,
}

impl Lane {
    /// Objects that were begun.
    pub(super) fn count(&self) -> usize {
        self.begun.len() + self.flying.len()
    }

    /// What is to be done next, if anything is now.
    pub(super) fn next(&self, workload: &WorkloadName, look: &Look<'_>) -> Option<Job> {
        if self.backoff.is_waiting(look.now) {
            return None;
        }
        let send = |item: &Item, offset: u64| {
            let length = (item.size.saturating_sub(offset)).min(look.slice);
            Some(Job::Send { item: item.clone(), offset, length })
        };
        if let Some((item, offset)) = self.begun.values().next() {
            return send(item, *offset);
        }
        let count = self.flying.len() + self.waiting.len() + AHEAD;
        let mut is_pack_before = false;
        for item in look.spool.oldest(workload, None, count) {
            let is_pack = matches!(item.key.what, What::Pack(_));
            let waits = self.waiting.get(&item.arrival).is_some_and(|it| it.is_waiting(look.now));
            let may_go = !self.flying.contains(&item.arrival) && !waits;
            if may_go && (is_pack || !is_pack_before) {
                if self.asked.is_some_and(|asked| item.arrival <= asked) {
                    return send(&item, 0).filter(|_| look.may_begin || item.size <= look.slice);
                }
                // All that came since go into the same question.
                let items = || look.spool.oldest(workload, self.asked, LACKING_OBJECTS_MAX);
                return (!self.is_asking).then(|| Job::Ask(items()));
            }
            is_pack_before |= is_pack;
        }
        None
    }

    pub(super) fn is_flying(&self, item: &Item) -> bool {
        self.flying.contains(&item.arrival)
    }

    /// What the vault said that it lacks may have come to it by another way.
    pub(super) fn ask_again(&mut self) {
        self.asked = None;
    }

    pub(super) fn begun(&mut self, job: &Job) {
        match job {
            Job::Ask(_) => self.is_asking = true,
            Job::Send { item, .. } => {
                self.begun.remove(&item.arrival);
                self.flying.insert(item.arrival);
            }
        }
    }

    pub(super) fn ended(&mut self, job: &Job) {
        match job {
            Job::Ask(_) => self.is_asking = false,
            Job::Send { item, .. } => drop(self.flying.remove(&item.arrival)),
        }
    }

    pub(super) fn succeeded(&mut self, job: &Job) {
        match job {
            Job::Ask(items) => self.asked = items.last().map(|item| item.arrival).or(self.asked),
            Job::Send { item, .. } => drop(self.waiting.remove(&item.arrival)),
        }
        self.backoff.succeeded();
        self.trouble = None;
    }

    pub(super) fn goes_on(&mut self, job: &Job, offset: u64) {
        self.backoff.succeeded();
        self.trouble = None;
        if let Job::Send { item, .. } = job {
            // Whoever says that it goes on behind its end is asked from its beginning.
            let offset = if offset < item.size { offset } else { 0 };
            self.begun.insert(item.arrival, (item.clone(), offset));
        }
    }

    pub(super) fn put_back(&mut self, job: &Job) {
        if let Job::Send { item, offset, .. } = job
            && *offset > 0
        {
            self.begun.insert(item.arrival, (item.clone(), *offset));
        }
    }

    /// Notes why the workload waits; whether that is news.
    pub(super) fn all_waits(&mut self, reason: String, now: Duration) -> bool {
        let since = self.trouble.as_ref().map_or(now, |trouble| trouble.since);
        let is_news = self.trouble.as_ref().is_none_or(|trouble| trouble.reason != reason);
        self.trouble = Some(Trouble { reason, since });
        is_news
    }

    /// Why it has waited for longer than `patience`, if it has: a vault that is busy for a moment is
    /// nobody's problem.
    pub(super) fn trouble(&self, now: Duration, patience: Duration) -> Option<&str> {
        let trouble = self.trouble.as_ref()?;
        (now.saturating_sub(trouble.since) >= patience).then_some(&*trouble.reason)
    }

    pub(super) fn it_waits(&mut self, job: &Job, failed: impl FnOnce(&mut Backoff)) {
        let Job::Send { item, .. } = job else { return };
        if self.waiting.len() >= WAITING_MAX {
            self.waiting.pop_first();
        }
        failed(self.waiting.entry(item.arrival).or_default());
    }

    /// Whether something is known that must be remembered: of what is in the spool, or on the line.
    pub(super) fn is_at_work(&self, workload: &WorkloadName, spool: &Spool) -> bool {
        let is_busy = self.is_asking || !self.flying.is_empty();
        let is_known = !self.begun.is_empty()
            || !self.waiting.is_empty()
            || self.trouble.is_some()
            || self.backoff.failures() > 0;
        is_busy || is_known && !spool.oldest(workload, None, 1).is_empty()
    }

    /// Whether something that was left alone may be tried again.
    pub(super) fn may_go_on(&self, now: Duration) -> bool {
        let is_due = self.waiting.values().any(|it| !it.is_waiting(now));
        !self.backoff.is_waiting(now)
            && (is_due || !self.begun.is_empty() || self.trouble.is_some())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use outlast_spool::{Key, Room};
    use outlast_types::{Environment, IndexId, PackId, SystemRandom};

    use super::*;

    struct Scene {
        _directory: tempfile::TempDir,
        spool: Arc<Spool>,
        workload: WorkloadName,
        lane: Lane,
        now: Duration,
    }

    impl Scene {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let room = Room { total: 1 << 30, each: 1 << 30 };
            let spool = Spool::open(directory.path(), room, Environment::system()).unwrap();
            let (workload, lane) = ("shop-db".parse().unwrap(), Lane::default());
            Self { _directory: directory, spool, workload, lane, now: Duration::ZERO }
        }

        fn store(&self, what: What, size: usize) -> Item {
            let key = Key { workload: self.workload.clone(), what };
            let mut incoming = self.spool.begin(key, None).unwrap().unwrap();
            incoming.take(&vec![0; size]).unwrap();
            incoming.store(what.hash()).unwrap()
        }

        fn pack(&self, name: u8) -> Item {
            self.store(What::Pack(PackId([name; 32])), 100)
        }

        fn index(&self, name: u8) -> Item {
            self.store(What::Index(IndexId([name; 32])), 10)
        }

        /// The next job, which is begun.
        fn begin(&mut self) -> Option<Job> {
            let look = Look { spool: &self.spool, now: self.now, slice: 64, may_begin: true };
            let job = self.lane.next(&self.workload, &look)?;
            self.lane.begun(&job);
            Some(job)
        }

        /// The vault lacks all of it.
        fn ask(&mut self) -> Vec<Item> {
            match self.begin() {
                Some(ref job @ Job::Ask(ref items)) => {
                    self.lane.ended(job);
                    self.lane.succeeded(job);
                    items.clone()
                }
                other => panic!("{other:?}"),
            }
        }

        fn stored(&mut self, job: &Job) {
            self.lane.ended(job);
            self.lane.succeeded(job);
            if let Job::Send { item, .. } = job {
                self.spool.remove(item).unwrap();
            }
        }
    }

    fn item(job: &Option<Job>) -> &Item {
        match job {
            Some(Job::Send { item, .. }) => item,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_oldest_goes_first_and_an_index_when_no_pack_before_it_waits() {
        let mut scene = Scene::new();
        let (one, index, two) = (scene.pack(1), scene.index(1), scene.pack(2));
        assert_eq!(scene.ask(), [one.clone(), index.clone(), two.clone()]);
        let first = scene.begin();
        assert_eq!(item(&first), &one);
        let second = scene.begin();
        assert_eq!(item(&second), &two, "later packs need not wait for the index");
        assert!(scene.begin().is_none(), "the pack is on the line still");
        // It went in two slices.
        let first = first.unwrap();
        scene.lane.ended(&first);
        scene.lane.goes_on(&first, 64);
        let first = scene.begin();
        assert!(matches!(first, Some(Job::Send { offset: 64, length: 36, .. })), "{first:?}");
        scene.stored(&first.unwrap());
        let third = scene.begin();
        assert_eq!(item(&third), &index);
        scene.stored(&third.unwrap());
        scene.stored(&second.unwrap());
        assert!(scene.begin().is_none());
        assert!(!scene.lane.is_at_work(&scene.workload, &scene.spool));
    }

    #[test]
    fn what_may_have_travelled_by_disk_is_asked_for_again_before_it_is_sent() {
        let mut scene = Scene::new();
        let (one, two) = (scene.pack(1), scene.pack(2));
        scene.ask();
        let first = scene.begin();
        assert_eq!(item(&first), &one);
        scene.stored(&first.unwrap());
        scene.lane.ask_again();
        assert_eq!(scene.ask(), std::slice::from_ref(&two));
        assert_eq!(item(&scene.begin()), &two);
    }

    #[test]
    fn an_index_that_waits_for_packs_at_another_media_server_holds_up_nothing() {
        let mut scene = Scene::new();
        let (index, pack) = (scene.index(1), scene.pack(1));
        scene.ask();
        let first = scene.begin().unwrap();
        scene.lane.ended(&first);
        scene.lane.it_waits(&first, |backoff| {
            let second = Duration::from_secs(1);
            backoff.failed(Duration::ZERO, second, second, &SystemRandom);
        });
        let second = scene.begin();
        assert_eq!(item(&second), &pack);
        scene.stored(&second.unwrap());
        assert!(scene.begin().is_none() && !scene.lane.may_go_on(scene.now));
        scene.now = Duration::from_secs(1);
        assert!(scene.lane.may_go_on(scene.now));
        assert_eq!(item(&scene.begin()), &index);
    }

    #[test]
    fn what_a_vault_does_not_take_now_waits_and_goes_on_where_it_was() {
        let mut scene = Scene::new();
        scene.pack(1);
        scene.ask();
        let first = scene.begin().unwrap();
        scene.lane.ended(&first);
        scene.lane.goes_on(&first, 64);
        let second = scene.begin().unwrap();
        scene.lane.ended(&second);
        scene.lane.put_back(&second);
        assert!(scene.lane.all_waits("busy".to_owned(), scene.now));
        let longest = Duration::from_secs(60);
        scene.lane.backoff.failed(scene.now, longest, longest, &SystemRandom);
        assert!(scene.begin().is_none());
        scene.now = longest;
        assert!(matches!(scene.begin(), Some(Job::Send { offset: 64, .. })));
    }

    #[test]
    fn a_vault_that_is_busy_for_a_moment_is_no_problem_and_one_that_stays_so_is() {
        let mut scene = Scene::new();
        scene.pack(1);
        scene.ask();
        let job = scene.begin().unwrap();
        scene.lane.ended(&job);
        let (patience, at) = (Duration::from_secs(300), Duration::from_secs);
        assert!(scene.lane.all_waits("busy".to_owned(), at(1)));
        assert!(!scene.lane.all_waits("busy".to_owned(), at(200)), "it is known");
        assert_eq!(scene.lane.trouble(at(300), patience), None);
        assert!(scene.lane.all_waits("its disk is full".to_owned(), at(300)));
        assert_eq!(scene.lane.trouble(at(301), patience), Some("its disk is full"));
        scene.lane.succeeded(&job);
        assert_eq!(scene.lane.trouble(at(900), patience), None);
        assert!(scene.lane.all_waits("busy".to_owned(), at(900)));
        assert_eq!(scene.lane.trouble(at(1199), patience), None, "it began anew");
    }
}
