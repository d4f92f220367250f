//! A file server that does all that network file systems are known to do: what a writer was told is
//! sealed is whole and stays, and nobody honest is ever condemned.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use outlast_drop::{
    Content, DropAddress, DropReadError, DropWriter, ReceiptState, ReleaseError, Share, WriteError,
    WriterOptions, abandon, quarantine, receipt as receipts, release,
};
use outlast_testing::hostile::{Fault, Habits, Hostile, Mounted, Planned, Verb};
use outlast_types::{SystemClock, SystemRandom};
use rustix::io::Errno;
use tempfile::TempDir;

use crate::support::{read_all, receipt, workload};

mod schedules;

/// So many calls that a fault at the last of them does not strike any more.
const CALLS_MAX: u32 = 60;

fn no_beats() -> WriterOptions {
    let beat_interval = Duration::from_secs(3600);
    WriterOptions { segment_bytes: 1000, beat_interval, ..WriterOptions::default() }
}

/// A share on a hostile server, mounted by a writer's host and by the agent's.
struct World {
    server: Hostile,
    writers: Mounted,
    agents: Mounted,
    /// The share as each of them sees it.
    written: Share,
    watched: Share,
    directory: TempDir,
}

impl World {
    /// `None`, with a note, where there is no FUSE.
    fn new(habits: Habits, seed: u64) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let server = Hostile::new(habits, seed);
        let mount = |name: &str| server.mount(&directory.path().join(name)).unwrap();
        let (writers, agents) = (mount("writer")?, mount("agent")?);
        let written = Share::init(writers.path(), &SystemClock, &SystemRandom).unwrap();
        let watched = Share::open(agents.path()).unwrap();
        Some(Self { server, writers, agents, written, watched, directory })
    }

    fn heal(&self) {
        self.writers.heal();
        self.agents.heal();
    }
}

/// Content that tells whether any of it is missing or in another place.
fn content() -> Vec<u8> {
    outlast_testing::pseudo_random(7, 2500)
}

fn begun(share: &Share) -> Result<DropWriter, WriteError> {
    let claims = outlast_drop::Claims::default();
    let (clock, random) = (&SystemClock, &SystemRandom);
    let stream = Content::stream("shop.sql").unwrap();
    DropWriter::create(share, &workload("shop-db"), stream, claims, no_beats(), clock, random)
}

/// A writer that has written all and not sealed. Its segment is there: one that comes after an agent has
/// looked for the last time makes a whole drop, which is taken for one.
fn held_up(share: &Share) -> DropWriter {
    let mut writer = begun(share).unwrap();
    writer.write_all(&content()).unwrap();
    let segment = share.drop_directory(writer.address()).join("0001.seg");
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while !segment.exists() {
        assert!(std::time::Instant::now() < deadline, "the segment is not begun");
        std::thread::sleep(Duration::from_millis(1));
    }
    writer
}

/// Writes a drop; where, if it was begun, and how it ended.
fn written(share: &Share) -> (Option<DropAddress>, Result<(), WriteError>) {
    let mut writer = match begun(share) {
        Ok(writer) => writer,
        Err(error) => return (None, Err(error)),
    };
    let address = Some(writer.address().clone());
    if let Err(error) = writer.write_all(&content()) {
        return (address, Err(write_error(error)));
    }
    (address, writer.seal(&SystemClock).map(drop))
}

fn write_error(error: io::Error) -> WriteError {
    let path = Path::new("a segment").to_owned();
    WriteError::Io { action: "write", path, source: error }
}

/// Writes a drop, reads it, and lets it go.
fn life(world: &World) -> Result<(), String> {
    let told = |error: &dyn std::fmt::Display| error.to_string();
    let (address, ended) = written(&world.written);
    ended.map_err(|error| told(&error))?;
    let address = address.unwrap();
    assert_eq!(read_all(&world.watched, &address).map_err(|error| told(&error))?, content());
    for state in [ReceiptState::Accepted, ReceiptState::Vaulted] {
        let signed = receipt(&world.watched, &address, state);
        receipts::write(&world.watched, &signed).map_err(|error| told(&error))?;
    }
    let signed = receipt(&world.watched, &address, ReceiptState::Released);
    let freed = release(&world.watched, &address, &signed).map_err(|error| told(&error))?;
    assert!(freed.is_gone && !world.watched.drop_directory(&address).exists());
    Ok(())
}

/// Calls that change something: only of these does it matter that they are made twice.
const CHANGES: [Verb; 7] = [
    Verb::Change,
    Verb::MakeDirectory,
    Verb::Create,
    Verb::Remove,
    Verb::RemoveDirectory,
    Verb::Write,
    Verb::Sync,
];

