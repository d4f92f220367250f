//! A page that is due is told, wherever the vault is killed.

use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use outlast_catalog::RecordedCause;
use outlast_promise::{Event, Settings, Source};
use outlast_types::{Clock, RejectionCode, Sanity, Timestamp, WorkloadName};

use super::*;
use crate::core::former::FormerNames;
use crate::core::promise_monitor::{Opening, PromiseMonitor};

/// A log that outlives the vault, and in which the n-th write may be the last thing that happens.
#[derive(Default)]
struct Log {
    entries: Mutex<Vec<(u64, IncidentEntry)>>,
    /// Writes until the disk is full, or the vault killed.
    left: AtomicUsize,
    /// Whether the write that fails is on disk all the same.
    is_written: AtomicBool,
}

impl Log {
    fn new(left: usize) -> Arc<Self> {
        Arc::new(Self { left: left.into(), ..Self::default() })
    }

    fn told(&self) -> Vec<(u64, u64, bool)> {
        let entries = self.entries.lock().unwrap();
        let told = entries.iter().map(|(number, e)| (*number, e.incident, e.resolved.is_some()));
        told.collect()
    }
}

impl Chronicle for Log {
    fn append(&self, number: u64, entry: &IncidentEntry) -> Result<(), VaultError> {
        let mut entries = self.entries.lock().unwrap();
        if entries.iter().any(|(known, _)| *known == number) {
            return Ok(());
        }
        let fails = self.left.load(Ordering::Relaxed) == 0;
        if !fails || self.is_written.load(Ordering::Relaxed) {
            entries.push((number, entry.clone()));
        }
        if fails {
            return Err(VaultError::Busy { reason: "killed".into() });
        }
        self.left.fetch_sub(1, Ordering::Relaxed);
        Ok(())
    }

    fn last(&self) -> Option<u64> {
        self.entries.lock().unwrap().iter().map(|(number, _)| *number).max()
    }

    fn replay(&self, show: &mut dyn FnMut(u64, IncidentEntry)) -> Result<(), VaultError> {
        self.entries
            .lock()
            .unwrap()
            .iter()
            .for_each(|(number, entry)| show(*number, entry.clone()));
        Ok(())
    }
}

struct At(Mutex<Timestamp>);

impl Clock for At {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

fn at(second: u64) -> Timestamp {
    Timestamp::from_unix(1_790_000_000, 0).unwrap().saturating_add(Duration::from_secs(second))
}

fn shop() -> WorkloadName {
    WorkloadName::new("shop-db").unwrap()
}

/// A catalog in a directory, and a vault's monitor over it that can be killed.
struct World {
    directory: tempfile::TempDir,
    clock: Arc<At>,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(At(Mutex::new(at(0))));
        Self { directory: tempfile::tempdir().unwrap(), clock }
    }

    fn catalog(&self) -> Catalog {
        Catalog::open(&self.directory.path().join("catalog.sqlite")).unwrap()
    }

    fn lose_catalog(&self) {
        for suffix in ["", "-wal", "-shm"] {
            let name = format!("catalog.sqlite{suffix}");
            std::fs::remove_file(self.directory.path().join(name)).ok();
        }
    }

    fn start(&self, chronicle: &Arc<Log>) -> PromiseMonitor {
        let certificate = Event::OwnCertificate {
            holder: "vault hq".into(),
            certificate: outlast_promise::Validity { from: at(0), until: at(1_000_000) },
        };
        let (settings, chronicle) = (Settings::default(), Arc::clone(chronicle) as _);
        let withheld = crate::core::withheld::not_withheld();
        let former = &FormerNames::default();
        let opening = Opening {
            settings,
            orders: &[],
            former,
            certificate,
            chronicle,
            withheld,
            deliveries: None,
        };
        PromiseMonitor::open(self.catalog(), opening, Arc::clone(&self.clock) as _).unwrap()
    }
}

/// A drop was refused, which is an incident.
fn refused(number: u8) -> Vec<Event> {
    let share = "7c6f0b6e-3c39-4f0e-9d53-1b1f6f3f0d01".parse().unwrap();
    vec![Event::Rejected {
        workload: shop(),
        source: Source { agent: "road-1".into(), share: Some(share) },
        drop: format!("01890a5d-ac96-774b-bcce-b302099a80{number:02x}").parse().unwrap(),
        code: RejectionCode::WrongHash,
        reason: "0001.seg does not have its hash".into(),
        place: None,
    }]
}

fn vaulted() -> Vec<Event> {
    vec![Event::Vaulted { workload: shop(), at: at(9) }]
}

#[test]
fn a_vault_that_is_killed_between_commit_and_page_pages_when_it_starts_again() {
    for is_written in [false, true] {
        let world = World::new();
        let log = Log::new(0);
        log.is_written.store(is_written, Ordering::Relaxed);
        let monitor = world.start(&log);
        monitor.noted(refused(1)).unwrap();
        assert_eq!(log.told().len(), usize::from(is_written), "struck where it was to strike");
        assert_eq!(monitor.catalog().outbox(9).unwrap().len(), 1, "and its page is not lost");
        drop(monitor);
        log.left.store(100, Ordering::Relaxed);
        let monitor = world.start(&log);
        assert_eq!(log.told(), [(1, 1, false)], "told, and once in the log");
        assert_eq!(monitor.catalog().outbox(9).unwrap(), []);
        drop(monitor);
        world.start(&log);
        assert_eq!(log.told().len(), 1, "a restart does not page again");
    }
}

