//! Somebody with access to the share swaps directories of ours for links while we work in them.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use outlast_drop::{Content, DropAddress, ReceiptState, receipt as receipts};
use outlast_types::{DropId, SystemClock, SystemRandom};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::support::{new_share, options, receipt, sealed_stream, writer};

#[test]
fn receipts_never_land_outside_the_share_whoever_swaps_their_directory_for_a_link() {
    let (directory, share) = new_share();
    let address = sealed_stream(&share, b"x", None);
    let home = share.workload_directory(&address.workload);
    let outside = directory.path().join("outside");
    let (real, link) = (home.join("receipts"), home.join("link"));
    fs::create_dir(&outside).unwrap();
    fs::create_dir(&real).unwrap();
    symlink(&outside, &link).unwrap();
    let done = AtomicBool::new(false);
    let swaps = AtomicU32::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                renameat_with(CWD, &real, CWD, &link, RenameFlags::EXCHANGE).unwrap();
                swaps.fetch_add(1, Ordering::Relaxed);
            }
        });
        let mut writes = 0;
        while writes < 300 || swaps.load(Ordering::Relaxed) < 2000 {
            writes += 1;
            let drop = DropId::new(&SystemClock, &SystemRandom);
            let address = DropAddress { drop, ..address.clone() };
            // Refused whenever the link is in its place.
            let _ = receipts::write(&share, &receipt(&share, &address, ReceiptState::Accepted));
        }
        done.store(true, Ordering::Relaxed);
    });
    let found = fs::read_dir(&outside).unwrap().count();
    assert_eq!(found, 0, "files of ours in a directory of somebody else's");
}

#[test]
fn a_writer_whose_directory_was_swapped_for_a_link_writes_nothing_there_and_does_not_seal() {
    let (directory, share) = new_share();
    let outside = directory.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let mut writer = writer(&share, Content::Tree, options(10, None));
    writer.write_all(&[1; 15]).unwrap();
    let place = share.drop_directory(writer.address());
    let away = place.with_file_name("away");
    rustix::fs::rename(&place, &away).unwrap();
    symlink(&outside, &place).unwrap();
    writer.write_all(&[2; 50]).unwrap();
    // Signs of life go where the writer is, too.
    let deadline = Instant::now() + Duration::from_secs(120);
    let beats = || {
        let names = fs::read_dir(&away).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().starts_with("beat.")).count()
    };
    while beats() == 0 {
        assert!(Instant::now() < deadline, "no sign of life");
        std::thread::sleep(Duration::from_millis(1));
    }
    writer.seal(&SystemClock).unwrap_err();
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    assert!(!away.join("sealed.json").exists());
}
