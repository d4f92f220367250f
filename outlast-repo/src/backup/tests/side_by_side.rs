//! Several backups in one engine: each gives what it would alone, and whoever fails or hangs stops no
//! other.

use std::io;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use outlast_store::{Store, StoreError, Written};

use super::script::{Script, contents, noise};
use super::*;

/// So long a test waits for what must come.
const LATE: Duration = Duration::from_secs(60);

/// Little of everything: hardly more than what each has of its own.
fn scarce(workers: usize, uploads: usize) -> Tuning {
    Tuning { workers, uploads, block_bytes: 60_000, data_pack_bytes: 300_000, ..tight() }
}

/// A gate that holds up whoever passes, while it is closed.
#[derive(Default)]
struct Gate {
    /// Whether it is open, and how many wait.
    state: Mutex<(bool, usize)>,
    changed: Condvar,
}

impl Gate {
    fn open(&self) {
        self.state.lock().unwrap().0 = true;
        self.changed.notify_all();
    }

    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.1 += 1;
        self.changed.notify_all();
        while !state.0 {
            state = self.changed.wait(state).unwrap();
        }
        state.1 -= 1;
    }

    /// Waits until somebody waits there.
    fn wait(&self) {
        let mut state = self.state.lock().unwrap();
        while state.1 == 0 {
            state = self.changed.wait(state).unwrap();
        }
    }
}

/// A store that does not answer packs, while its gate is closed.
struct Hanging(MemoryStore, Arc<Gate>);

impl Store for Hanging {
    fn location(&self) -> String {
        self.0.location()
    }

    fn create(&self, object: &Object, content: Bytes) -> Result<(), StoreError> {
        if let Object::Data(_) = object {
            self.1.pass();
        }
        self.0.create(object, content)
    }

    fn read(&self, object: &Object) -> Result<Bytes, StoreError> {
        self.0.read(object)
    }

    fn read_range(&self, object: &Object, offset: u64, length: usize) -> Result<Bytes, StoreError> {
        self.0.read_range(object, offset, length)
    }

    fn size(&self, object: &Object) -> Result<u64, StoreError> {
        self.0.size(object)
    }

    fn list(&self, kind: ObjectKind) -> Result<Vec<(Object, u64)>, StoreError> {
        self.0.list(kind)
    }

    fn written(&self, object: &Object) -> Result<Option<Written>, StoreError> {
        self.0.written(object)
    }

    fn remove(&self, object: &Object) -> Result<(), StoreError> {
        self.0.remove(object)
    }
}

/// A backup on a thread of its own, and what comes of it.
fn begin(
    repository: &Arc<Repository>,
    input: Input<'static>,
    tuning: &Tuning,
    engine: &Engine,
) -> Receiver<Result<Outcome, RepoError>> {
    let options = Options { engine: Some(engine.clone()), ..options(tuning.clone()) };
    let (sender, outcome) = mpsc::channel();
    let repository = Arc::clone(repository);
    thread::spawn(move || {
        let _sent = sender.send(run(&repository, input, &options));
    });
    outcome
}

fn memory() -> Arc<Repository> {
    Arc::new(repository(Arc::new(MemoryStore::new()), Version::V2))
}

fn tree(number: u64, sizes: &[usize]) -> Script {
    let mut script = Script::new();
    for (n, &size) in sizes.iter().enumerate() {
        script.file(&format!("d{}/f{n}", n % 3), &noise(1000 * number + n as u64, size));
    }
    script
}

proptest! {
    #![proptest_config(outlast_testing::cases(12))]

    #[test]
    fn each_gives_what_it_gives_alone_and_all_that_was_lent_comes_back(
        trees in prop::collection::vec(
            prop::collection::vec(
                prop_oneof![0..2000_usize, 15_000..18_000_usize, 60_000..900_000_usize],
                0..8,
            ),
            2..7,
        ),
        (workers, uploads) in (1..4_usize, 1..4_usize),
        places in 1..7_usize,
    ) {
        let tuning = scarce(workers, uploads);
        let engine = Engine::shared(places, &tuning);
        let repositories: Vec<_> = trees.iter().map(|_| memory()).collect();
        let begun: Vec<_> = trees.iter().zip(&repositories).enumerate().map(|(n, (sizes, to))| {
            let input = Input::Tree(Box::new(tree(n as u64, sizes)));
            begin(to, input, &tuning, &engine)
        }).collect();
        for (n, (outcome, to)) in begun.iter().zip(&repositories).enumerate() {
            let outcome = outcome.recv_timeout(LATE).expect("it comes to its end").unwrap();
            let found = contents(to, outcome.snapshot.tree);
            prop_assert_eq!(found.values().filter(|(_, bytes)| !bytes.is_empty()).count(),
                trees[n].iter().filter(|size| **size > 0).count());
            for (f, &size) in trees[n].iter().enumerate() {
                let content = noise(1000 * n as u64 + f as u64, size);
                let path = format!("d{}/f{f}", f % 3);
                prop_assert!(found[&path].1 == content);
            }
            // The same alone, of which nothing is new.
            let input = Input::Tree(Box::new(tree(n as u64, &trees[n])));
            let alone = run(to, input, &options(Tuning::default())).unwrap();
            prop_assert_eq!(alone.snapshot.tree, outcome.snapshot.tree);
            prop_assert_eq!(alone.stats.data_blobs, 0);
        }
        prop_assert!(engine.is_whole(), "{:?}", engine);
    }
}

