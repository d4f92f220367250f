//! What file servers, desktops and tools leave in every directory that they see.

use std::fs::{self, File};
use std::path::Path;

use outlast_drop::{DropState, ScanMemory, scan, status};
use outlast_types::Timestamp;

use crate::support::{new_share, read_all, sealed_stream};

/// Names that were seen on shares of others; those that end in a slash are directories.
const LEFT_BY_OTHERS: &str = "@eaDir/ @Recycle/ #recycle/ .AppleDouble/ .DS_Store ._shop Thumbs.db \
     desktop.ini lost+found/ .snapshot/ ~snapshot/ .zfs/ .nfs000000000012 .fuse_hidden0000001 \
     .~lock.0001.seg# .0001.seg.Xy12Ab .rsync-tmp/ .smbdelete1234 $RECYCLE.BIN/ .Trash-1000/ \
     .TemporaryItems/";

/// Leaves one of each in `directory`; how many.
fn litter(directory: &Path) -> u64 {
    let names = LEFT_BY_OTHERS.split_whitespace();
    for name in names.clone() {
        let path = directory.join(name.trim_end_matches('/'));
        match name.ends_with('/') {
            true => fs::create_dir(path).unwrap(),
            false => drop(File::create(path).unwrap()),
        }
    }
    names.count() as u64
}

#[test]
fn what_is_not_ours_condemns_no_drop_is_no_problem_and_is_counted() {
    let (_directory, share) = new_share();
    let address = sealed_stream(&share, &[7; 2500], None);
    let drop = share.drop_directory(&address);
    let (day, home) = (drop.parent().unwrap(), share.workload_directory(&address.workload));
    fs::create_dir(home.join("receipts")).unwrap();
    let (workloads, drops, receipts) =
        (share.path().join("w"), home.join("drops"), home.join("receipts"));
    let places = [&drop, day, &drops, &home, &receipts, &workloads, share.path()];
    let each = places.map(litter)[0];
    // Files of any name where only directories count, and any name in a drop.
    for place in [day, &drops, &workloads] {
        std::mem::drop(File::create(place.join("Notes for the team.txt")).unwrap());
    }
    std::mem::drop(File::create(drop.join("index.html")).unwrap());
    assert_eq!(read_all(&share, &address).unwrap(), [7; 2500]);
    let seen = scan(&share, &mut ScanMemory::default(), Timestamp::EPOCH).unwrap();
    assert!(seen.problems.is_empty(), "{:?}", seen.problems);
    let [only] = &seen.workloads[..] else { panic!("{:?}", seen.workloads) };
    assert!(only.problems.is_empty(), "{:?}", only.problems);
    assert!(matches!(only.sightings[0].state, DropState::Sealed(_)));
    let status = status(&share, None).unwrap();
    assert_eq!(status.foreign, 7 * each + 4);
    assert_eq!(status.workloads[0].counts["sealed"], 1);
}

#[test]
fn a_directory_that_may_be_meant_for_drops_is_told_whatever_it_is_called() {
    let (_directory, share) = new_share();
    fs::create_dir_all(share.path().join("w/Shop_DB/drops")).unwrap();
    fs::create_dir(share.path().join("w/Old Things")).unwrap();
    fs::create_dir_all(share.path().join("w/shop/drops/2026-01-31")).unwrap();
    let seen = scan(&share, &mut ScanMemory::default(), Timestamp::EPOCH).unwrap();
    assert_eq!((seen.problems.len(), seen.foreign), (1, 1), "nobody drops in the other");
    assert!(seen.problems[0].to_string().contains("Shop_DB"), "{:?}", seen.problems);
    let problems = &seen.workloads[0].problems;
    assert!(problems[0].to_string().contains("2026-01-31"), "{problems:?}");
}
