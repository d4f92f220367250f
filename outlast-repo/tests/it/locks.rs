//! Locks that nobody takes away any more: torn, old, from the future.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use outlast_format::config::Version;
use outlast_format::lock::{Lock, STALE_AFTER};
use outlast_repo::lock::{self, Here, Holder};
use outlast_repo::{Maker, RepoError, Repository, prune, repair};
use outlast_store::{DirectoryStore, Kind, Object};
use outlast_types::{Clock, Silent, SystemClock, SystemRandom, Timestamp};

struct World {
    directory: tempfile::TempDir,
    repository: Repository,
}

fn holder(hostname: &str, pid: u32) -> Holder {
    let (hostname, username) = (hostname.to_owned(), "user".to_owned());
    Holder { hostname, username, pid, uid: 0, gid: 0 }
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(DirectoryStore::create_layout(directory.path()).unwrap());
        let maker =
            Maker { hostname: String::new(), username: String::new(), created: Timestamp::EPOCH };
        let repository = Repository::init(store, "x", Version::V2, &maker, &SystemRandom).unwrap();
        Self { directory, repository }
    }

    fn locks(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.directory.path().join("locks")).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// A lock that cannot be read.
    fn torn(&self, content: &[u8]) -> PathBuf {
        let path = self.directory.path().join("locks").join("0".repeat(64));
        File::create(&path).unwrap().write_all(content).unwrap();
        path
    }

    /// A lock of somebody elsewhere who says that this is the time.
    fn foreign(&self, time: Timestamp, pid: u32) -> PathBuf {
        let lock = Lock { time, exclusive: true, holder: holder("elsewhere", pid) };
        let document = lock.serialize().unwrap();
        let sealed = self.repository.seal_unpacked("lock", &document, &SystemRandom).unwrap();
        let object = Object::Lock(sealed.0);
        self.repository.store().create(&object, sealed.1).unwrap();
        DirectoryStore::open(self.directory.path()).unwrap().file_of(&object)
    }

    fn repair(&self) -> Result<repair::Outcome, RepoError> {
        let here = Here { holder: holder("here", 1), lives: &|_| true };
        let options = repair::Options::default();
        repair::index(&self.repository, options, &here, &SystemClock, &SystemRandom, &Silent)
    }

    fn prune(&self) -> prune::Outcome {
        let here = Here { holder: holder("here", 1), lives: &|_| true };
        let grace = Duration::ZERO;
        let options = prune::Options { grace, ..prune::Options::default() };
        prune::prune(&self.repository, &options, &here, &SystemClock, &SystemRandom, &Silent)
            .unwrap()
    }

    fn unlock(&self, all: bool) -> lock::Unlocked {
        let here = Here { holder: holder("elsewhere", 1), lives: &|pid| pid != 9 };
        lock::unlock(&self.repository, all, &here, &SystemClock).unwrap()
    }
}

/// As if it had been written then.
fn date(path: &Path, ago: Duration) {
    File::open(path).unwrap().set_modified(SystemTime::now() - ago).unwrap();
}

const OLD: Duration = Duration::from_secs(STALE_AFTER.as_secs() + 60);
const YOUNG: Duration = Duration::from_secs(STALE_AFTER.as_secs() - 60);

#[test]
fn a_lock_ages_by_the_stores_time_whatever_it_says_and_whether_it_can_be_read() {
    let far: Timestamp = "2099-01-01T00:00:00Z".parse().unwrap();
    let locks: [&dyn Fn(&World) -> PathBuf; 5] = [
        &|world| world.torn(b""),
        &|world| world.torn(&[7; 200]),
        &|world| world.foreign(far, 2),
        &|world| world.foreign(SystemClock.now(), 2),
        // Its clock was wrong, and it is at work.
        &|world| world.foreign(Timestamp::EPOCH, 2),
    ];
    for (number, make) in locks.into_iter().enumerate() {
        let world = World::new();
        let path = make(&world);
        date(&path, YOUNG);
        let error = world.repair().unwrap_err();
        assert!(matches!(error, RepoError::Locked { .. }), "{number}: {error}");
        // Its age, give or take the second in which it is looked at.
        let words = error.to_string();
        assert!(words.contains("28 min 5") || words.contains("29 min"), "{words}");
        date(&path, OLD);
        world.repair().unwrap();
        world.prune();
        assert_eq!(world.locks(), [path], "who did not make it leaves it alone");
    }
}

#[test]
fn unlock_takes_the_stale_ones_and_those_of_the_dead_and_on_demand_all() {
    let world = World::new();
    let now = SystemClock.now();
    let (old, dead, young) = (world.torn(b""), world.foreign(now, 9), world.foreign(now, 2));
    date(&old, OLD);
    let unlocked = world.unlock(false);
    assert_eq!((unlocked.removed.len(), unlocked.kept.len()), (2, 1));
    assert!(!old.exists() && !dead.exists());
    assert_eq!(world.locks(), [young]);
    world.torn(b"torn just now");
    assert_eq!(world.unlock(false).kept.len(), 2);
    assert_eq!(world.unlock(true).removed.len(), 2);
    assert_eq!(world.repository.store().list(Kind::Lock).unwrap(), []);
}
