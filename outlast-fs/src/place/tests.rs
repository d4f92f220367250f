use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use outlast_testing::{add_raw_link_targets, allocated_bytes, compare_trees, torture_tree};
use proptest::prelude::*;

mod equal;
mod links;

use super::*;
use crate::entry::{EntrySource, FileTime, SourceError};
use crate::walk::Walk;

fn path(text: &str) -> EntryPath {
    EntryPath::parse(text.as_bytes()).unwrap()
}

fn entry(text: &str, kind: Kind) -> Entry {
    let metadata = Metadata {
        mode: 0o755,
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        modified: FileTime { seconds: 1_000_000_000, nanos: 5 },
        ..Metadata::default()
    };
    Entry { path: path(text), kind, metadata }
}

fn file(text: &str) -> Entry {
    entry(text, Kind::File { size: 0 })
}

fn link(text: &str, target: &str) -> Entry {
    entry(text, Kind::Symlink { target: target.as_bytes().to_vec() })
}

fn hard_link(text: &str, target: &str) -> Entry {
    entry(text, Kind::HardLink { target: path(target) })
}

fn fill(target: &Target, entry: &Entry, content: &[u8]) -> Result<(), PlaceError> {
    let placed = target.place(entry)?.unwrap();
    placed.write_at(0, content)?;
    placed.finish()
}

/// A directory with something in it that must never change, and an empty one beside it.
struct Ground {
    directory: tempfile::TempDir,
}

impl Ground {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir_all(directory.path().join("outside/inner")).unwrap();
        put(&directory.path().join("outside/precious"), b"precious");
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn target(&self) -> Target {
        Target::open(&self.path("target"), true).unwrap()
    }

    /// Everything but the target: names, contents, permissions, links.
    fn rest(&self) -> BTreeMap<PathBuf, (u32, u64, Vec<u8>)> {
        let mut found = BTreeMap::new();
        let mut open = vec![self.directory.path().to_owned()];
        while let Some(directory) = open.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                let metadata = path.symlink_metadata().unwrap();
                let content = fs::read(&path).unwrap_or_default();
                if path != self.path("target") {
                    if metadata.is_dir() {
                        open.push(path.clone());
                    }
                    found.insert(path, (metadata.mode(), metadata.nlink(), content));
                }
            }
        }
        found
    }
}

fn put(path: &Path, content: &[u8]) {
    File::create(path).unwrap().write_all(content).unwrap();
}

#[test]
fn the_torture_tree_comes_back_whole() {
    let ground = Ground::new();
    let (from, to) = (ground.path("from"), ground.path("target"));
    fs::create_dir(&from).unwrap();
    for skipped in torture_tree(&from).unwrap() {
        println!("left out: {skipped}");
    }
    add_raw_link_targets(&from).unwrap();
    let target = Target::open(&to, false).unwrap().privileged(true);
    let mut walk = Walk::new(std::slice::from_ref(&from)).unwrap();
    let depth = from.iter().count() - 1;
    let below = |path: &EntryPath| {
        EntryPath::from_names(path.names().iter().skip(depth).cloned().collect())
    };
    let mut buffer = vec![0; 100_001];
    while let Some(mut entry) = walk.next_entry().unwrap() {
        let Ok(path) = below(&entry.path) else { continue };
        entry.path = path;
        if let Kind::HardLink { target } = &mut entry.kind {
            *target = below(target).unwrap();
        }
        let Some(placed) = target.place(&entry).unwrap() else { continue };
        let mut offset = 0;
        loop {
            let read = walk.read(&mut buffer).unwrap();
            if read == 0 {
                break;
            }
            placed.write_at(offset, &buffer[..read]).unwrap();
            offset += read as u64;
        }
        placed.finish().unwrap();
    }
    let report = target.finish().unwrap();
    assert!(report.problems.is_empty() && report.withheld.is_empty(), "{report:?}");
    assert_eq!(compare_trees(&from, &to), Vec::<String>::new());
    for name in ["islands", "nothing but a hole", "ends in data", "begins with data"] {
        let (before, after) = (from.join("sparse").join(name), to.join("sparse").join(name));
        let (before, after) = (allocated_bytes(&before).unwrap(), allocated_bytes(&after).unwrap());
        assert!(after <= before + 64_000, "{name} took {before} bytes on disk and takes {after}");
    }
}

