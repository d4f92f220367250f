use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use proptest::prelude::*;

use super::*;
use crate::entry::FileTime;

fn entry(path: &str, kind: Kind) -> Entry {
    let metadata = Metadata { mode: 0o755, ..own() };
    Entry { path: EntryPath::parse(path.as_bytes()).unwrap(), kind, metadata }
}

/// Metadata with an owner that any user may give to a file.
fn own() -> Metadata {
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    Metadata { uid: uid.as_raw(), gid: gid.as_raw(), ..Metadata::default() }
}

fn place_file(target: &Target, entry: &Entry, content: &[u8]) -> Result<(), PlaceError> {
    let file = target.place(entry)?.expect("a file has content");
    file.write_at(0, content)?;
    file.finish()
}

/// A target inside a directory whose other content must never change.
struct Cage {
    directory: tempfile::TempDir,
}

impl Cage {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("outside")).unwrap();
        File::create(directory.path().join("outside/precious")).unwrap();
        Self { directory }
    }

    fn target(&self, overwrite: bool) -> Result<Target, PlaceError> {
        Target::open(&self.directory.path().join("target"), overwrite)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("target").join(name)
    }

    #[track_caller]
    fn assert_nothing_leaked(&self) {
        let names = |path: &Path| {
            let listed = fs::read_dir(path).unwrap().map(|e| e.unwrap().file_name());
            let mut names: Vec<_> = listed.collect();
            names.sort();
            names
        };
        assert_eq!(names(self.directory.path()), ["outside", "target"]);
        assert_eq!(names(&self.directory.path().join("outside")), ["precious"]);
        assert_eq!(fs::metadata(self.directory.path().join("outside/precious")).unwrap().len(), 0);
    }
}

#[test]
fn a_target_that_is_not_empty_is_refused_without_the_flag() {
    let cage = Cage::new();
    fs::create_dir(cage.path("")).unwrap();
    File::create(cage.path("mine")).unwrap();
    assert!(matches!(cage.target(false), Err(PlaceError::NotEmpty { .. })));
    let target = cage.target(true).unwrap();
    place_file(&target, &entry("mine", Kind::File { size: 3 }), b"new").unwrap();
    assert_eq!(fs::read(cage.path("mine")).unwrap(), b"new");
}

#[test]
fn a_link_in_the_tree_never_leads_a_later_entry_outside() {
    let cage = Cage::new();
    for destination in ["../outside", "/", "..", "."] {
        let target = cage.target(true).unwrap();
        let link = Kind::Symlink { target: destination.as_bytes().to_vec() };
        target.place(&entry("door", link)).unwrap();
        let through = entry("door/precious", Kind::File { size: 1 });
        assert!(matches!(target.place(&through), Err(PlaceError::Blocked { .. })));
        let through = entry("door/new/deep", Kind::Directory);
        assert!(matches!(target.place(&through), Err(PlaceError::Blocked { .. })));
        let link = Kind::HardLink { target: EntryPath::parse(b"door/precious").unwrap() };
        assert!(target.place(&entry("stolen", link)).is_err());
        // A directory entry in the place of the link must not open it.
        target.place(&entry("door", Kind::Directory)).unwrap();
        place_file(&target, &entry("door/precious", Kind::File { size: 1 }), b"x").unwrap();
        target.finish().unwrap();
        fs::remove_dir_all(cage.path("")).unwrap();
        fs::create_dir(cage.path("")).unwrap();
    }
    cage.assert_nothing_leaked();
}

#[test]
fn a_file_is_never_written_through_a_link_of_the_same_name() {
    let cage = Cage::new();
    let target = cage.target(false).unwrap();
    let link = Kind::Symlink { target: b"../outside/precious".to_vec() };
    target.place(&entry("file", link)).unwrap();
    assert!(target.place(&entry("file", Kind::File { size: 1 })).is_err());
    let overwriting = cage.target(true).unwrap();
    place_file(&overwriting, &entry("file", Kind::File { size: 1 }), b"x").unwrap();
    cage.assert_nothing_leaked();
}

#[test]
fn a_hard_link_to_a_link_is_refused() {
    let cage = Cage::new();
    let target = cage.target(false).unwrap();
    let link = Kind::Symlink { target: b"../outside/precious".to_vec() };
    target.place(&entry("door", link)).unwrap();
    let stolen = Kind::HardLink { target: EntryPath::parse(b"door").unwrap() };
    assert!(target.place(&entry("stolen", stolen)).is_err());
}

