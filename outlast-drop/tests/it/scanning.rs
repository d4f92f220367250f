//! What a scan costs, and what it sees whatever the times of directories say.

use std::fs::{self, File, FileTimes};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use outlast_drop::files::{Gauge, Meter};
use outlast_drop::scan::plan;
use outlast_drop::{
    Closing, DropAddress, DropState, Scan, ScanLimits, ScanMemory, Share, close_days, scan,
};
use outlast_types::{Clock, Day, DropId, SystemClock, SystemRandom, Timestamp, WorkloadName};

use crate::support::new_share;

/// Remembers the paths of all calls, and the directories that were listed.
#[derive(Default)]
struct Calls {
    calls: Mutex<Vec<String>>,
    listed: Mutex<Vec<PathBuf>>,
}

impl Gauge for Calls {
    fn call(&self, path: &Path) {
        self.calls.lock().unwrap().push(path.display().to_string());
    }

    fn listing(&self, path: &Path) {
        self.listed.lock().unwrap().push(path.to_owned());
    }
}

impl Calls {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }

    /// How many directories of workloads were listed since this was asked.
    fn listed(&self, share: &Share) -> usize {
        let listed = std::mem::take(&mut *self.listed.lock().unwrap());
        let workloads = share.path().join("w");
        listed.iter().filter(|path| path.starts_with(&workloads) && **path != workloads).count()
    }
}

/// A share with `workloads` that have each an empty directory for each of `days` before `now`.
fn closed_history(share: &Share, workloads: usize, days: u64, now: Timestamp) -> Vec<WorkloadName> {
    let name = |number| WorkloadName::new(&format!("w{number:03}")).unwrap();
    let names: Vec<_> = (0..workloads).map(name).collect();
    for name in &names {
        let home = share.workload_directory(name);
        fs::create_dir_all(home.join("receipts")).unwrap();
        for ago in 0..days {
            let day = before(now, ago);
            fs::create_dir_all(home.join("drops").join(day.to_string())).unwrap();
        }
    }
    names
}

fn before(now: Timestamp, days: u64) -> Day {
    now.saturating_sub(Duration::from_secs(days * 86_400)).day()
}

/// One pass of an agent: it looks, and closes what is to be closed. How many drops it saw.
fn pass(share: &Share, memory: &mut ScanMemory, now: Timestamp) -> usize {
    let seen = scan(share, memory, now).unwrap();
    close(share, memory, &seen);
    assert!(seen.problems.is_empty(), "{:?}", seen.problems);
    seen.workloads.iter().map(|workload| workload.sightings.len()).sum()
}

/// Closes what a look found to be old and empty.
fn close(share: &Share, memory: &mut ScanMemory, seen: &Scan) {
    for workload in seen.workloads.iter().filter(|it| !it.closable.is_empty()) {
        for (day, closing) in close_days(share, &workload.workload, &workload.closable).unwrap() {
            match closing {
                Closing::Closed => memory.closed(&workload.workload, day),
                Closing::NotEmpty => memory.not_closed(&workload.workload, day),
                Closing::Failed(error) => panic!("{error}"),
            }
        }
    }
}

/// An unsealed drop in a day, made by hand.
fn plant(share: &Share, workload: &WorkloadName, day: Day) -> DropAddress {
    let drop = DropId::new(&SystemClock, &SystemRandom);
    let address = DropAddress { workload: workload.clone(), day, drop };
    fs::create_dir_all(share.drop_directory(&address)).unwrap();
    address
}

/// Sets the time of a directory, as a file server that keeps none would leave it.
fn set_time(path: &Path, time: Timestamp) {
    let time =
        std::time::UNIX_EPOCH + Duration::from_secs(u64::try_from(time.unix_seconds()).unwrap());
    File::open(path).unwrap().set_times(FileTimes::new().set_modified(time)).unwrap();
}

