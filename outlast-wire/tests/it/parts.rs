//! Objects that come in parts, over the wire.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use outlast_store::{Kind, MemoryStore, Object, Store, StoreError};
use outlast_wire::client::{ObjectPart, PartTaken};
use outlast_wire::server::Limits;
use outlast_wire::{RestStore, Role};

use crate::support::{World, name_of};

const MIB: usize = 1 << 20;

fn part(offset: usize, size: usize, content: &[u8]) -> ObjectPart {
    let content = Bytes::copy_from_slice(content);
    ObjectPart { offset: offset as u64, size: size as u64, content, within: None }
}

fn send(
    store: &RestStore,
    object: &Object,
    whole: &[u8],
    from: usize,
    until: usize,
) -> Result<PartTaken, StoreError> {
    store.send_part(object, part(from, whole.len(), &whole[from..until]), |_| ())
}

#[test]
fn an_object_comes_in_parts_and_who_is_lost_is_told_where_it_goes_on() {
    let world = World::new();
    let kept = Arc::new(MemoryStore::new());
    let server = world.server_of(kept.clone(), Limits::default());
    let store = world.store(&server, Role::Operator);
    let whole: Vec<u8> = (0..251_u8).cycle().take(5 * MIB / 2).collect();
    let object = Object::new(Kind::Data, name_of(&whole));
    let go_on = |at: usize| Ok::<_, String>(PartTaken::GoOn(at as u64));
    let send = |from, until| send(&store, &object, &whole, from, until).map_err(|e| e.to_string());
    assert_eq!(send(0, 0), go_on(0), "a question begins nothing");
    assert_eq!(send(MIB, 2 * MIB), go_on(0), "nothing of it is here");
    assert_eq!(send(0, MIB), go_on(MIB));
    assert_eq!(send(0, MIB), go_on(MIB), "it came already");
    assert_eq!(send(2 * MIB, whole.len()), go_on(MIB), "there is a gap");
    assert_eq!(send(MIB, MIB), go_on(MIB));
    // Another peer's attempt is its own.
    let other = world.named(Role::Operator, "other");
    let other = RestStore::open(&server.repository(), Some(&other)).unwrap();
    let taken = other.send_part(&object, part(MIB, whole.len(), b"junk"), |_| ()).unwrap();
    assert_eq!(taken, PartTaken::GoOn(0));
    assert_eq!(send(MIB, 2 * MIB), go_on(2 * MIB));
    assert!(kept.list(Kind::Data).unwrap().is_empty(), "nothing is there before all of it is");
    assert_eq!(send(2 * MIB, whole.len()), Ok(PartTaken::Whole));
    assert_eq!(kept.read(&object).unwrap(), whole);
    // Once more, in one.
    let error = store.send_part(&object, part(0, whole.len(), &whole), |_| ()).unwrap_err();
    assert!(matches!(error, StoreError::AlreadyExists { .. }), "{error}");
}

#[test]
fn what_cannot_be_a_part_is_refused_and_what_hashes_to_no_name_is_forgotten() {
    let world = World::new();
    let kept = Arc::new(MemoryStore::new());
    let server = world.server_of(kept.clone(), Limits::default());
    let store = world.store(&server, Role::Operator);
    let whole = vec![7; 1000];
    let object = Object::new(Kind::Index, name_of(&whole));
    let refused = |part: ObjectPart, words: &str| {
        let error = store.send_part(&object, part, |_| ()).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    };
    refused(part(1001, 1000, b""), "within the size");
    refused(part(0, 0, b""), "within the size");
    refused(part(0, 1 << 40, b"x"), "at most");
    refused(part(0, 10, b"much too long"), "beyond the end");
    assert_eq!(send(&store, &object, &whole, 0, 500).unwrap(), PartTaken::GoOn(500));
    refused(part(500, 1000, &[8; 500]), "another SHA-256");
    assert!(kept.list(Kind::Index).unwrap().is_empty());
    let waited = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&waited);
    let turn = move |bytes| {
        counted.fetch_add(bytes, Ordering::Relaxed);
    };
    let taken = store.send_part(&object, part(0, 1000, &whole), turn).unwrap();
    assert_eq!((taken, waited.load(Ordering::Relaxed)), (PartTaken::Whole, 1000));
}