#[test]
fn a_reply_that_is_lost_fails_nothing_wherever_it_is_lost() {
    let Some(world) = World::new(Habits::default(), 1) else { return };
    for verb in CHANGES {
        for mount in [&world.writers, &world.agents] {
            for nth in 1..CALLS_MAX {
                let struck = mount.struck();
                mount.plan(Planned { verb, nth, fault: Fault::ReplyLost });
                let ended = life(&world);
                world.heal();
                assert_eq!(ended, Ok(()), "the reply to {verb:?} number {nth}");
                if mount.struck() == struck {
                    break;
                }
            }
        }
    }
}

#[test]
fn an_interrupted_call_is_made_again() {
    let Some(world) = World::new(Habits::default(), 1) else { return };
    for verb in [Verb::MakeDirectory, Verb::Create, Verb::Sync, Verb::Remove, Verb::Open] {
        for mount in [&world.writers, &world.agents] {
            mount.plan(Planned { verb, nth: 1, fault: Fault::Fails(Errno::INTR) });
            let ended = life(&world);
            world.heal();
            assert_eq!(ended, Ok(()), "{verb:?}");
        }
    }
}

#[test]
fn what_is_sealed_is_whole_and_what_fails_is_not_sealed_whichever_call_fails_and_how() {
    let Some(world) = World::new(Habits::default(), 1) else { return };
    let faults = [Errno::IO, Errno::NOSPC, Errno::STALE]
        .into_iter()
        .flat_map(|errno| [Fault::Fails(errno), Fault::DoneButFails(errno)])
        .chain([Fault::Crash]);
    for fault in faults {
        for verb in Verb::ALL {
            for nth in 1..CALLS_MAX {
                let struck = world.writers.struck();
                world.writers.plan(Planned { verb, nth, fault });
                let (address, ended) = written(&world.written);
                world.heal();
                let context = format!("{fault:?} at {verb:?} number {nth}: {ended:?}");
                if let Some(address) = address {
                    judge(&world, &address, &ended, &context);
                }
                // The share itself is not durable before it is made.
                if world.writers.struck() == struck {
                    break;
                }
            }
        }
    }
}

/// What lies there is what the writer said, and can be tidied up.
fn judge(world: &World, address: &DropAddress, ended: &Result<(), WriteError>, context: &str) {
    let read = read_all(&world.watched, address);
    match ended {
        Ok(()) => assert_eq!(read.unwrap(), content(), "{context}"),
        // Nothing was promised, and it may be good.
        Err(WriteError::Unsure { .. }) => {}
        Err(_) => assert!(read.is_err(), "it says that nothing is sealed: {context}"),
    }
    if ended.is_err() {
        let signed = receipt(&world.watched, address, ReceiptState::Abandoned);
        match abandon(&world.watched, address, &signed) {
            Ok(freed) => assert!(freed.is_gone, "{context}"),
            // One that is not whole is refused when it has been still for long enough.
            Err(ReleaseError::Sealed { .. }) => {
                let is_torn = |error: &DropReadError| match error {
                    DropReadError::Refused(rejection) => rejection.is_torn_seal(),
                    DropReadError::Later { .. } => false,
                };
                let read = read_all(&world.watched, address);
                assert!(read.as_ref().err().is_none_or(is_torn), "{context}: {read:?}");
            }
            Err(error) => panic!("{context}: {error}"),
        }
    }
}

#[test]
fn a_drop_that_was_sealed_outlives_a_crash_of_the_server() {
    let Some(world) = World::new(Habits::default(), 3) else { return };
    for _ in 0..10 {
        let (address, ended) = written(&world.written);
        ended.unwrap();
        world.server.crash();
        assert_eq!(read_all(&world.watched, &address.unwrap()).unwrap(), content());
    }
}

