//! Directories of `pg_dump` in a tree.
#![expect(clippy::disallowed_methods, reason = "tests that cut files off")]

use std::fs;

use outlast_fs::EntrySource;

use super::real::Postgres;
use super::*;
use crate::sanity::ExaminedTree;
use crate::tar::{TarLimits, TarSource};

/// What is found of a directory, as GNU tar packs it.
fn found(directory: &Path) -> Sanity {
    let archive = piped("tar", &["-c", "--sort=name", "-C", directory.to_str().unwrap(), "."], b"");
    let mut tree = ExaminedTree::new(TarSource::new(&archive[..], TarLimits::default()));
    let watch = tree.watch();
    let mut buffer = [0; 1000];
    while tree.next_entry().unwrap().is_some() {
        while tree.read(&mut buffer).unwrap() > 0 {}
    }
    watch.verdict().unwrap()
}

/// Every file of a dump cut off at every fiftieth of its length, and taken away.
#[test]
fn a_directory_is_refused_if_any_of_its_files_is_cut_or_missing() {
    let server = Postgres::start();
    for (name, arguments) in [("packed", &["-Fd", "-j2"][..]), ("plain", &["-Fd", "-Z0"])] {
        let scratch = tempfile::tempdir().unwrap();
        let dump = server.directory.path().join(name);
        let mut all = arguments.to_vec();
        all.extend(["-f", dump.to_str().unwrap()]);
        server.dump("pg_dump", &all);
        let copy = scratch.path().join("shop");
        assert!(Command::new("cp").arg("-r").arg(&dump).arg(&copy).status().unwrap().success());
        fs::write(scratch.path().join("notes.sql"), b"-- PostgreSQL database dump\n").unwrap();
        let whole = found(scratch.path());
        assert_eq!(
            (&whole.verdict, &whole.kind),
            (&Verdict::Sound, &ContentKind::PgDumpDirectory),
            "{whole}"
        );
        assert!(whole.entries.is_some_and(|entries| entries > 3));
        let files: Vec<PathBuf> =
            fs::read_dir(&copy).unwrap().map(|it| it.unwrap().path()).collect();
        assert!(files.len() >= 4);
        for file in files {
            let content = fs::read(&file).unwrap();
            for part in 0..50 {
                fs::write(&file, &content[..content.len() * part / 50]).unwrap();
                let verdict = found(scratch.path()).verdict;
                let shown = file.display();
                // Large objects that are not packed have no end of their own, and an empty list or
                // table of contents says nothing.
                let has_no_end = name == "plain" && shown.to_string().contains("blob_");
                let is_nothing = part == 0 || content.len() * part / 50 == 0;
                let is_contents = file.ends_with("toc.dat") && content.len() * part / 50 < 11;
                if !(has_no_end || is_nothing || is_contents) {
                    assert_eq!(verdict, Verdict::Broken, "{shown} cut at {part}/50");
                }
            }
            fs::remove_file(&file).unwrap();
            let gone = found(scratch.path());
            let expected =
                if file.ends_with("toc.dat") { Verdict::Unknown } else { Verdict::Broken };
            assert_eq!(gone.verdict, expected, "{} is gone: {gone}", file.display());
            fs::write(&file, &content).unwrap();
        }
        assert_eq!(found(scratch.path()), whole);
    }
}

#[test]
fn the_files_of_other_trees_are_their_own() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a.sql.gz"), b"\x1f\x8b\x08").unwrap();
    fs::write(directory.path().join("toc.dat"), b"a table of contents").unwrap();
    fs::write(directory.path().join("2024.dat.gz"), b"\x1f\x8b\x08").unwrap();
    let found = found(directory.path());
    assert_eq!((found.verdict, found.entries), (Verdict::Unknown, Some(3)));
}
