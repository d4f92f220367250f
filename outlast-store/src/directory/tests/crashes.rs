//! A directory on a file server that fails and crashes: what an index says is there stays there.

use std::collections::BTreeMap;

use outlast_testing::hostile::{Fault, Habits, Hostile, Planned, Verb};
use rustix::io::Errno;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Create(Object),
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
        6 => object().prop_map(Step::Create),
        3 => planned.prop_map(Step::Fault),
        1 => Just(Step::Restart),
    ]
}

fn content_of(object: &Object) -> Bytes {
    Bytes::from(format!("{object}"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

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
                Step::Create(object) => {
                    let content = content_of(&object);
                    if create_or_find(&store, &object, content.clone()).is_err() {
                        continue;
                    }
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
