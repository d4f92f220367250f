//! Directories of any size are read in memory that does not follow them.

use std::fs::{self, File};
use std::io::Write;

use outlast_format::compress::{Compressor, LEVEL_DEFAULT};
use outlast_format::go::FileMode;
use outlast_format::pack::BlobType;
use outlast_format::tree::{NodeKind, Tree};
use outlast_format::{BlobId, Sha256Id, SnapshotId};
use outlast_fs::EntryPath;
use outlast_repo::restore::{Options, restore};
use outlast_repo::{Repository, check, read};
use outlast_types::Silent;

use crate::forge::{Forge, directory, symlink};

/// The most memory that this process had since the last call, beyond what it had then; `None`
/// where the kernel does not tell.
struct Peak {
    before: u64,
}

impl Peak {
    fn begin() -> Option<Self> {
        let mut peak = File::options().write(true).open("/proc/self/clear_refs").ok()?;
        peak.write_all(b"5").ok()?;
        Some(Self { before: status("VmRSS:")? })
    }

    fn bytes(&self) -> u64 {
        status("VmHWM:").unwrap_or(u64::MAX).saturating_sub(self.before)
    }
}

fn status(what: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(what))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? << 10)
}

/// A repository with one directory whose text has `entries` times 4 KiB, stored packed.
fn one_directory(entries: usize) -> (Repository, SnapshotId, BlobId) {
    let mut forge = Forge::new();
    let target = [b'x'; 4000];
    let nodes = (0..entries).map(|number| symlink(format!("{number:06}").as_bytes(), &target));
    let document = Tree { nodes: nodes.collect() }.serialize();
    let id = BlobId::of(&document);
    let mut packed = Vec::new();
    Compressor::new(LEVEL_DEFAULT).unwrap().compress_onto(&document, &mut packed).unwrap();
    forge.entry(BlobType::Tree, id, &packed);
    forge.lie(|entry| entry.uncompressed_length = u32::try_from(document.len()).ok());
    let root = forge.tree(vec![directory(b"large", id)]);
    let (_, repository) = forge.finish(root);
    let snapshot = read::resolve(&repository, "latest").unwrap();
    (repository, snapshot.id, root)
}

#[test]
fn a_directory_of_any_size_is_listed_checked_and_searched_in_little_memory() {
    const ENTRIES: usize = 20_000;
    let (repository, _, root) = one_directory(ENTRIES);
    let Some(peak) = Peak::begin() else {
        return;
    };
    let mut listed = 0;
    read::ls(&repository, root, |found| listed += usize::from(found.is_ok())).unwrap();
    assert_eq!(listed, ENTRIES + 1);
    let report = check::check(&repository, &check::Options::default(), &Silent).unwrap();
    assert!(report.is_clean(), "{:?}", report.problems);
    let last = EntryPath::parse(format!("large/{:06}", ENTRIES - 1).as_bytes()).unwrap();
    assert_eq!(read::find(&repository, root, &last).unwrap().link_target.len(), 4000);
    // Its text has 80 MiB.
    assert!(peak.bytes() < 32 << 20, "{} bytes more than before", peak.bytes());
}

#[test]
fn what_is_wrong_in_a_large_directory_costs_no_more_than_itself() {
    let mut forge = Forge::new();
    let mut nodes: Vec<_> =
        (0..3000).map(|n| symlink(format!("{n:06}").as_bytes(), &[b'y'; 1000])).collect();
    // Out of order, and there already.
    nodes.push(symlink(b"000007", b"other"));
    nodes.push(symlink(b"0000070", b"new"));
    let document = Tree { nodes }.serialize();
    let root = forge.blob(BlobType::Tree, &document);
    let (_, repository) = forge.finish(root);
    let (mut listed, mut errors) = (0, Vec::new());
    read::ls(&repository, root, |found| match found {
        Ok(_) => listed += 1,
        Err(error) => errors.push(error.to_string()),
    })
    .unwrap();
    assert_eq!(listed, 3001);
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].contains("/000007 is there twice"), "{errors:?}");
}

#[test]
fn directories_and_further_names_are_complete_before_the_whole_restore_is() {
    let mut forge = Forge::new();
    let mut first = forge.file(b"first", &[b"content"]);
    first.mode = FileMode::from_unix(NodeKind::File.mode_bits(), 0o640);
    (first.links, first.inode, first.device_id) = (401, 7, 1);
    let mut root = vec![first.clone()];
    for number in 0..400 {
        let mut name = first.clone();
        name.name = b"name".to_vec();
        let inner = forge.tree(vec![name]);
        let mut node = directory(format!("inner {number:03}").as_bytes(), inner);
        // Nobody may write into it once it is complete.
        node.mode = FileMode::from_unix(NodeKind::Directory.mode_bits(), 0o500);
        root.push(node);
    }
    root.sort_by(|one, other| one.name.cmp(&other.name));
    let root = forge.tree(root);
    let (_, repository) = forge.finish(root);
    let place = tempfile::tempdir().unwrap();
    let target = place.path().join("target");
    let summary = restore(&repository, root, &target, &Options::default(), &Silent).unwrap();
    assert!(summary.problems.is_empty(), "{:?}", summary.problems);
    let inode = |path: &str| {
        use std::os::unix::fs::MetadataExt;
        let data = fs::metadata(target.join(path)).unwrap();
        (data.ino(), data.nlink())
    };
    assert_eq!(inode("inner 399/name"), inode("first"));
    assert_eq!(inode("first").1, 401);
    for number in 0..400 {
        use std::os::unix::fs::PermissionsExt;
        let inner = target.join(format!("inner {number:03}"));
        assert_eq!(fs::metadata(&inner).unwrap().permissions().mode() & 0o7777, 0o500);
        fs::set_permissions(&inner, fs::Permissions::from_mode(0o700)).unwrap();
    }
}
