//! A store that fails at any call, and what the next backup makes of what is left.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use outlast_format::config::Version;
use outlast_store::faulty::Fault;
use outlast_store::{Faulty, Kind as ObjectKind, MemoryStore, Recording, Store, Verb};
use outlast_types::Silent;

use super::script::{Script, contents, noise};
use super::{options, repository, run, tight};
use crate::backup::{Input, Options, Outcome};
use crate::check::{self, check};
use crate::{Credential, RepoError, Repository};

fn script() -> Script {
    let mut script = Script::new();
    for n in 0..12_u64 {
        script.file(&format!("d{}/small-{n}", n % 4), &noise(n, 3000));
    }
    script.file("large", &noise(100, 1_500_000));
    script
}

/// A backup that must end in time, whatever fails: a stage that waits for ever fails the test.
fn ends(repository: Arc<Repository>, options: Options) -> Result<Outcome, RepoError> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let result = run(&repository, Input::Tree(Box::new(script())), &options);
        let _sent = sender.send(result);
    });
    receiver.recv_timeout(Duration::from_secs(60)).expect("the backup ends")
}

fn reopen(repository: &Repository, store: Arc<dyn Store>) -> Arc<Repository> {
    Arc::new(Repository::open(store, Credential::Key(repository.key().clone())).unwrap())
}

fn journaled(journal: &Path) -> Options {
    Options { journal: Some(journal.to_owned()), ..options(tight()) }
}

#[track_caller]
fn assert_sound(repository: &Repository, outcome: &Outcome) {
    crate::backup::publish(repository, outcome).unwrap();
    let found = contents(repository, outcome.snapshot.tree);
    assert_eq!(found["large"].1, noise(100, 1_500_000));
    let report =
        check(repository, &check::Options { read_data: true, ..Default::default() }, &Silent)
            .unwrap();
    assert!(report.is_clean(), "{:?}", report.problems);
}

#[test]
fn whichever_call_fails_the_backup_ends_with_that_cause_and_the_next_one_is_sound() {
    let pristine = Arc::new(Recording::new(Arc::new(MemoryStore::new())));
    let reference = repository(pristine.clone(), Version::V2);
    pristine.clear();
    run(&reference, Input::Tree(Box::new(script())), &options(tight())).unwrap();
    let calls = pristine.count(Verb::Create) as u64;
    assert!(calls > 8, "{calls}");
    for nth in 1..=calls {
        for fault in [Fault::Before(io::ErrorKind::TimedOut), Fault::After(io::ErrorKind::TimedOut)]
        {
            let directory = tempfile::tempdir().unwrap();
            let journal = directory.path().join("journal");
            let memory = Arc::new(MemoryStore::new());
            let made = repository(memory.clone(), Version::V2);
            let faulty = Arc::new(Faulty::new(memory.clone()));
            faulty.script(Verb::Create, nth, fault);
            let shaky = reopen(&made, faulty);
            match ends(shaky.clone(), journaled(&journal)) {
                Err(error) => {
                    assert!(error.to_string().contains("injected fault"), "{nth}: {error}");
                }
                // Which blobs share a pack is a matter of threads: there may be a call less.
                Ok(done) => assert!(((done.packs.len() + done.indexes.len()) as u64) < nth),
            }
            assert!(memory.list(ObjectKind::Snapshot).unwrap().is_empty());
            // The same process tries again; or another one, after this one was killed.
            let survivor = if nth % 2 == 0 { shaky } else { reopen(&made, memory.clone()) };
            let outcome = ends(survivor, journaled(&journal)).unwrap();
            assert_sound(&reopen(&made, memory), &outcome);
        }
    }
}

#[test]
fn packs_that_were_uploaded_before_a_crash_are_not_uploaded_again() {
    let directory = tempfile::tempdir().unwrap();
    let journal = directory.path().join("journal");
    let memory = Arc::new(MemoryStore::new());
    let made = repository(memory.clone(), Version::V2);
    // No checkpoint: nothing but the journal knows the packs.
    let mut options = journaled(&journal);
    options.tuning.checkpoint_bytes = u64::MAX;
    let faulty = Arc::new(Faulty::new(memory.clone()));
    faulty.script(Verb::Create, 6, Fault::Full);
    ends(reopen(&made, faulty), options.clone()).unwrap_err();
    let uploaded: u64 = memory.list(ObjectKind::Data).unwrap().iter().map(|(_, size)| *size).sum();
    assert!(uploaded > 500_000, "{uploaded}");
    let recording = Arc::new(Recording::new(memory.clone()));
    let outcome = ends(reopen(&made, recording.clone()), options).unwrap();
    let again: u64 = recording
        .calls()
        .iter()
        .filter(|call| call.verb == Verb::Create && call.kind == ObjectKind::Data)
        .map(|call| call.bytes)
        .sum();
    // All content is there once; only packs that were not durable were sent again.
    assert!(uploaded + again < 1_700_000, "{uploaded} then {again}");
    assert_sound(&reopen(&made, memory), &outcome);
}

#[test]
fn a_journal_is_believed_only_of_packs_that_the_store_has() {
    let directory = tempfile::tempdir().unwrap();
    let journal = directory.path().join("journal");
    let memory = Arc::new(MemoryStore::new());
    let made = repository(memory.clone(), Version::V2);
    let mut options = journaled(&journal);
    options.tuning.checkpoint_bytes = u64::MAX;
    let faulty = Arc::new(Faulty::new(memory.clone()));
    faulty.script(Verb::Create, 6, Fault::Full);
    ends(reopen(&made, faulty), options.clone()).unwrap_err();
    for (pack, size) in memory.list(ObjectKind::Data).unwrap() {
        if size % 2 == 0 {
            memory.remove(&pack).unwrap();
        } else {
            memory.overwrite(&pack, bytes::Bytes::from_static(b"torn"));
        }
    }
    let outcome = ends(reopen(&made, memory.clone()), options).unwrap();
    assert!(contents(&reopen(&made, memory), outcome.snapshot.tree).contains_key("large"));
}

#[test]
fn what_an_open_repository_remembers_is_not_believed_when_the_store_was_put_back() {
    let memory = Arc::new(MemoryStore::new());
    let made = repository(memory.clone(), Version::V2);
    let open = reopen(&made, memory.clone());
    ends(open.clone(), options(tight())).unwrap();
    // As after a restore of the vault's disk from before that backup.
    for kind in [ObjectKind::Data, ObjectKind::Index] {
        for (object, _) in memory.list(kind).unwrap() {
            memory.remove(&object).unwrap();
        }
    }
    let error = ends(open, options(tight())).unwrap_err();
    assert!(matches!(error, RepoError::Outdated { .. }), "{error}");
    let afresh = reopen(&made, memory.clone());
    let outcome = ends(afresh, options(tight())).unwrap();
    assert_sound(&reopen(&made, memory), &outcome);
}

#[test]
fn a_full_store_says_so() {
    let memory = Arc::new(MemoryStore::new());
    let made = repository(memory.clone(), Version::V2);
    let faulty = Arc::new(Faulty::new(memory));
    faulty.script(Verb::Create, 1, Fault::Full);
    let error = ends(reopen(&made, faulty), options(tight())).unwrap_err();
    assert!(error.to_string().contains("is full"), "{error}");
}