#[test]
fn a_pass_with_nothing_new_reads_one_directory_of_each_workload_also_the_first() {
    let (_directory, made) = new_share();
    let now = SystemClock.now();
    closed_history(&made, 20, 400, now);
    let calls = Arc::new(Calls::default());
    let share = Share::open_metered(made.path(), Meter::new(Arc::<Calls>::clone(&calls)));
    let share = share.unwrap();
    let mut memory = ScanMemory::new(ScanLimits::PASS);
    calls.take();
    // The first, of a host that knows nothing, on a share that an older agent never tidied up.
    let seen = scan(&share, &mut memory, now).unwrap();
    let of_first = calls.listed(&share);
    close(&share, &mut memory, &seen);
    assert!(of_first <= 20 * (1 + ScanLimits::PASS.days), "{of_first}");
    for _ in 0..5 {
        pass(&share, &mut memory, now);
    }
    let left = fs::read_dir(share.path().join("w/w000/drops")).unwrap().count();
    assert!(left <= 3, "{left} days are left: today, and those that may be somebody's today");
    calls.take();
    calls.listed(&share);
    for _ in 0..8 {
        pass(&share, &mut memory, now);
        let listed = calls.listed(&share);
        let calls = calls.take();
        assert_eq!(listed, 20, "{calls:?}");
        // The share itself, its workloads, and eleven calls for each.
        assert!(calls.len() <= 12 + 20 * 11, "{}", calls.len());
    }
    // The first pass of a new host, now that the share is tidy.
    pass(&share, &mut ScanMemory::new(ScanLimits::PASS), now);
    assert!(calls.listed(&share) <= 20 * 4);
}

#[test]
fn i1_a_drop_is_seen_though_the_time_of_no_directory_changes() {
    let (_directory, share) = new_share();
    let now = SystemClock.now();
    let workload = closed_history(&share, 1, 3, now).remove(0);
    let mut memory = ScanMemory::new(ScanLimits::PASS);
    let home = share.workload_directory(&workload);
    let still = |path: &Path| set_time(path, Timestamp::EPOCH);
    let stop_time = || {
        still(&home.join("drops"));
        (0..3).for_each(|ago| still(&home.join("drops").join(before(now, ago).to_string())));
    };
    stop_time();
    for _ in 0..6 {
        assert_eq!(pass(&share, &mut memory, now), 0);
    }
    for ago in 0..3 {
        let late = plant(&share, &workload, before(now, ago));
        stop_time();
        let looks = (1..).find(|_| pass(&share, &mut memory, now) == 1).unwrap();
        assert!(looks <= 4, "{looks}");
        memory.settle(&late);
        for _ in 0..6 {
            assert_eq!(pass(&share, &mut memory, now), 0, "it is settled");
        }
    }
    // A day that nobody had yet.
    plant(&share, &workload, before(now, 40));
    still(&home.join("drops"));
    let looks = (1..).find(|_| pass(&share, &mut memory, now) == 1).unwrap();
    assert!(looks <= 4, "{looks}");
}

#[test]
fn i1_no_day_is_closed_in_which_anything_lies_and_a_late_drop_in_an_old_day_is_seen() {
    let (_directory, share) = new_share();
    let now = SystemClock.now();
    let workload = closed_history(&share, 1, 100, now).remove(0);
    // One that nobody would read for a while, since it is so old.
    let late = plant(&share, &workload, before(now, 90));
    let mut memory = ScanMemory::new(ScanLimits::PASS);
    let looks = (1..).find(|_| pass(&share, &mut memory, now) == 1).unwrap();
    assert!(looks <= 2, "{looks}");
    memory.settle(&late);
    for _ in 0..8 {
        assert_eq!(pass(&share, &mut memory, now), 0);
    }
    assert!(share.drop_directory(&late).exists());
    fs::remove_dir(share.drop_directory(&late)).unwrap();
    memory.forget(&late);
    for _ in 0..8 {
        pass(&share, &mut memory, now);
    }
    let left = fs::read_dir(share.workload_directory(&workload).join("drops")).unwrap().count();
    assert!(left <= 3, "the day was closed when it was empty: {left}");
}