#[test]
fn a_target_with_something_in_it_is_refused_unless_allowed() {
    let ground = Ground::new();
    let error = Target::open(&ground.path("outside"), false).err().unwrap();
    assert!(matches!(error, PlaceError::NotEmpty { .. }));
    assert!(error.to_string().contains("is not empty: choose"), "{error}");
    assert!(Target::open(&ground.path("outside"), true).is_ok());
    assert!(Target::open(&ground.path("outside/precious"), true).is_err());
    assert!(Target::open(&ground.path("new/and/deep"), false).is_ok());
}

#[test]
fn nothing_goes_through_a_link_that_an_entry_made() {
    let ground = Ground::new();
    let before = ground.rest();
    let target = ground.target();
    let outside = ground.path("outside").display().to_string();
    for (name, to) in [("up", ".."), ("absolute", outside.as_str()), ("sideways", "../outside")] {
        target.place(&link(name, to)).unwrap();
        let inside = format!("{name}/precious");
        for hostile in [file(&inside), link(&inside, "x"), entry(&inside, Kind::Directory)] {
            let error = target.place(&hostile).err().unwrap();
            assert!(matches!(error, PlaceError::ThroughLink { .. }), "{error:?}");
        }
        // A name below the link, and a hard link to what is behind it.
        assert!(target.place(&file(&format!("{name}/deeper/still"))).is_err());
        assert!(target.place(&hard_link(&format!("stolen by {name}"), &inside)).is_err());
        assert!(target.open_file(&path(&inside)).is_err());
        // A file takes the place of the link, not of what it leads to.
        fill(&target, &file(name), b"mine").unwrap();
        assert!(target.open_file(&path(name)).is_ok());
    }
    target.finish().unwrap();
    assert_eq!(ground.rest(), before);
}

#[test]
fn nothing_goes_through_links_that_were_there_before() {
    let ground = Ground::new();
    fs::create_dir(ground.path("target")).unwrap();
    symlink("../outside", ground.path("target/link")).unwrap();
    fs::hard_link(ground.path("outside/precious"), ground.path("target/same")).unwrap();
    let target = ground.target();
    assert!(target.place(&file("link/precious")).is_err());
    fill(&target, &file("same"), b"other").unwrap();
    target.place(&entry("link", Kind::Directory)).unwrap();
    fill(&target, &file("link/precious"), b"other").unwrap();
    target.finish().unwrap();
    assert_eq!(fs::read(ground.path("outside/precious")).unwrap(), b"precious");
    assert_eq!(fs::read(ground.path("target/link/precious")).unwrap(), b"other");
    assert!(ground.path("target/link").symlink_metadata().unwrap().is_dir());
}

#[test]
fn a_directory_that_becomes_a_link_before_the_end_is_reported_and_not_followed() {
    let ground = Ground::new();
    let before = ground.rest();
    let target = ground.target();
    let mut directory = entry("directory", Kind::Directory);
    directory.metadata.mode = 0o777;
    target.place(&directory).unwrap();
    fs::remove_dir(ground.path("target/directory")).unwrap();
    symlink("../outside", ground.path("target/directory")).unwrap();
    assert_eq!(target.finish().unwrap().problems.len(), 1);
    assert_eq!(ground.rest(), before);
}

#[test]
fn an_entry_replaces_what_has_its_name_but_never_a_full_directory() {
    let ground = Ground::new();
    let target = ground.target();
    fill(&target, &file("name"), b"first").unwrap();
    fill(&target, &file("name"), b"2nd").unwrap();
    assert_eq!(fs::read(ground.path("target/name")).unwrap(), b"2nd");
    target.place(&link("name", "x")).unwrap();
    target.place(&entry("name", Kind::Directory)).unwrap();
    target.place(&entry("name", Kind::Fifo)).unwrap();
    target.place(&entry("name", Kind::Directory)).unwrap();
    fill(&target, &file("name/inside"), b"inside").unwrap();
    let error = target.place(&file("name")).err().unwrap();
    assert!(matches!(error, PlaceError::DirectoryInTheWay { .. }), "{error:?}");
    assert!(target.finish().unwrap().problems.is_empty());
    assert_eq!(fs::read(ground.path("target/name/inside")).unwrap(), b"inside");
}

