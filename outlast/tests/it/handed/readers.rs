//! A product that lists first, sleeps, and opens by path, while drops appear and leave.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use outlast_drop::hash::{Algorithm, Digest};
use outlast_handover::manifest::Manifest;
use outlast_handover::{FileFact, Holds, JobFacts};

use super::site::{Past, quick};
use crate::harness::PATIENCE;

const DROPS: usize = 1000;

/// All files below a directory, as a product lists them before it opens any.
fn list(directory: &Path) -> Vec<PathBuf> {
    let (mut found, mut open) = (Vec::new(), vec![directory.to_owned()]);
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let entry = entry.unwrap();
            match entry.file_type().unwrap().is_dir() {
                true => open.push(entry.path()),
                false => found.push(entry.path()),
            }
        }
    }
    found
}

/// What a job reads, each file by its path: never missing, and as its manifest says.
fn read(directory: &Path, listed: &[PathBuf], seen: &mut BTreeSet<String>) -> Vec<FileFact> {
    let mut facts = Vec::new();
    for path in listed {
        let content = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let parent = path.parent().unwrap();
        if parent == directory {
            continue;
        }
        let manifest = Manifest::read(parent).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        if let Some(entry) = manifest.files.iter().find(|file| file.path == name) {
            let digest = Digest::of(Algorithm::Sha256, &content).digits().as_str().to_owned();
            assert_eq!((digest, content.len() as u64), (entry.sha256.clone(), entry.size));
        } else {
            assert_eq!(name, "outlast-drop.json", "{}", path.display());
        }
        seen.insert(manifest.drop.to_string());
        let modified = path.metadata().unwrap().modified().unwrap();
        let modified = outlast_types::Timestamp::from_system_time(modified).unix_seconds();
        let path = path.strip_prefix(directory).unwrap().to_str().unwrap().to_owned();
        facts.push(FileFact { path, size: content.len() as u64, modified });
    }
    facts
}

#[test]
fn a_reader_by_path_misses_no_file_and_sees_none_changed_while_a_thousand_drops_come_and_go() {
    let (past, root) = (Past::new(), quick());
    let site = past.site(root.path(), "");
    let mut agent = site.start();
    let written = std::thread::scope(|scope| {
        let write = || {
            let drop = |number: usize| {
                let content = format!("content {number} ").repeat(1 + number % 50);
                site.drop(&format!("shop-{}", number % 7), content.as_bytes())
            };
            (0..DROPS).map(drop).collect::<BTreeSet<String>>()
        };
        let writer = scope.spawn(write);
        let (began, mut seen, mut jobs) = (Instant::now(), BTreeSet::new(), 0);
        while seen.len() < DROPS {
            assert!(began.elapsed() < PATIENCE, "{} seen\n{}", seen.len(), agent.words());
            assert!(!agent.has_ended(), "{}", agent.words());
            if !site.place().leases().exists() {
                std::thread::sleep(Duration::from_millis(20));
                continue;
            }
            jobs += 1;
            let job = JobFacts::of_id(&format!("host_{jobs}"));
            let lease = site.begin(&job);
            let listed = list(&site.product);
            std::thread::sleep(Duration::from_millis(100));
            let facts = read(&site.product, &listed, &mut seen);
            site.end(&lease, 0);
            site.say(&job, Holds::Listed(facts));
            // Some time in which drops may leave.
            std::thread::sleep(Duration::from_millis(700));
        }
        let written = writer.join().unwrap();
        assert_eq!(seen, written, "an incremental passed over none");
        written
    });
    assert_eq!(written.len(), DROPS);
    crate::harness::wait_until("all but the newest of each workload have gone", || {
        site.drops().len() <= 7
    });
    agent.stop();
}