#[test]
fn where_something_is_under_way_is_looked_at_in_every_pass_and_all_others_by_turns() {
    let (_directory, share) = new_share();
    let now = SystemClock.now();
    let names = closed_history(&share, 50, 1, now);
    let limits = ScanLimits { idle: 10, ..ScanLimits::PASS };
    let mut memory = ScanMemory::new(limits);
    let busy = plant(&share, &names[7], now.day());
    let first = plan(&share, &mut memory, now).unwrap().unwrap();
    assert_eq!(first.workloads.len(), 50, "nobody was ever looked at");
    pass(&share, &mut memory, now);
    let mut looked = std::collections::BTreeSet::new();
    for _ in 0..5 {
        let seen = scan(&share, &mut memory, now).unwrap();
        assert!(seen.workloads.len() <= 11, "{}", seen.workloads.len());
        assert!(seen.workloads.iter().any(|it| it.workload == busy.workload));
        looked.extend(seen.workloads.into_iter().map(|it| it.workload));
    }
    assert_eq!(looked.len(), 50, "each had its turn");
}

#[test]
fn where_somebody_rings_is_looked_at_in_the_next_pass_though_no_time_of_a_directory_changes() {
    let (_directory, share) = new_share();
    let now = SystemClock.now();
    let names = closed_history(&share, 50, 2, now);
    let limits = ScanLimits { idle: 1, ..ScanLimits::PASS };
    let mut memory = ScanMemory::new(limits);
    let day = share.workload_directory(&names[7]).join("drops").join(now.day().to_string());
    set_time(&day, Timestamp::EPOCH);
    for _ in 0..200 {
        assert_eq!(pass(&share, &mut memory, now), 0);
    }
    plant(&share, &names[7], now.day());
    set_time(&day, Timestamp::EPOCH);
    memory.ring(&names[7]);
    assert_eq!(pass(&share, &mut memory, now), 1);
    // Where nobody has ever dropped, too; and where there is nothing, nothing comes of it.
    let new = WorkloadName::new("new").unwrap();
    fs::create_dir_all(share.workload_directory(&new)).unwrap();
    for _ in 0..60 {
        pass(&share, &mut memory, now);
    }
    plant(&share, &new, now.day());
    memory.ring(&new);
    memory.ring(&WorkloadName::new("nowhere").unwrap());
    assert_eq!(pass(&share, &mut memory, now), 2);
}

#[test]
fn names_and_drops_of_all_workloads_together_are_bounded_and_crowds_come_last() {
    let (_directory, share) = new_share();
    let now = SystemClock.now();
    let names = closed_history(&share, 5, 1, now);
    for _ in 0..30 {
        plant(&share, &names[0], now.day());
    }
    let others: Vec<_> = names[1..].iter().map(|name| plant(&share, name, now.day())).collect();
    let limits = ScanLimits { drops: 10, all_drops: 12, ..ScanLimits::PASS };
    let mut memory = ScanMemory::new(limits);
    scan(&share, &mut memory, now).unwrap();
    let plan = plan(&share, &mut memory, now).unwrap().unwrap();
    assert_eq!(plan.workloads.last(), Some(&names[0]), "it had more than a scan looks at");
    let mut seen = Vec::new();
    for workload in &plan.workloads {
        if plan.visit.is_over() {
            break;
        }
        let mut lent = memory.lend(workload);
        let found = plan.visit.look(workload, &mut lent).unwrap();
        memory.take_back(workload, lent);
        assert!(found.sightings.iter().all(|it| matches!(it.state, DropState::Open(_))));
        seen.extend(found.sightings.into_iter().map(|it| it.address));
    }
    assert!(others.iter().all(|other| seen.contains(other)), "nobody waits for it");
    assert!(seen.len() <= 12 + 1, "{}", seen.len());
}

#[test]
fn what_becomes_known_while_somebody_looks_is_not_lost() {
    let (_directory, share) = new_share();
    let now = SystemClock.now();
    let name = closed_history(&share, 1, 1, now).remove(0);
    let drop = plant(&share, &name, now.day());
    let mut memory = ScanMemory::new(ScanLimits::PASS);
    let plan = plan(&share, &mut memory, now).unwrap().unwrap();
    let mut lent = memory.lend(&name);
    assert_eq!(plan.visit.look(&name, &mut lent).unwrap().sightings.len(), 1);
    assert!(memory.is_lent(&name));
    memory.settle(&drop);
    assert!(!memory.take_back(&name, lent), "what was seen is out of date");
    assert_eq!(pass(&share, &mut memory, now), 0, "it is settled all the same");
}