#[test]
fn pages_keep_their_order_whichever_of_them_is_struck() {
    for struck in 0..4 {
        let world = World::new();
        let log = Log::new(struck);
        let monitor = world.start(&log);
        monitor.noted(refused(1)).unwrap();
        monitor.noted(vaulted()).unwrap();
        monitor.noted(refused(2)).unwrap();
        monitor.noted(vaulted()).unwrap();
        assert_eq!(log.told().len(), struck, "struck where it was to strike");
        // A full disk that is emptied needs no restart.
        log.left.store(100, Ordering::Relaxed);
        monitor.tick().unwrap();
        assert_eq!(log.told(), [(1, 1, false), (2, 1, true), (3, 2, false), (4, 2, true)]);
    }
}

#[test]
fn a_lost_catalog_gets_its_incidents_back_from_the_log_and_numbers_go_on() {
    let world = World::new();
    let log = Log::new(100);
    let monitor = world.start(&log);
    monitor.noted(refused(1)).unwrap();
    monitor.noted(vaulted()).unwrap();
    monitor.noted(refused(2)).unwrap();
    let known = monitor.catalog().incidents().unwrap();
    drop(monitor);
    world.lose_catalog();
    *world.clock.0.lock().unwrap() = at(60);
    let monitor = world.start(&log);
    let again = monitor.catalog().incidents().unwrap();
    assert_eq!(again[1], known[1], "what had resolved is as it was");
    let open = IncidentRecord { resolved: Some(at(60)), ..known[0].clone() };
    assert_eq!(again[0], open, "nobody would resolve it, and what is still so opens again");
    monitor.noted(refused(2)).unwrap();
    let told = log.told();
    assert_eq!(told[2..], [(3, 2, false), (4, 2, true), (5, 3, false)], "no number comes twice");
    drop(monitor);
    world.start(&log);
    assert_eq!(log.told(), told);
}

#[test]
fn incidents_from_before_there_was_a_log_go_into_it_untold() {
    let world = World::new();
    let old = |id, cause| IncidentRecord {
        id,
        key: "rejected-drop/shop-db".into(),
        workload: Some(shop()),
        owner: outlast_types::Owner::App,
        team: "team-shop".into(),
        cause,
        opened: at(1),
        resolved: (id == 1).then(|| at(2)),
    };
    let causes = [
        RecordedCause::Sentence("it was rejected".into()),
        RecordedCause::Data { code: "new".into(), json: r#"{"new":{"more":1}}"#.into() },
    ];
    let records: Vec<_> = (1..).zip(causes).map(|(id, cause)| old(id, cause)).collect();
    world.catalog().commit(&Entry { incidents: &records, ..Entry::default() }).unwrap();
    let log = Log::new(100);
    world.start(&log);
    let entries = log.entries.lock().unwrap().clone();
    let news: Vec<_> = entries.iter().map(|(_, entry)| entry.is_old_news).collect();
    assert_eq!(news, [true, true, false], "the last one: what nobody would resolve is resolved");
    let back: Vec<_> = entries[..2].iter().map(|(_, entry)| entry.clone().record()).collect();
    assert_eq!(back, records, "as it was");
    let words: Vec<_> =
        back.iter().map(|record| crate::core::incidents::in_words(&record.cause)).collect();
    assert_eq!(words, ["it was rejected", r#"new: {"new":{"more":1}}"#]);
    drop(world.start(&log));
    assert_eq!(log.entries.lock().unwrap().len(), 3);
}

#[test]
fn an_entry_that_is_damaged_is_not_in_the_way_of_the_others() {
    let world = World::new();
    world.catalog().commit(&Entry { outbox: &["{".into()], ..Entry::default() }).unwrap();
    let log = Log::new(100);
    let monitor = world.start(&log);
    monitor.noted(refused(1)).unwrap();
    assert_eq!(log.told(), [(2, 1, false)]);
}

#[test]
fn what_could_not_be_committed_is_heard_again_and_told_once() {
    let world = World::new();
    let log = Log::new(100);
    let monitor = world.start(&log);
    // Another one writes for longer than anybody waits.
    monitor.noted(refused(1)).unwrap();
    assert_eq!(log.told(), [(1, 1, false)]);
    let before = monitor.workloads();
    *world.clock.0.lock().unwrap() = at(5);
    let snapshot = |number: u8| outlast_catalog::SnapshotRecord {
        workload: shop(),
        snapshot: format!("{number:02x}").repeat(32).parse().unwrap(),
        drop: Some("01890a5d-ac96-774b-bcce-b302099a8001".parse().unwrap()),
        received: at(4),
        content_bytes: 1,
        stored_bytes: 1,
        claims: serde_json::Value::Null,
        receipt: None,
        sanity: Sanity::default(),
        terms: outlast_catalog::Terms::default(),
    };
    monitor.vaulted(&snapshot(1), true).unwrap();
    let fresh = monitor.workloads();
    assert_ne!(before, fresh);
    *world.clock.0.lock().unwrap() = at(6);
    // One drop is never two snapshots, so this commit fails, and all of it.
    let twin = outlast_catalog::SnapshotRecord { received: at(6), ..snapshot(2) };
    assert!(monitor.vaulted(&twin, true).is_err());
    assert_eq!(monitor.workloads(), fresh, "the promise is not renewed by what is not recorded");
    assert_eq!(log.told(), [(1, 1, false), (2, 1, true)]);
}
