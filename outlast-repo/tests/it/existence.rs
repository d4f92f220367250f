//! A name is no content: what an index or a cache names is asked for its size before a backup relies
//! on it.

use std::sync::Arc;

use bytes::Bytes;
use outlast_format::config::Version;
use outlast_store::{Kind, Object, Store};

use crate::prune::world::World;

const SEEDS: [u64; 9] = [1, 2, 3, 4, 5, 6, 7, 8, 9];

/// Leaves `part` of each object of a kind, in eighths; all of it goes with none left.
fn cut_off(world: &World, kind: Kind, part: usize) {
    for (object, _) in world.store.list(kind).unwrap() {
        let content = world.store.read(&object).unwrap();
        world.store.overwrite(&object, content.slice(..content.len() * part / 8));
    }
}

fn read_alone(world: &World, seeds: &[u64], newest: outlast_format::SnapshotId) {
    // The older ones are lost with the packs.
    world.expected.lock().unwrap().retain(|id, _| *id == newest);
    assert_eq!(world.expected.lock().unwrap()[&newest], seeds);
    let repository = world.open();
    let found = outlast_repo::read::snapshots(&repository).unwrap();
    let (_, snapshot) = found.list.iter().find(|(id, _)| *id == newest).unwrap();
    crate::prune::world::assert_holds(&repository, snapshot, seeds);
}

#[test]
fn what_lay_in_packs_that_were_cut_off_or_are_gone_is_stored_anew_and_only_once() {
    for part in [0, 1, 4, 7] {
        let world = World::new(Version::V2);
        world.back_up(&SEEDS);
        cut_off(&world, Kind::Data, part);
        let newest = world.back_up(&SEEDS);
        read_alone(&world, &SEEDS, newest);
        let packs = world.count(Kind::Data);
        let newest = world.back_up(&SEEDS);
        assert_eq!(world.count(Kind::Data), packs, "{part}/8: found where it was stored anew");
        read_alone(&world, &SEEDS, newest);
    }
    let world = World::new(Version::V2);
    world.back_up(&SEEDS);
    for (object, _) in world.store.list(Kind::Data).unwrap() {
        world.store.remove(&object).unwrap();
    }
    let newest = world.back_up(&SEEDS);
    read_alone(&world, &SEEDS, newest);
}

#[test]
fn a_repository_that_was_opened_before_notices_it_too() {
    let world = World::new(Version::V2);
    let repository = world.open();
    world.back_up_with(&repository, &SEEDS).unwrap();
    cut_off(&world, Kind::Data, 3);
    let newest = world.back_up_with(&repository, &SEEDS).unwrap();
    read_alone(&world, &SEEDS, newest);
}

#[test]
fn bytes_that_were_added_to_a_pack_cost_nothing() {
    let world = World::new(Version::V2);
    world.back_up(&SEEDS);
    let packs = world.store.list(Kind::Data).unwrap();
    for (object, _) in &packs {
        let longer = [&world.store.read(object).unwrap()[..], b"x"].concat();
        world.store.overwrite(object, longer.into());
    }
    world.back_up(&SEEDS);
    assert_eq!(world.count(Kind::Data), packs.len());
    world.assert_readable();
}

#[test]
fn an_index_file_that_was_cut_off_is_none_though_a_cache_knows_what_it_said() {
    let cache = tempfile::tempdir().unwrap();
    let world = World::new(Version::V2);
    let open = || world.open().cached_in(cache.path());
    world.back_up_with(&open(), &SEEDS).unwrap();
    cut_off(&world, Kind::Index, 4);
    world.back_up_with(&open(), &SEEDS).unwrap();
    // Whoever has no such cache reads it all.
    world.assert_readable();
}

#[test]
fn one_that_is_cut_off_while_the_repository_is_open_is_none_either() {
    let world = World::new(Version::V2);
    let repository = world.open();
    world.back_up_with(&repository, &SEEDS).unwrap();
    cut_off(&world, Kind::Index, 0);
    for _ in 0..2 {
        world.back_up_with(&repository, &SEEDS).unwrap();
    }
    world.assert_readable();
}

#[test]
fn a_torn_object_under_the_name_of_a_snapshot_is_not_taken_for_it() {
    let world = World::new(Version::V2);
    let repository = world.open();
    let outcome = world.store_with(&repository, &SEEDS).unwrap();
    let object = Object::Snapshot(outcome.snapshot_id);
    let store: Arc<dyn Store> = world.store.clone();
    store.create(&object, Bytes::from_static(b"torn")).unwrap();
    outlast_repo::backup::publish(&repository, &outcome).unwrap_err();
}