/// A directory that is there need not be durable: its maker may have failed or died before that.
#[test]
fn what_was_promised_outlives_a_crash_whoever_left_the_directories_that_it_is_in() {
    for seed in 0..8 {
        for nth in 1..4 {
            let Some(world) = World::new(Habits::default(), seed) else { return };
            let fault = Fault::DoneButFails(Errno::NOSPC);
            let fails_next = |nth| {
                let struck = world.writers.struck();
                world.writers.plan(Planned { verb: Verb::MakeDirectory, nth, fault });
                struck
            };
            let struck = fails_next(nth);
            begun(&world.written).unwrap_err();
            assert!(world.writers.struck() > struck, "directory number {nth}");
            let (address, ended) = written(&world.written);
            ended.unwrap();
            let address = address.unwrap();
            let signed = receipt(&world.written, &address, ReceiptState::Vaulted);
            fails_next(1);
            receipts::write(&world.written, &signed).unwrap_err();
            receipts::write(&world.written, &signed).unwrap();
            world.server.crash();
            assert_eq!(read_all(&world.watched, &address).unwrap(), content(), "{seed} {nth}");
            let (workload, drop) = (&address.workload, address.drop);
            let kept = receipts::read(&world.watched, workload, drop, ReceiptState::Vaulted);
            assert!(kept.unwrap().is_some(), "{seed} {nth}");
        }
    }
}

#[test]
fn a_drop_that_is_sealed_in_the_last_moment_is_not_given_up_by_an_agent_with_an_old_picture() {
    let Some(world) = World::new(Habits::default(), 1) else { return };
    let mut writer = begun(&world.written).unwrap();
    writer.write_all(&content()).unwrap();
    let address = writer.address().clone();
    // What the agent's host sees from now on is of before the seal, in listings and in lookups.
    world.agents.plan(Planned { verb: Verb::List, nth: 1, fault: Fault::Stale(1000) });
    fs::read_dir(world.watched.drop_directory(&address)).unwrap();
    writer.seal(&SystemClock).unwrap();
    assert!(!world.watched.drop_directory(&address).join("sealed.json").exists(), "it is old");

    let signed = receipt(&world.written, &address, ReceiptState::Abandoned);
    let ended = abandon(&world.watched, &address, &signed);
    assert!(ended.is_err(), "{ended:?}");
    world.heal();
    assert_eq!(read_all(&world.watched, &address).unwrap(), content());
    let states = receipts::list(&world.watched, &address.workload).unwrap();
    let states = states.get(&address.drop).cloned().unwrap_or_default();
    assert!(!states.contains(&ReceiptState::Abandoned), "{states:?}");
}

#[test]
fn a_writer_that_wakes_up_after_it_was_given_up_seals_nothing_whatever_its_host_remembers() {
    let Some(world) = World::new(Habits::default(), 1) else { return };
    let writer = held_up(&world.written);
    let address = writer.address().clone();
    world.writers.plan(Planned { verb: Verb::List, nth: 1, fault: Fault::Stale(1000) });
    fs::read_dir(world.written.drop_directory(&address)).unwrap();
    // Its segments stay for a while, since somebody has them open.
    let signed = receipt(&world.watched, &address, ReceiptState::Abandoned);
    abandon(&world.watched, &address, &signed).unwrap();
    assert!(writer.seal(&SystemClock).is_err());
    world.heal();
    assert!(read_all(&world.watched, &address).is_err());
}

#[test]
fn wherever_a_look_of_the_agent_fails_no_drop_is_both_given_up_and_sealed() {
    let mut sealed_all_the_same = 0;
    for verb in [Verb::Look, Verb::Stat, Verb::Remove] {
        for nth in 1..150 {
            let Some(world) = World::new(Habits::default(), 1) else { return };
            let writer = held_up(&world.written);
            let address = writer.address().clone();
            world.writers.plan(Planned { verb: Verb::List, nth: 1, fault: Fault::Stale(1000) });
            fs::read_dir(world.written.drop_directory(&address)).unwrap();
            let signed = receipt(&world.watched, &address, ReceiptState::Abandoned);
            world.agents.plan(Planned { verb, nth, fault: Fault::Fails(Errno::IO) });
            let ended = abandon(&world.watched, &address, &signed);
            let sealed = writer.seal(&SystemClock);
            world.heal();
            if sealed.is_ok() {
                sealed_all_the_same += 1;
                assert!(ended.is_err(), "{verb:?} {nth}: given up and sealed");
                // Whatever the agent had written: it looks again, and finds a whole drop.
                assert_eq!(read_all(&world.watched, &address).unwrap(), content());
            }
        }
    }
    assert!(sealed_all_the_same > 0, "some looks come before anything is done");
}

