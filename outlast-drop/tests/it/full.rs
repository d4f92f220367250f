//! A share that is full, and one that is read-only.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use outlast_drop::{Content, DropState, DropWriter, ScanMemory, Share, WriterOptions, scan};
use outlast_types::{Clock, SystemClock, SystemRandom};

use crate::support::{options, read_all, workload, writer};

/// A small file system in memory; unmounted when dropped.
struct SmallMount(tempfile::TempDir);

impl SmallMount {
    /// `None` where this process may not mount.
    fn new() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let mounted = mount(&["-t", "tmpfs", "-o", "size=1m", "tmpfs"], directory.path());
        if !mounted {
            println!("not tested: this process may not mount a tmpfs");
        }
        mounted.then(|| Self(directory))
    }

    fn share(&self) -> PathBuf {
        self.0.path().join("share")
    }
}

impl Drop for SmallMount {
    fn drop(&mut self) {
        assert!(Command::new("umount").arg(self.0.path()).status().unwrap().success());
    }
}

fn mount(arguments: &[&str], at: &Path) -> bool {
    let output = Command::new("mount").args(arguments).arg(at).output();
    output.is_ok_and(|output| output.status.success())
}

#[test]
fn a_full_share_is_named_with_the_next_step_and_nothing_is_sealed() {
    let Some(small) = SmallMount::new() else { return };
    let share = Share::init(&small.share(), &SystemClock, &SystemRandom).unwrap();
    let good = crate::support::sealed_stream(&share, &[1; 5000], None);
    let mut writer = writer(&share, Content::Tree, options(100_000, None));
    let error = writer.write_all(&[7; 2 << 20]).and_then(|()| writer.flush()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    let message = error.to_string();
    for expected in
        [small.share().to_str().unwrap(), "free space on the share", "nothing was sealed"]
    {
        assert!(message.contains(expected), "{message}");
    }
    writer.seal(&SystemClock).unwrap_err();
    let seen = scan(&share, &mut ScanMemory::default(), SystemClock.now()).unwrap();
    let sealed = |state: &DropState| matches!(state, DropState::Sealed(_));
    assert_eq!(seen.workloads[0].sightings.iter().filter(|s| sealed(&s.state)).count(), 1);
    assert_eq!(read_all(&share, &good).unwrap(), [1; 5000]);
}

#[test]
fn a_read_only_share_is_named_with_the_next_step_and_can_be_read() {
    let Some(small) = SmallMount::new() else { return };
    let share = Share::init(&small.share(), &SystemClock, &SystemRandom).unwrap();
    let good = crate::support::sealed_stream(&share, &[1; 5000], None);
    assert!(mount(&["-o", "remount,ro"], small.0.path()));
    let message = DropWriter::create(
        &share,
        &workload("shop-db"),
        Content::Tree,
        Default::default(),
        WriterOptions::default(),
        &SystemClock,
        &SystemRandom,
    )
    .unwrap_err()
    .to_string();
    let path = small.share();
    assert!(message.contains("mount the share writable"), "{message}");
    assert!(message.contains(path.to_str().unwrap()), "{message}");
    assert_eq!(read_all(&share, &good).unwrap(), [1; 5000]);
}
