//! kill -9 of a writer at every step: no seal unless the drop is complete.

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use outlast_drop::{Content, DropState, ScanMemory, Share, WriterOptions, scan};
use outlast_fs::fault::DIE_AT;
use outlast_types::{Clock, SystemClock};

use crate::support::{new_share, options, read_all, writer};

const SHARE_VARIABLE: &str = "OUTLAST_TEST_WRITE_TO";
const CONTENT_BYTES: usize = 300_000;
const SIGKILL: i32 = 9;

/// The writer that is killed: the test below, as a process of its own.
fn write_one(share: &OsStr) {
    let share = Share::open(Path::new(share)).unwrap();
    // No signs of life: with them, the number of steps would depend on the time.
    let hour = Duration::from_secs(3600);
    let options = WriterOptions { beat_interval: hour, ..options(100_000, None) };
    let mut writer = writer(&share, Content::Tree, options);
    for block in outlast_testing::pseudo_random(1, CONTENT_BYTES).chunks(7000) {
        writer.write_all(block).unwrap();
    }
    writer.seal(&SystemClock).unwrap();
}

#[test]
fn a_writer_killed_at_any_step_leaves_a_complete_drop_or_a_leftover_and_nothing_between() {
    if let Some(share) = std::env::var_os(SHARE_VARIABLE) {
        return write_one(&share);
    }
    let (_directory, share) = new_share();
    let itself = "killed::a_writer_killed_at_any_step_leaves_a_complete_drop_or_a_leftover_and_\
                  nothing_between";
    let mut strikes = 0;
    loop {
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", itself])
            .env(SHARE_VARIABLE, share.path())
            .env(DIE_AT, format!("{} {}", strikes + 1, share.path().display()))
            .stdout(Stdio::null())
            .status()
            .unwrap();
        if status.success() {
            break;
        }
        assert_eq!(status.signal(), Some(SIGKILL), "strike {strikes}: {status}");
        strikes += 1;
    }
    let seen = scan(&share, &mut ScanMemory::default(), SystemClock.now()).unwrap();
    let (mut sealed, mut leftovers) = (0, 0);
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
    // Struck before, while and after content was written and sealed.
    assert!(strikes >= 15 && leftovers >= 8, "{strikes} strikes left {leftovers} leftovers");
    assert!((2..strikes).contains(&sealed), "{sealed} of {strikes} were complete");
}