#[test]
fn holes_stay_holes_and_every_byte_is_right() {
    let cage = Cage::new();
    let target = cage.target(false).unwrap();
    let mut content = vec![0; 1 << 20];
    content[500_000] = 7;
    let sparse = entry("sparse", Kind::File { size: 1 << 20 });
    place_file(&target, &sparse, &content).unwrap();
    assert!(fs::read(cage.path("sparse")).unwrap() == content);
    assert!(fs::metadata(cage.path("sparse")).unwrap().blocks() * 512 < 1 << 19);
}

#[test]
fn modes_and_times_survive_what_is_placed_below() {
    let cage = Cage::new();
    let target = cage.target(false).unwrap();
    let mut directory = entry("d", Kind::Directory);
    directory.metadata.mode = 0o555;
    directory.metadata.modified = FileTime { seconds: -1_000_000_000, nanos: 123_456_789 };
    target.place(&directory).unwrap();
    let mut file = entry("d/f", Kind::File { size: 1 });
    file.metadata.mode = 0o4711;
    file.metadata.modified = FileTime { seconds: 7_000_000_000, nanos: 1 };
    place_file(&target, &file, b"x").unwrap();
    assert!(target.finish().unwrap().is_empty());
    let (d, f) = (fs::metadata(cage.path("d")).unwrap(), fs::metadata(cage.path("d/f")).unwrap());
    assert_eq!((d.permissions().mode() & 0o7777, d.mtime_nsec()), (0o555, 123_456_789));
    assert_eq!(d.mtime(), -1_000_000_000, "before 1970");
    assert_eq!((f.permissions().mode() & 0o7777, f.mtime_nsec()), (0o4711, 1));
    assert_eq!(f.mtime(), 7_000_000_000, "after 2038");
    fs::set_permissions(cage.path("d"), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_fifo_is_made_without_anybody_reading_it() {
    let cage = Cage::new();
    let target = cage.target(false).unwrap();
    target.place(&entry("pipe", Kind::Fifo)).unwrap();
    use std::os::unix::fs::FileTypeExt;
    assert!(fs::symlink_metadata(cage.path("pipe")).unwrap().file_type().is_fifo());
}

#[test]
fn a_damaged_file_can_be_put_aside_but_never_over_another() {
    let cage = Cage::new();
    let target = cage.target(false).unwrap();
    place_file(&target, &entry("a", Kind::File { size: 1 }), b"a").unwrap();
    place_file(&target, &entry("b", Kind::File { size: 1 }), b"b").unwrap();
    let path = |name: &str| EntryPath::parse(name.as_bytes()).unwrap();
    assert!(target.rename(&path("a"), &path("b")).is_err());
    target.rename(&path("a"), &path("c")).unwrap();
    assert_eq!(fs::read(cage.path("c")).unwrap(), b"a");
}

#[test]
fn the_target_itself_may_be_reached_through_the_users_own_link() {
    let cage = Cage::new();
    fs::create_dir(cage.path("")).unwrap();
    let link = cage.directory.path().join("outside/shortcut");
    symlink(cage.path(""), &link).unwrap();
    let target = Target::open(&link, false).unwrap();
    place_file(&target, &entry("x", Kind::File { size: 1 }), b"x").unwrap();
    assert!(cage.path("x").exists());
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let name = prop_oneof!["a", "b", "c", "outside", "precious"];
    let path = prop::collection::vec(name, 1..4).prop_map(|names| names.join("/"));
    let link = prop_oneof!["..", "../outside", "a", "b/c", "/", "../../outside/precious"];
    let kind = prop_oneof![
        Just(Kind::File { size: 1 }),
        Just(Kind::Directory),
        link.prop_map(|target: String| Kind::Symlink { target: target.into_bytes() }),
        path.clone()
            .prop_map(|path| Kind::HardLink { target: EntryPath::parse(path.as_bytes()).unwrap() }),
    ];
    (path, kind).prop_map(|(path, kind)| entry(&path, kind))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_sequence_of_entries_ever_changes_anything_outside(
        entries in prop::collection::vec(any_entry(), 1..20),
        overwrite in any::<bool>(),
    ) {
        let cage = Cage::new();
        let target = cage.target(overwrite).unwrap();
        for entry in &entries {
            if let Ok(Some(file)) = target.place(entry) {
                file.write_at(0, b"x").unwrap();
                file.finish().unwrap();
            }
        }
        let _ = target.finish();
        cage.assert_nothing_leaked();
    }
}
