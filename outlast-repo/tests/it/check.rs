//! Checking a part at a time, and going on after an interruption.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use outlast_format::config::Version;
use outlast_format::tree::NodeKind;
use outlast_repo::check::{Counts, Options, Report, Resume, check};
use outlast_repo::{Credential, Maker, Repository};
use outlast_store::{Kind, MemoryStore, Object, Recording, Store, Verb};
use outlast_testing::pseudo_random;
use outlast_types::{Monitor, Silent, SystemRandom, Timestamp, hex};

use crate::forge::{Forge, directory};

const PACKS: u64 = 9;

/// A repository with data in several packs and trees in one, and the calls to its store.
struct Subject {
    store: Arc<MemoryStore>,
    calls: Arc<Recording>,
    repository: Repository,
    scratch: tempfile::TempDir,
}

impl Subject {
    fn new() -> Self {
        let mut forge = Forge::new();
        let mut nodes = Vec::new();
        for number in 1..PACKS {
            let piece = pseudo_random(number, 50_000);
            nodes.push(forge.file(format!("file {number}").as_bytes(), &[&piece, b"and more"]));
            forge.end_pack();
        }
        let inner = forge.tree(nodes.clone());
        nodes.insert(0, directory(b"again", inner));
        let tree = forge.tree(nodes);
        let (store, repository) = forge.finish(tree);
        let calls = Arc::new(Recording::new(Arc::clone(&store) as Arc<dyn Store>));
        let key = Credential::Key(repository.key().clone());
        let repository = Repository::open(Arc::clone(&calls) as _, key).unwrap();
        Self { store, calls, repository, scratch: tempfile::tempdir().unwrap() }
    }

    fn state(&self) -> PathBuf {
        self.scratch.path().join("state")
    }

    fn resuming(&self) -> Options {
        let resume = Resume { state: self.state(), now: Timestamp::EPOCH };
        Options { read_data: true, resume: Some(resume), ..Options::default() }
    }

    /// The report, and the packs that were read from the beginning.
    fn check(&self, options: &Options) -> (Report, Vec<Object>) {
        self.calls.clear();
        let report = check(&self.repository, options, &Silent).unwrap();
        (report, self.data_read())
    }

    fn data_read(&self) -> Vec<Object> {
        let calls = self.calls.calls().into_iter();
        calls
            .filter(|call| {
                call.verb == Verb::Read && call.kind == Kind::Data && call.bytes > 40_000
            })
            .filter_map(|call| call.object)
            .collect()
    }
}

#[test]
fn the_parts_of_a_repository_are_all_of_it_and_each_is_read_once() {
    let subject = Subject::new();
    let mut read = Vec::new();
    let mut counts = Counts::default();
    for part in ["2/3", "3/3", "1/3"] {
        let subset = Some(part.parse().unwrap());
        let (report, packs) =
            subject.check(&Options { read_data: true, subset, ..Options::default() });
        assert!(report.is_clean(), "{:?}", report.problems);
        assert_eq!(report.counts.packs, PACKS, "the structure is checked as a whole");
        counts.packs_read += report.counts.packs_read;
        counts.bytes_read += report.counts.bytes_read;
        counts.bytes = report.counts.bytes;
        read.extend(packs);
    }
    assert_eq!((counts.packs_read, counts.bytes_read), (PACKS, counts.bytes));
    let different: BTreeSet<_> = read.iter().collect();
    let with_data = PACKS - 1;
    assert_eq!((read.len() as u64, different.len() as u64), (with_data, with_data));
}

#[test]
fn damage_is_found_in_its_part_only() {
    let subject = Subject::new();
    // One with data: damaged trees are found whatever part is read.
    let mut packs = subject.store.list(Kind::Data).unwrap().into_iter();
    let (victim, _) = packs.find(|(_, size)| *size > 40_000).unwrap();
    let mut bytes = subject.store.read(&victim).unwrap().to_vec();
    bytes[20] ^= 1;
    subject.store.overwrite(&victim, bytes.into());
    let found = (1..=4).filter(|part| {
        let subset = Some(format!("{part}/4").parse().unwrap());
        let (report, _) = subject.check(&Options { read_data: true, subset, ..Options::default() });
        report
            .problems
            .iter()
            .any(|p| p.to_string().contains(&hex::encode(&victim.name().unwrap())))
    });
    assert_eq!(found.count(), 1);
}

/// Is killed when so much was read.
struct Axe(AtomicU64);