#[test]
fn whoever_hangs_keeps_none_of_the_others_from_their_ends() {
    let tuning = scarce(2, 2);
    let engine = Engine::shared(4, &tuning);
    // One whose store does not answer, and one whose source does not, both with much to store.
    let gate = Arc::new(Gate::default());
    let hanging = Hanging(MemoryStore::new(), Arc::clone(&gate));
    let to = Arc::new(repository(Arc::new(hanging), Version::V2));
    let input = stream(Box::leak(noise(1, 6_000_000).into_boxed_slice()));
    let store_hangs = begin(&to, input, &tuning, &engine);
    gate.wait();
    struct Silent(Arc<Gate>);
    impl Read for Silent {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            self.0.pass();
            Ok(0)
        }
    }
    let source = Arc::new(Gate::default());
    let content = io::Cursor::new(noise(2, 1_000_000)).chain(Silent(Arc::clone(&source)));
    let (name, modified) = (b"dump".to_vec(), FileTime::default());
    let input =
        Input::Stream(StreamInput { name, mode: 0o600, modified, reader: Box::new(content) });
    let source_hangs = begin(&memory(), input, &tuning, &engine);
    source.wait();
    // Beside them, others come to their ends, and fail, one after the other and at the same time.
    for round in 0..6_u64 {
        let good = memory();
        let content = noise(10 + round, 2_000_000);
        let input = stream(Box::leak(content.clone().into_boxed_slice()));
        let outcome = begin(&good, input, &tuning, &engine);
        let shaky = Arc::new(outlast_store::Faulty::new(Arc::new(MemoryStore::new())));
        let to = Arc::new(repository(shaky.clone(), Version::V2));
        // After the key and the configuration.
        shaky.script(Verb::Create, 3 + round, outlast_store::faulty::Fault::Full);
        let input = stream(Box::leak(noise(20 + round, 2_000_000).into_boxed_slice()));
        let failed = begin(&to, input, &tuning, &engine);
        let outcome = outcome.recv_timeout(LATE).expect("it comes to its end").unwrap();
        assert_eq!(contents(&good, outcome.snapshot.tree)["dump.sql"].1, content);
        let error = failed.recv_timeout(LATE).expect("it ends").unwrap_err();
        assert!(error.to_string().contains("is full"), "{error}");
    }
    assert!(store_hangs.try_recv().is_err() && source_hangs.try_recv().is_err());
    gate.open();
    source.open();
    let ends = [store_hangs, source_hangs].map(|it| it.recv_timeout(LATE).expect("it ends"));
    assert_eq!(ends.map(|outcome| outcome.unwrap().stats.bytes), [6_000_000, 1_000_000]);
    assert!(engine.is_whole(), "{engine:?}");
}

#[test]
fn the_content_of_all_together_takes_no_more_room_than_there_is() {
    /// Counts the bytes of packs that are on their way.
    struct Counting(MemoryStore, Arc<Mutex<(usize, usize)>>);
    impl Store for Counting {
        fn location(&self) -> String {
            self.0.location()
        }

        fn create(&self, object: &Object, content: Bytes) -> Result<(), StoreError> {
            let length = content.len();
            let change = |more: isize| {
                let mut bytes = self.1.lock().unwrap();
                bytes.0 = bytes.0.saturating_add_signed(more);
                bytes.1 = bytes.1.max(bytes.0);
            };
            if let Object::Data(_) = object {
                change(length.cast_signed());
                (0..50).for_each(|_| thread::yield_now());
                change(-length.cast_signed());
            }
            self.0.create(object, content)
        }

        fn read(&self, object: &Object) -> Result<Bytes, StoreError> {
            self.0.read(object)
        }

        fn read_range(
            &self,
            object: &Object,
            offset: u64,
            length: usize,
        ) -> Result<Bytes, StoreError> {
            self.0.read_range(object, offset, length)
        }

        fn size(&self, object: &Object) -> Result<u64, StoreError> {
            self.0.size(object)
        }

        fn list(&self, kind: ObjectKind) -> Result<Vec<(Object, u64)>, StoreError> {
            self.0.list(kind)
        }

        fn remove(&self, object: &Object) -> Result<(), StoreError> {
            self.0.remove(object)
        }
    }
    let tuning = scarce(2, 3);
    let engine = Engine::shared(8, &tuning);
    let counted = Arc::<Mutex<(usize, usize)>>::default();
    let begun: Vec<_> = (0..8_u64)
        .map(|n| {
            let store = Counting(MemoryStore::new(), Arc::clone(&counted));
            let to = Arc::new(repository(Arc::new(store), Version::V2));
            let input = stream(Box::leak(noise(n, 3_000_000).into_boxed_slice()));
            begin(&to, input, &tuning, &engine)
        })
        .collect();
    for outcome in begun {
        outcome.recv_timeout(LATE).expect("it comes to its end").unwrap();
    }
    let most = counted.lock().unwrap().1;
    assert!(most > 0 && most <= engine.room_bytes(), "{most} of {}", engine.room_bytes());
    assert!(engine.is_whole());
}
