//! kill -9 of a writer at any point: no seal unless the drop is complete.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use outlast_drop::{ClosedDays, Content, DropState, Share, scan};
use outlast_types::{Clock, SystemClock};

use crate::support::{new_share, options, read_all, writer};

const SHARE_VARIABLE: &str = "OUTLAST_TEST_WRITE_TO";
const CONTENT_BYTES: usize = 300_000;

/// Not a test by itself: the writer that the test below starts and kills.
#[test]
fn child_writer() {
    let Some(path) = std::env::var_os(SHARE_VARIABLE) else { return };
    let share = Share::open(&PathBuf::from(path)).unwrap();
    loop {
        let mut writer = writer(&share, Content::Tree, options(20_000, None));
        for block in outlast_testing::pseudo_random(1, CONTENT_BYTES).chunks(7000) {
            writer.write_all(block).unwrap();
        }
        writer.seal(&SystemClock).unwrap();
    }
}

#[test]
fn a_killed_writer_leaves_complete_drops_and_leftovers_and_nothing_between() {
    let (_directory, share) = new_share();
    let mut leftovers = 0;
    for round in 0..15_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "killed::child_writer"])
            .env(SHARE_VARIABLE, share.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // Not to wait for something, but to die at a different point every time.
        std::thread::sleep(Duration::from_millis(20 + round * 13 % 97));
        child.kill().unwrap();
        child.wait().unwrap();
        let _still_there = writer(&share, Content::Tree, options(10, None));
    }
    let seen = scan(&share, &mut ClosedDays::default(), SystemClock.now()).unwrap();
    let mut sealed = 0;
    for sighting in &seen.workloads[0].sightings {
        match &sighting.state {
            DropState::Sealed(seal) => {
                assert_eq!(seal.raw_bytes, CONTENT_BYTES as u64);
                let content = read_all(&share, &sighting.address).unwrap();
                assert!(content == outlast_testing::pseudo_random(1, CONTENT_BYTES));
                sealed += 1;
            }
            state => {
                assert!(state.may_heal(), "{state:?}");
                leftovers += 1;
            }
        }
    }
    println!("{sealed} drops were complete, {leftovers} were not");
    assert!(leftovers >= 15);
}