impl Monitor for Axe {
    fn advance(&self, bytes: u64) {
        let left = self.0.load(Ordering::Relaxed).saturating_sub(bytes);
        self.0.store(left, Ordering::Relaxed);
        assert!(left > 0, "the axe falls");
    }

    fn problem(&self, _message: &str) {}
}

#[test]
fn a_check_that_was_killed_goes_on_where_it_was_until_it_has_read_everything_once() {
    let subject = Subject::new();
    let options = subject.resuming();
    let mut kills = 0;
    let mut resumed = 0;
    let report = loop {
        // Enough for two packs more each time, whatever was read already is not read again.
        let axe = Axe(AtomicU64::new(resumed * 51_000 + 200_000));
        let outcome = catch_unwind(AssertUnwindSafe(|| check(&subject.repository, &options, &axe)));
        match outcome {
            Ok(report) => break report.unwrap(),
            Err(_) => kills += 1,
        }
        let remembered = subject.state().metadata().unwrap().len();
        assert!(kills < 50, "it never ends: {remembered} bytes of state");
        resumed = remembered / 16;
    };
    assert!(kills > 0, "it was never killed");
    assert!(report.is_clean(), "{:?}", report.problems);
    let Counts { packs_read, packs_resumed, bytes_read, bytes_resumed, bytes, .. } = report.counts;
    assert!(packs_resumed > 0);
    assert_eq!((packs_read + packs_resumed, bytes_read + bytes_resumed), (PACKS, bytes));
    assert!(!subject.state().exists(), "a check that ended is not gone on with");
}

#[test]
fn what_changed_or_was_damaged_is_read_again() {
    let subject = Subject::new();
    let axe = Axe(AtomicU64::new(400_000));
    let options = subject.resuming();
    let killed = catch_unwind(AssertUnwindSafe(|| check(&subject.repository, &options, &axe)));
    assert!(killed.is_err());
    let state = std::fs::read(subject.state()).unwrap();
    // Another repository does not believe it.
    let other = Subject::new();
    std::os::unix::fs::symlink(subject.state(), other.state()).unwrap();
    assert_eq!(other.check(&other.resuming()).0.counts.packs_resumed, 0);
    // A pack that lost its end since is not taken for right, though it was.
    let restore = || {
        let mut file = std::fs::File::create(subject.state()).unwrap();
        std::io::Write::write_all(&mut file, &state).unwrap();
    };
    restore();
    let (report, _) = subject.check(&options);
    assert!(report.is_clean() && report.counts.packs_resumed > 0);
    for (object, _) in subject.store.list(Kind::Data).unwrap() {
        let bytes = subject.store.read(&object).unwrap();
        subject.store.overwrite(&object, bytes.slice(..bytes.len() - 1));
    }
    restore();
    let (report, _) = subject.check(&options);
    assert_eq!(report.counts.packs_resumed, 0);
    assert!(!report.is_clean());
}

#[test]
fn a_wide_and_deep_tree_is_visited_once_whoever_comes_first() {
    let mut forge = Forge::new();
    let leaf = forge.tree(Vec::new());
    let mut tree = leaf;
    for level in 0..40_u8 {
        let same = (0..30_u8).map(|n| directory(format!("{n:02}").as_bytes(), tree)).collect();
        let other = forge.file(format!("{level}").as_bytes(), &[b"content"]);
        let mut nodes: Vec<_> = same;
        nodes.push(other);
        nodes.sort_by(|one, next| one.name.cmp(&next.name));
        nodes.dedup_by(|one, next| one.name == next.name && one.kind == NodeKind::File);
        tree = forge.tree(nodes);
    }
    let (_, repository) = forge.finish(tree);
    let report = check(&repository, &Options::default(), &Silent).unwrap();
    assert!(report.is_clean(), "{:?}", report.problems);
    assert_eq!(report.counts.trees, 41, "30 to the power of 40 paths lead to 41 trees");
}

#[test]
fn an_empty_repository_is_clean_and_leaves_no_state() {
    let maker = Maker { hostname: "h".into(), username: "u".into(), created: Timestamp::EPOCH };
    let store = Arc::new(MemoryStore::new());
    let repository =
        Repository::init(store, "password", Version::V2, &maker, &SystemRandom).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let state = scratch.path().join("state");
    let resume = Some(Resume { state: state.clone(), now: Timestamp::EPOCH });
    let options = Options { read_data: true, resume, ..Options::default() };
    assert!(check(&repository, &options, &Silent).unwrap().is_clean());
    assert!(!state.exists());
}