#[test]
fn a_release_waits_for_files_that_somebody_has_open_and_is_no_error() {
    for habits in [
        Habits { keeps_open_files: true, ..Habits::default() },
        Habits { leaves_silly_names: true, ..Habits::default() },
    ] {
        for name in ["0002.seg", "sealed.json"] {
            let Some(world) = World::new(habits, 1) else { return };
            let (address, ended) = written(&world.written);
            ended.unwrap();
            let address = address.unwrap();
            let path = world.written.drop_directory(&address).join(name);
            let held = fs::File::open(path).unwrap();
            let signed = receipt(&world.watched, &address, ReceiptState::Released);
            let freed = release(&world.watched, &address, &signed).unwrap();
            assert!(!freed.is_gone, "{habits:?} {name}");
            drop(held);
            // The kernel tells the server of a close when it likes.
            let deadline = std::time::Instant::now() + Duration::from_secs(20);
            while !release(&world.watched, &address, &signed).unwrap().is_gone {
                assert!(std::time::Instant::now() < deadline, "{habits:?} {name}");
            }
            assert!(!world.watched.drop_directory(&address).exists());
        }
    }
}

#[test]
fn a_writer_cannot_seal_while_anything_is_left_of_what_was_given_up() {
    let habits = Habits { keeps_open_files: true, ..Habits::default() };
    let Some(world) = World::new(habits, 1) else { return };
    let mut writer = begun(&world.written).unwrap();
    writer.write_all(&content()).unwrap();
    writer.flush().unwrap();
    let address = writer.address().clone();
    let drop_directory = world.watched.drop_directory(&address);
    // The first one stays, since somebody has it open: so the writer would find it.
    let held = fs::File::open(world.written.drop_directory(&address).join("0001.seg")).unwrap();
    world.writers.plan(Planned { verb: Verb::List, nth: 1, fault: Fault::Stale(1000) });
    fs::read_dir(world.written.drop_directory(&address)).unwrap();
    let signed = receipt(&world.watched, &address, ReceiptState::Abandoned);
    assert!(!abandon(&world.watched, &address, &signed).unwrap().is_gone);
    assert!(drop_directory.join("sealed.json").is_dir(), "its name stays taken");
    assert!(writer.seal(&SystemClock).is_err());
    world.heal();
    assert!(read_all(&world.watched, &address).is_err());
    drop(held);
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while !abandon(&world.watched, &address, &signed).unwrap().is_gone {
        assert!(std::time::Instant::now() < deadline);
    }
    assert!(!drop_directory.exists());
}

#[test]
fn names_that_differ_in_case_only_are_one_and_harm_nobody() {
    let Some(world) = World::new(Habits { ignores_case: true, ..Habits::default() }, 1) else {
        return;
    };
    life(&world).unwrap();
    // Somebody's file, by the name of a segment as the server sees it.
    let mut writer = begun(&world.written).unwrap();
    let drop = world.written.drop_directory(writer.address());
    fs::File::create(drop.join("0001.SEG")).unwrap().write_all(b"somebody's").unwrap();
    let ended = writer.write_all(&content());
    assert!(ended.is_err() || writer.seal(&SystemClock).is_err());
    assert!(!drop.join("sealed.json").exists());
}

#[test]
fn nothing_is_made_where_the_share_was_when_it_is_not_mounted_any_more() {
    let Some(world) = World::new(Habits::default(), 1) else { return };
    let (address, ended) = written(&world.written);
    ended.unwrap();
    let address = address.unwrap();
    let signed = |state| receipt(&world.written, &address, state);
    let (vaulted, released, rejected, abandoned) = (
        signed(ReceiptState::Vaulted),
        signed(ReceiptState::Released),
        signed(ReceiptState::Rejected),
        signed(ReceiptState::Abandoned),
    );
    let mut writer = begun(&world.written).unwrap();
    writer.write_all(&content()).unwrap();
    // The mount goes, and the empty directory below it appears.
    let World { written: share, directory, server, writers, .. } = world;
    drop(writers);
    assert!(writer.seal(&SystemClock).is_err());
    assert!(begun(&share).is_err());
    assert!(receipts::write(&share, &vaulted).is_err());
    assert!(
        receipts::withdraw(&share, &address.workload, address.drop, ReceiptState::Vaulted).is_err()
    );
    assert!(release(&share, &address, &released).is_err());
    assert!(quarantine(&share, &address, &rejected).is_err());
    assert!(abandon(&share, &address, &abandoned).is_err());
    assert_eq!(fs::read_dir(share.path()).unwrap().count(), 0, "{directory:?}");
    // A copy of the share's mark in that directory is on another file system.
    let back = server.mount(&directory.path().join("back")).unwrap().unwrap();
    fs::copy(back.path().join("outlast-share.json"), share.path().join("outlast-share.json"))
        .unwrap();
    let error = begun(&share).unwrap_err().to_string();
    assert!(error.contains("another file system than before: it was fuse"), "{error}");
    assert_eq!(fs::read_dir(share.path()).unwrap().count(), 1);
}
