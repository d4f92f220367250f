//! A directory on a file server that fails and crashes: what an index says is there stays there.

use std::collections::BTreeMap;

use outlast_testing::hostile::{Fault, Habits, Hostile, Planned, Verb};
use rustix::io::Errno;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Create {
        object: Object,
        in_pieces: bool,
    },
    Fault(Planned),
    /// The process dies, and another one opens the repository.
    Restart,
}

/// Few, so that one is often there already, in few directories.
fn object() -> impl Strategy<Value = Object> {
    let kind = prop_oneof![3 => Just(Kind::Data), 2 => Just(Kind::Index)];
    (kind, 0_u8..3, 0_u8..3).prop_map(|(kind, shard, byte)| {
        let mut name = [byte; 32];
        name[0] = shard;
        Object::new(kind, name)
    })
}

fn step() -> impl Strategy<Value = Step> {
    let errno = || prop::sample::select(vec![Errno::IO, Errno::NOSPC]);
    let fault = prop_oneof![
        1 => errno().prop_map(Fault::Fails),
        2 => errno().prop_map(Fault::DoneButFails),
        1 => Just(Fault::ReplyLost),
    ];
    let verbs = [Verb::MakeDirectory, Verb::Create, Verb::Write, Verb::Sync, Verb::Rename];
    let planned = (prop::sample::select(verbs.to_vec()), 1_u32..4, fault)
        .prop_map(|(verb, nth, fault)| Planned { verb, nth, fault });
    prop_oneof![
        6 => (object(), any::<bool>())
            .prop_map(|(object, in_pieces)| Step::Create { object, in_pieces }),
        3 => planned.prop_map(Step::Fault),
        1 => Just(Step::Restart),
    ]
}

fn content_of(object: &Object) -> Bytes {
    Bytes::from(format!("{object}"))
}

/// Whether who brings an object hears that it is there.
fn is_told(store: &DirectoryStore, object: &Object, in_pieces: bool) -> bool {
    let content = content_of(object);
    if !in_pieces {
        return create_or_find(store, object, content).is_ok();
    }
    let published = store.stage(object).and_then(|mut staged| {
        staged.write(&content)?;
        staged.publish()
    });
    matches!(published, Ok(()) | Err(StoreError::AlreadyExists { .. }))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..outlast_testing::cases(100) })]

    #[test]
    fn what_an_index_was_published_for_outlives_a_crash(
        seed in any::<u64>(),
        steps in prop::collection::vec(step(), 1..30),
    ) {
        let place = tempfile::tempdir().unwrap();
        let server = Hostile::new(Habits::default(), seed);
        let Some(mounted) = server.mount(place.path()).unwrap() else { return Ok(()) };
        let root = place.path().join("repo");
        let mut store = DirectoryStore::create_layout(&root).unwrap();
        store.create(&Object::Config, Bytes::from_static(b"config")).unwrap();
        let mut packs = BTreeMap::new();
        let mut promised = BTreeMap::new();
        for step in steps {
            match step {
                Step::Create { object, in_pieces } => {
                    if !is_told(&store, &object, in_pieces) {
                        continue;
                    }
                    let content = content_of(&object);
                    if object.kind() == Kind::Data {
                        packs.insert(object, content);
                    } else {
                        promised.extend(packs.clone());
                        promised.insert(object, content);
                    }
                }
                Step::Fault(planned) => mounted.plan(planned),
                Step::Restart => {
                    mounted.heal();
                    store = DirectoryStore::open(&root).unwrap();
                    // What is found is built on.
                    let found = store.list(Kind::Index).unwrap();
                    let found = found.into_iter().map(|(object, _)| object);
                    promised.extend(found.map(|object| (object, content_of(&object))));
                }
            }
        }
        mounted.heal();
        server.crash();
        for (object, content) in &promised {
            let read = store.read(object).ok();
            prop_assert_eq!(read.as_ref(), Some(content), "{} is lost", object);
        }
    }
}

#[test]
fn what_is_here_without_being_durable_is_durable_when_it_is_kept() {
    let object = Object::new(Kind::Data, name(1));
    for seed in 0..8 {
        let place = tempfile::tempdir().unwrap();
        let server = Hostile::new(Habits::default(), seed);
        let Some(mounted) = server.mount(place.path()).unwrap() else { return };
        let store = DirectoryStore::create_layout(&place.path().join("repo")).unwrap();
        store.create(&Object::Config, Bytes::from_static(b"config")).unwrap();
        let staged = store.stage(&object).unwrap();
        // That of the file, and that of its name.
        mounted.plan(Planned { verb: Verb::Sync, nth: 2, fault: Fault::Fails(Errno::IO) });
        staged.publish().unwrap_err();
        assert_eq!(store.size(&object).unwrap(), 0, "it has its name");
        store.keep(&object).unwrap();
        server.crash();
        assert_eq!(store.size(&object).unwrap(), 0, "seed {seed}");
    }
}