#[test]
fn a_link_to_itself_loses_nothing() {
    let ground = Ground::new();
    let target = ground.target();
    fill(&target, &file("one"), b"one").unwrap();
    target.place(&hard_link("one", "one")).unwrap();
    target.place(&hard_link("two", "one")).unwrap();
    target.place(&hard_link("one", "two")).unwrap();
    assert!(target.place(&hard_link("three", "missing")).is_err());
    target.finish().unwrap();
    assert_eq!(fs::read(ground.path("target/one")).unwrap(), b"one");
    assert_eq!(fs::metadata(ground.path("target/two")).unwrap().nlink(), 2);
}

#[test]
fn implied_directories_are_private_and_read_only_ones_can_be_restored_into_twice() {
    let ground = Ground::new();
    for _ in 0..2 {
        let target = ground.target();
        let mut directory = entry("shut", Kind::Directory);
        directory.metadata.mode = 0o500;
        target.place(&directory).unwrap();
        fill(&target, &file("shut/implied/file"), b"x").unwrap();
        assert!(target.finish().unwrap().problems.is_empty());
    }
    let mode = |name| fs::metadata(ground.path(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("target/shut"), mode("target/shut/implied")), (0o500, 0o700));
    assert_eq!(fs::metadata(ground.path("target/shut")).unwrap().mtime(), 1_000_000_000);
    fs::set_permissions(ground.path("target/shut"), fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn an_attribute_that_cannot_be_set_is_told_and_the_file_is_kept() {
    let ground = Ground::new();
    let target = ground.target();
    let mut odd = file("odd");
    odd.metadata.xattrs = vec![(b"no.such.namespace".to_vec(), b"x".to_vec())];
    fill(&target, &odd, b"content").unwrap();
    let problems = target.finish().unwrap().problems;
    assert_eq!(problems.len(), 1);
    let message = problems[0].to_string();
    assert!(
        message.contains("odd was written without its extended attribute no.such"),
        "{message}"
    );
    assert_eq!(fs::read(ground.path("target/odd")).unwrap(), b"content");
    assert_eq!(fs::metadata(ground.path("target/odd")).unwrap().mtime(), 1_000_000_000);
}

#[test]
fn a_file_can_get_another_name_unless_that_is_taken() {
    let ground = Ground::new();
    let target = ground.target();
    fill(&target, &file("one"), b"one").unwrap();
    fill(&target, &file("two"), b"two").unwrap();
    let error = target.rename(&path("one"), &path("two")).err().unwrap();
    let PlaceError::Io { source, .. } = error else { panic!("{error:?}") };
    assert_eq!(source.kind(), std::io::ErrorKind::AlreadyExists);
    target.rename(&path("one"), &path("three")).unwrap();
    assert_eq!(fs::read(ground.path("target/three")).unwrap(), b"one");
}

#[test]
fn holes_come_back_whatever_the_size_of_the_pieces() {
    let ground = Ground::new();
    let target = ground.target();
    let mut content = vec![0; 3 << 20];
    content[1_000_003..1_000_010].fill(7);
    for (name, piece) in [("small", 1000), ("odd", 65_537), ("whole", content.len())] {
        let placed = target.place(&file(name)).unwrap().unwrap();
        for (number, part) in content.chunks(piece).enumerate() {
            placed.write_at((number * piece) as u64, part).unwrap();
        }
        placed.finish().unwrap();
        assert!(fs::read(ground.path("target").join(name)).unwrap() == content, "{name}");
        assert!(allocated_bytes(&ground.path("target").join(name)).unwrap() <= 64_000, "{name}");
    }
}

fn any_name() -> impl Strategy<Value = String> {
    let names = prop::sample::select(vec!["a", "b", "c"]);
    prop::collection::vec(names, 1..4).prop_map(|names| names.join("/"))
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let targets = ["..", ".", "/", "a", "../outside", "../../outside/precious", "b/../..", "c"];
    prop_oneof![
        any_name().prop_map(|name| file(&name)),
        any_name().prop_map(|name| entry(&name, Kind::Directory)),
        any_name().prop_map(|name| entry(&name, Kind::Fifo)),
        (any_name(), prop::sample::select(targets.to_vec())).prop_map(|(n, t)| link(&n, t)),
        (any_name(), any_name()).prop_map(|(name, target)| hard_link(&name, &target)),
    ]
}

proptest! {
    #![proptest_config(outlast_testing::cases(64))]

    #[test]
    fn no_sequence_of_entries_changes_anything_outside(
        entries in prop::collection::vec(any_entry(), 1..40)
    ) {
        let ground = Ground::new();
        let before = ground.rest();
        let target = ground.target();
        for entry in &entries {
            if let Ok(Some(placed)) = target.place(entry) {
                placed.write_at(0, b"hostile").unwrap();
                placed.finish().unwrap();
            }
        }
        target.finish().unwrap();
        prop_assert_eq!(ground.rest(), before);
    }

    #[test]
    fn a_path_that_is_accepted_stays_inside_by_its_text(bytes in "[./ab\\x00]{0,12}|\\PC{0,300}") {
        if let Ok(parsed) = EntryPath::parse(bytes.as_bytes()) {
            prop_assert!(!parsed.names().is_empty());
            for name in parsed.names() {
                prop_assert!(!name.is_empty() && name != b"." && name != b"..");
                prop_assert!(!name.contains(&b'/') && !name.contains(&0) && name.len() <= 255);
            }
            prop_assert_eq!(EntryPath::parse(&parsed.to_bytes()), Ok(parsed));
        }
    }
}

#[test]
fn a_source_error_names_its_path() {
    let source = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
    let error = SourceError::Entry { path: "a/b".to_owned(), source };
    assert_eq!(error.to_string(), "cannot read a/b: permission denied");
}

#[test]
fn a_file_that_an_earlier_run_left_is_completed_in_its_place() {
    let ground = Ground::new();
    let target = ground.target();
    let placed = target.place(&file("dir/half")).unwrap().unwrap();
    placed.write_at(0, &[7; 3 * 4096]).unwrap();
    drop(placed);
    let placed = target.resume(&file("dir/half")).unwrap();
    assert_eq!(placed.left(), 3 * 4096);
    // Zeroes replace what is there, too.
    placed.write_at(4096, &[0; 4096]).unwrap();
    placed.write_at(3 * 4096, b"end").unwrap();
    placed.erase(0, 100).unwrap();
    placed.finish().unwrap();
    let expected = [&[0; 100][..], &[7; 3996], &[0; 4096], &[7; 4096], b"end"].concat();
    assert!(fs::read(ground.path("target/dir/half")).unwrap() == expected);
    let modified = ground.path("target/dir/half").metadata().unwrap().mtime();
    assert_eq!(modified, 1_000_000_000);
}

#[test]
fn what_may_lie_outside_as_well_is_never_completed() {
    let ground = Ground::new();
    let target = ground.target();
    fs::create_dir_all(ground.path("target")).unwrap();
    fs::hard_link(ground.path("outside/precious"), ground.path("target/hard")).unwrap();
    symlink(ground.path("outside/precious"), ground.path("target/soft")).unwrap();
    symlink(ground.path("outside"), ground.path("target/way")).unwrap();
    fs::create_dir(ground.path("target/directory")).unwrap();
    target.place(&entry("pipe", Kind::Fifo)).unwrap();
    for name in ["hard", "soft", "way/precious", "directory", "pipe", "nothing", "no/thing"] {
        assert!(target.resume(&file(name)).is_none(), "{name}");
    }
    assert!(!ground.path("target/no").exists(), "looking makes no directories");
    fill(&target, &file("hard"), b"new").unwrap();
    assert_eq!(fs::read(ground.path("outside/precious")).unwrap(), b"precious");
}

#[test]
fn more_directories_than_are_kept_open_can_be_filled_in_any_order() {
    let ground = Ground::new();
    let target = ground.target();
    for round in 0..2 {
        for number in 0..150 {
            let name = format!("{number}/{}/{round}", number % 7);
            fill(&target, &file(&name), name.as_bytes()).unwrap();
        }
    }
    // A directory that is replaced is not written to any more.
    target.place(&entry("gone", Kind::Directory)).unwrap();
    fill(&target, &file("gone/deep/file"), b"x").unwrap();
    fs::remove_dir_all(ground.path("target/gone/deep")).unwrap();
    target.place(&link("gone", "../outside")).unwrap();
    assert!(fill(&target, &file("gone/deep/file"), b"x").is_err());
    target.finish().unwrap();
    for number in 0..150 {
        for round in 0..2 {
            let name = format!("{number}/{}/{round}", number % 7);
            let path = ground.path("target").join(&name);
            assert_eq!(fs::read(path).unwrap(), name.as_bytes());
        }
    }
}
