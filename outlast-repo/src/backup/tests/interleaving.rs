//! Whatever stage is ahead of whatever other, the tree is the same.

use std::fs;
use std::hint;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use outlast_fs::walk::Walk;
use outlast_fs::{Entry, EntrySource, SourceError};
use outlast_types::Monitor;

use super::*;

/// Holds up whoever asks, for times that a seed chooses: every stage asks for something.
struct Delays {
    seed: u64,
    calls: AtomicU64,
}

impl Delays {
    fn hold_up(&self) {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let hash = blake3::hash(&[self.seed.to_le_bytes(), call.to_le_bytes()].concat());
        let [kind, length, ..] = *hash.as_bytes();
        match kind % 4 {
            0 => (0..length).for_each(|_| thread::yield_now()),
            1 => (0..u32::from(length) * 50).for_each(|_| hint::spin_loop()),
            _ => {}
        }
    }
}

impl Monitor for Delays {
    fn advance(&self, _: u64) {
        self.hold_up();
    }

    fn problem(&self, message: &str) {
        panic!("{message}");
    }
}

impl Random for Delays {
    fn fill(&self, buffer: &mut [u8]) {
        self.hold_up();
        SystemRandom.fill(buffer);
    }
}

/// A walk without the directories above, whose times change while tests run.
struct Below<'a> {
    walk: Walk,
    depth: usize,
    comes_back: bool,
    delays: &'a Delays,
}

impl EntrySource for Below<'_> {
    fn next_entry(&mut self) -> Result<Option<Entry>, SourceError> {
        self.delays.hold_up();
        let strip = |path: &EntryPath| {
            let below = path.names().get(self.depth..)?.to_vec();
            EntryPath::from_names(below).ok()
        };
        while let Some(mut entry) = self.walk.next_entry()? {
            let Some(path) = strip(&entry.path) else { continue };
            entry.path = path;
            if let outlast_fs::Kind::HardLink { target } = &mut entry.kind {
                *target = strip(target).unwrap();
            }
            return Ok(Some(entry));
        }
        Ok(None)
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.walk.read(buffer)
    }

    fn comes_back(&self) -> bool {
        self.comes_back
    }
}

/// How the work is done.
#[derive(Debug, Clone)]
struct Way {
    workers: usize,
    uploads: usize,
    block_bytes: usize,
    ahead: usize,
    comes_back: bool,
    seed: u64,
}

fn ways() -> impl Strategy<Value = Way> {
    let block_bytes = prop_oneof![97..1000_usize, 1000..100_000_usize, Just(1 << 20)];
    (1..6_usize, 1..4_usize, block_bytes, 0..12_usize, any::<bool>(), any::<u64>()).prop_map(
        |(workers, uploads, block_bytes, ahead, comes_back, seed)| Way {
            workers,
            uploads,
            block_bytes,
            ahead,
            comes_back,
            seed,
        },
    )
}

/// The tree of what is below `path`, stored in a new repository, with what is in it.
fn tree_of(path: &std::path::Path, way: &Way) -> (BlobId, Vec<(String, Vec<u8>)>) {
    let delays = Delays { seed: way.seed, calls: AtomicU64::new(0) };
    let repository = repository(Arc::new(MemoryStore::new()), Version::V2);
    let walk = Walk::new(&[path.to_owned()]).unwrap().ahead(way.ahead);
    let depth = path.components().count() - 1;
    let source = Below { walk, depth, comes_back: way.comes_back, delays: &delays };
    let tuning = Tuning {
        workers: way.workers,
        uploads: way.uploads,
        block_bytes: way.block_bytes,
        ..tight()
    };
    let input = Input::Tree(Box::new(source));
    let outcome =
        backup(&repository, input, &options(tuning), &SystemClock, &delays, &delays).unwrap();
    let found = contents(&repository, outcome.snapshot.tree).into_iter();
    (outcome.snapshot.tree, found.map(|(path, (_, content))| (path, content)).collect())
}

proptest! {
    #![proptest_config(outlast_testing::cases(4))]

    #[test]
    fn any_interleaving_of_the_stages_yields_the_same_tree(
        sizes in prop::collection::vec(
            prop_oneof![0..3_usize, 3..2000_usize, 15_000..18_000_usize, 60_000..400_000_usize],
            0..25,
        ),
        ways in prop::collection::vec(ways(), 1..4),
    ) {
        let tree = tempfile::tempdir().unwrap();
        for (n, &size) in sizes.iter().enumerate() {
            let directory = tree.path().join(format!("{}/{}", n % 4, n % 3));
            fs::create_dir_all(&directory).unwrap();
            let path = directory.join(format!("{n}"));
            fs::File::create(&path).unwrap().write_all(&noise(n as u64, size)).unwrap();
            if n % 5 == 0 {
                fs::hard_link(&path, tree.path().join(format!("link {n}"))).unwrap();
                symlink(n.to_string(), directory.join(format!("to {n}"))).unwrap();
            }
        }
        let plain = Way {
            workers: 1, uploads: 1, block_bytes: 1 << 20, ahead: 0, comes_back: true, seed: 0,
        };
        let expected = tree_of(tree.path(), &plain);
        for way in ways {
            prop_assert!(tree_of(tree.path(), &way) == expected, "{:?}", way);
        }
    }
}
