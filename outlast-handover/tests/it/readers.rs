//! A product that lists, waits, and opens by path, while drops come and go.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use outlast_handover::inbox::{self, Word};
use outlast_handover::lease::{self, Beginning};
use outlast_handover::{JobFacts, Layout, Rules, intake};

use crate::support::World;

/// Appearances. Each but the newest leaves, too.
const ROUNDS: usize = 1000;

/// Reads everything as a backup client does: one list first, and then each file by its path, some time later.
fn walk(directory: &Path) -> Result<Vec<(PathBuf, String)>, String> {
    let mut listed = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(path) = open.pop() {
        for entry in
            std::fs::read_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?
        {
            let entry = entry.map_err(|error| error.to_string())?;
            match entry.file_type().map_err(|error| error.to_string())?.is_dir() {
                true => open.push(entry.path()),
                false => listed.push(entry.path()),
            }
        }
    }
    // What it sleeps is what comes and goes in between.
    std::thread::sleep(Duration::from_millis(3));
    let read = |path: PathBuf| {
        let content =
            std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok((path, String::from_utf8(content).unwrap()))
    };
    listed.into_iter().map(read).collect()
}

/// The content of a file says to which drop it belongs.
fn check(read: &[(PathBuf, String)]) -> Result<(), String> {
    let by_path: HashMap<&PathBuf, &String> =
        read.iter().map(|(path, text)| (path, text)).collect();
    for (path, content) in read.iter().filter(|(path, _)| path.ends_with("shop.sql")) {
        let beside = path.with_file_name("outlast-drop.json");
        let manifest = by_path.get(&beside);
        let manifest = manifest.ok_or_else(|| format!("{} came alone", path.display()))?;
        let name = content.lines().next().unwrap_or("");
        if content.lines().count() != 200 || content.lines().any(|line| line != name) {
            return Err(format!("{} is mixed", path.display()));
        }
        if !manifest.contains(&format!("\"size\":{}", content.len())) {
            return Err(format!("{} is not what its manifest says", path.display()));
        }
    }
    Ok(())
}

/// Ends the reader, also when the test fails.
struct AtEnd<'a>(&'a AtomicBool);

impl Drop for AtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_reader_that_lists_and_opens_later_by_path_never_misses_or_mixes_a_file() {
    let world = World::quick(Layout::Plain);
    let world = World { rules: Rules { keep: 1, ..world.rules.clone() }, ..world };
    let desk = world.desk();
    let is_over = AtomicBool::new(false);
    let (place, environment) = (world.place(), world.environment.clone());
    let read_on = || {
        let (mut rounds, mut seen) = (0_u64, 0);
        while !is_over.load(Ordering::Relaxed) {
            let job = JobFacts::of_id(&format!("reader-{rounds}"));
            let length = Duration::from_secs(600);
            let beginning = Beginning { job, stream: 1, streams: None, length };
            let (lease, _) = lease::begin(&place, &beginning, &environment).unwrap();
            let read = walk(place.directory()).and_then(|read| check(&read).map(|()| read.len()));
            seen += read.unwrap_or_else(|error| panic!("in round {rounds}: {error}"));
            let (key, stream) = (lease.key(), lease.stream);
            inbox::put(&place, &Word::Ended { lease, status: 0 }, &environment).unwrap();
            lease::release(&place, &key, stream).unwrap();
            rounds += 1;
            // Between two jobs, what may leave does.
            std::thread::sleep(Duration::from_millis(5));
        }
        (rounds, seen)
    };
    let (rounds, seen) = std::thread::scope(|scope| {
        let reader = scope.spawn(read_on);
        let _end = AtEnd(&is_over);
        let mut left = 0;
        for round in 0..ROUNDS {
            let line = format!("{round}-{}\n", "x".repeat(round % 17));
            world.offer(&desk, &world.stream("shop", line.repeat(200).as_bytes())).unwrap();
            world.run_job(&desk, &format!("job-{round}"));
            left += intake::at(&desk).clear_out().unwrap().len();
            intake::at(&desk).show(None).unwrap();
        }
        // When nobody reads, all that may leave does.
        is_over.store(true, Ordering::Relaxed);
        let read = reader.join().unwrap();
        left += intake::at(&desk).clear_out().unwrap().len();
        assert_eq!(left, ROUNDS - 1);
        read
    });
    assert!(rounds > 50 && seen > 200, "{rounds} rounds saw {seen} files");
}
