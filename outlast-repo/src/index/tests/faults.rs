//! Kills, several processes at once, and time.

use std::collections::HashMap;
use std::thread;

use super::*;

/// The files of a directory, by name.
fn content_of(directory: &Path) -> HashMap<PathBuf, Vec<u8>> {
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    files.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

#[test]
fn a_kill_at_any_step_of_a_merge_costs_nothing() {
    let world = World::new();
    let mut earlier = HashMap::new();
    for number in 0..8 {
        world.write(one_pack(number, number * 10..number * 10 + 10), Notes::default());
        let before = if number == 0 { HashMap::new() } else { content_of(&world.directory()) };
        world.open().index().unwrap();
        let merged = before.keys().any(|path| !path.exists());
        earlier = before;
        if merged {
            break;
        }
    }
    let removed: Vec<_> = earlier.iter().filter(|(path, _)| !path.exists()).collect();
    assert!(removed.len() > 1, "the last opening merged");
    let blobs = world.open().index().unwrap().count_blobs().unwrap();
    // Killed before any, some, or all of the sources were removed; and while a run was written.
    for kept in 0..=removed.len() {
        for (path, content) in &removed[..kept] {
            outlast_fs::durable::replace(path, content, 0o600).unwrap();
        }
        let torn = world.directory().join(".outlast-tmp-1-2-3");
        outlast_fs::durable::replace(&torn, b"half a run", 0o600).unwrap();
        let repository = world.open();
        let index = repository.index().unwrap();
        assert_eq!((index.count_blobs().unwrap(), index.problems().len()), (blobs, 0));
        assert!(removed.iter().all(|(path, _)| !path.exists()) && !torn.exists());
    }
}

#[test]
fn many_at_once_on_one_cache_find_what_they_stored_and_never_anything_else() {
    let world = World::new();
    thread::scope(|scope| {
        for worker in 0..4_u16 {
            let world = &world;
            scope.spawn(move || {
                for round in 0..6 {
                    let number = worker * 10 + round;
                    let repository = world.open();
                    let index = repository.index().unwrap();
                    let ids = number * 10..number * 10 + 10;
                    let blobs: Vec<_> = ids.clone().map(|id| (false, id)).collect();
                    let entries = entries_of(&blobs);
                    index.add_unsaved(UnsavedPack { id: pack(number), size: 1, entries });
                    index.save(repository.opened(), AVERAGE, &SystemRandom).unwrap();
                    let earlier = worker * 100..number * 10 + 10;
                    assert_eq!(knows(index, earlier.clone()), earlier.len());
                    assert_eq!(knows(index, 1000..1100), 0);
                }
            });
        }
    });
    let repository = world.open();
    assert_eq!(repository.index().unwrap().count_blobs().unwrap(), 240);
}

#[test]
fn lookups_go_on_while_packs_are_added_and_saved() {
    let world = World::new();
    let repository = world.open();
    let index = repository.index().unwrap();
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for number in 0..30_u16 {
                let blobs: Vec<_> = (number * 10..number * 10 + 10).map(|id| (false, id)).collect();
                let entries = entries_of(&blobs);
                index.add_unsaved(UnsavedPack { id: pack(number), size: 1, entries });
                // What was once known is known for ever, on the heap or on disk.
                assert_eq!(knows(index, 0..number * 10 + 10), usize::from(number * 10 + 10));
                if number % 3 == 0 {
                    index.save(repository.opened(), AVERAGE, &SystemRandom).unwrap();
                }
            }
        });
        scope.spawn(move || {
            let mut most = 0;
            while !writer.is_finished() {
                let known = knows(index, 0..300);
                assert!(known >= most, "{known} after {most}");
                most = known;
            }
        });
    });
    assert_eq!(knows(index, 0..300), 300);
}

#[test]
fn a_directory_that_cannot_be_used_is_named_and_known_for_the_caches() {
    let world = World::new();
    let file = world.cache.path().join("a file");
    outlast_fs::durable::replace(&file, b"", 0o600).unwrap();
    let credential = Credential::Key(world.made.key().clone());
    let repository = Repository::open(world.store.clone(), credential).unwrap().cached_in(&file);
    let error = repository.index().unwrap_err();
    let message = error.to_string();
    assert!(message.contains("a file"), "{message}");
    // Whoever knows the command line finds out that another directory for the cache helps.
    assert!(matches!(error.cache(), Some(CacheError::Io { .. })), "{error:?}");
}

#[test]
fn what_nobody_opened_for_long_is_removed_unless_it_is_in_use() {
    let (world, unused, used) = (World::new(), World::new(), World::new());
    let mut kept_open = Vec::new();
    for other in [&unused, &used] {
        other.write(one_pack(1, 0..100), Notes::default());
        let credential = Credential::Key(other.made.key().clone());
        let repository = Repository::open(other.store.clone(), credential).unwrap();
        let repository = repository.cached_in(world.cache.path());
        repository.index().unwrap();
        let id = repository.config().id.to_string();
        let directory = world.cache.path().join(id).join("index");
        let lock = fs::File::options().write(true).open(directory.join("lock")).unwrap();
        let days = std::time::Duration::from_secs(61 * 24 * 60 * 60);
        lock.set_modified(lock.metadata().unwrap().modified().unwrap() - days).unwrap();
        kept_open.push((repository, directory));
    }
    let (closed, gone) = kept_open.remove(0);
    drop(closed);
    let (_still_open, stays) = kept_open.remove(0);
    // As if the last look for such directories had been days ago.
    fs::remove_file(world.cache.path().join("looked")).unwrap();
    world.open().index().unwrap();
    let names = |directory: &Path| fs::read_dir(directory).unwrap().count();
    assert_eq!((names(&gone), names(&stays)), (1, 2), "the locks stay");
    let credential = Credential::Key(unused.made.key().clone());
    let again = Repository::open(unused.store.clone(), credential).unwrap();
    let again = again.cached_in(world.cache.path());
    assert_eq!(knows(again.index().unwrap(), 0..100), 100);
}
