mod faults;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::process::Command;

use proptest::prelude::*;
use rustix::fs::Mode;

use super::*;

/// The whole walk: every entry as "path kind", every problem as its message.
fn walked(walk: &mut Walk) -> (Vec<String>, Vec<String>) {
    let (mut entries, mut problems) = (Vec::new(), Vec::new());
    loop {
        match walk.next_entry() {
            Ok(None) => return (entries, problems),
            Ok(Some(entry)) => {
                let kind = match entry.kind {
                    Kind::File { .. } => "file".to_owned(),
                    Kind::Directory => "directory".to_owned(),
                    Kind::HardLink { target } => format!("is {target}"),
                    other => format!("{other:?}"),
                };
                entries.push(format!("{} {kind}", entry.path));
            }
            Err(error @ SourceError::Entry { .. }) => problems.push(error.to_string()),
            Err(error) => panic!("{error}"),
        }
    }
}

/// The entries of a walk over paths below `root`, without the names that lead to it.
fn below(root: &Path, paths: &[&str]) -> Vec<String> {
    let paths: Vec<_> = paths.iter().map(|path| root.join(path)).collect();
    let (entries, problems) = walked(&mut Walk::new(&paths).unwrap());
    assert!(problems.is_empty(), "{problems:?}");
    let prefix = format!("{}/", root.strip_prefix("/").unwrap().display());
    entries.iter().filter_map(|entry| Some(entry.strip_prefix(&prefix)?.to_owned())).collect()
}

fn put(path: &Path, content: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    File::create(path).unwrap().write_all(content).unwrap();
}

fn tree() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for path in ["a/two", "a/one", "a-b/x", "a.b", "z/deep/er/file"] {
        put(&directory.path().join(path), path.as_bytes());
    }
    directory
}

#[test]
fn names_come_in_the_order_of_their_bytes_and_directories_before_their_members() {
    let tree = tree();
    let expected = [
        "a directory",
        "a/one file",
        "a/two file",
        "a-b directory",
        "a-b/x file",
        "a.b file",
        "z directory",
        "z/deep directory",
        "z/deep/er directory",
        "z/deep/er/file file",
    ];
    assert_eq!(below(tree.path(), &["."]), expected);
}

#[test]
fn an_absolute_path_stands_under_its_full_name_and_the_directories_that_lead_to_it() {
    let tree = tree();
    let mut walk = Walk::new(&[tree.path().join("z/deep")]).unwrap();
    let (entries, _) = walked(&mut walk);
    let mut leading = String::new();
    for (entry, name) in entries.iter().zip(tree.path().iter().skip(1)) {
        leading =
            format!("{leading}{}{}", if leading.is_empty() { "" } else { "/" }, name.display());
        assert_eq!(*entry, format!("{leading} directory"));
    }
    assert_eq!(entries.last().unwrap(), &format!("{leading}/z/deep/er/file file"));
}

#[test]
fn a_path_asked_for_twice_or_inside_another_comes_once() {
    let tree = tree();
    assert_eq!(
        below(tree.path(), &["a/two", "z/deep/er", "a", "a/one", "z/deep/er/file"]),
        [
            "a directory",
            "a/one file",
            "a/two file",
            "z directory",
            "z/deep directory",
            "z/deep/er directory",
            "z/deep/er/file file",
        ]
    );
}

#[test]
fn a_path_without_a_certain_name_is_refused() {
    for (path, wanted) in [("/usr/../etc", "'..'"), ("../x", ""), ("/no/such/path", "No such file")]
    {
        let error = Walk::new(&[PathBuf::from(path)]).err().unwrap();
        assert!(matches!(error, SourceError::Ended { .. }));
        assert!(error.to_string().contains(path) && error.to_string().contains(wanted), "{error}");
    }
    let mixed = [PathBuf::from("."), PathBuf::from("/etc")];
    let error = Walk::new(&mixed).err().unwrap().to_string();
    assert!(error.contains("the same name"), "{error}");
}

#[test]
fn a_later_name_of_a_file_points_to_the_first_one_inside_the_tree() {
    let tree = tree();
    let outside = tempfile::tempdir_in(tree.path().parent().unwrap()).unwrap();
    fs::hard_link(tree.path().join("a/one"), tree.path().join("a/three")).unwrap();
    fs::hard_link(tree.path().join("a/one"), tree.path().join("z/again")).unwrap();
    fs::hard_link(tree.path().join("a/two"), outside.path().join("elsewhere")).unwrap();
    let base = tree.path().strip_prefix("/").unwrap().display().to_string();
    assert_eq!(
        below(tree.path(), &["a", "z/again"]),
        [
            "a directory".to_owned(),
            "a/one file".to_owned(),
            format!("a/three is {base}/a/one"),
            "a/two file".to_owned(),
            "z directory".to_owned(),
            format!("z/again is {base}/a/one"),
        ]
    );
}

#[test]
fn a_link_is_an_entry_and_never_followed() {
    let tree = tree();
    symlink("../z", tree.path().join("a/to z")).unwrap();
    symlink("nowhere", tree.path().join("a/dangling")).unwrap();
    let entries = below(tree.path(), &["a"]);
    assert_eq!(entries.len(), 5);
    assert!(entries[1].starts_with("a/dangling Symlink"), "{entries:?}");
    assert!(entries[3].starts_with("a/to z Symlink"), "{entries:?}");
}

#[test]
fn what_is_excluded_is_left_out_under_any_name() {
    let tree = tree();
    symlink(tree.path().join("z"), tree.path().join("link to z")).unwrap();
    let mut walk = Walk::new(&[tree.path().to_owned()]).unwrap();
    walk.exclude(&tree.path().join("link to z")).unwrap();
    let (entries, _) = walked(&mut walk);
    assert!(entries.iter().any(|entry| entry.contains("a/one")));
    assert!(!entries.iter().any(|entry| entry.contains("/z")), "{entries:?}");
}

#[test]
fn a_file_that_changes_while_it_is_read_gives_what_is_there() {
    let tree = tree();
    let path = tree.path().join("a/one");
    let mut walk = Walk::new(std::slice::from_ref(&path)).unwrap().ahead(0);
    while !matches!(walk.next_entry().unwrap().unwrap().kind, Kind::File { .. }) {}
    let mut buffer = [0; 3];
    assert_eq!(walk.read(&mut buffer).unwrap(), 3);
    fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b" grew").unwrap();
    let mut rest = vec![0; 100];
    let read = walk.read(&mut rest).unwrap();
    assert_eq!(&rest[..read], b"ne grew");
    File::create(&path).unwrap();
    assert_eq!(walk.read(&mut rest).unwrap(), 0, "cut off: the end, and no error");
}

#[test]
fn a_file_that_is_renamed_away_is_read_to_its_end_and_one_that_is_deleted_is_no_problem() {
    let tree = tree();
    let paths = [tree.path().join("a")];
    let mut walk = Walk::new(&paths).unwrap().ahead(0);
    while !matches!(walk.next_entry().unwrap().unwrap().kind, Kind::File { .. }) {}
    fs::hard_link(tree.path().join("a/one"), tree.path().join("moved")).unwrap();
    fs::remove_file(tree.path().join("a/one")).unwrap();
    symlink("/etc/passwd", tree.path().join("a/one")).unwrap();
    fs::remove_file(tree.path().join("a/two")).unwrap();
    let mut content = [0; 100];
    let read = walk.read(&mut content).unwrap();
    assert_eq!(&content[..read], b"a/one");
    assert!(walk.next_entry().unwrap().is_none());
}

#[test]
fn a_pipe_is_an_entry_and_does_not_block() {
    let tree = tree();
    let path = tree.path().join("a/pipe");
    rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RUSR, 0).unwrap();
    assert!(below(tree.path(), &["a"]).contains(&"a/pipe Fifo".to_owned()));
}

#[test]
fn holes_are_known_and_read_as_zeroes() {
    let tree = tree();
    let path = tree.path().join("a/one");
    let file = File::options().write(true).open(&path).unwrap();
    file.set_len(3 << 20).unwrap();
    file.write_all_at(&[7; 4096], 1 << 20).unwrap();
    let mut walk = Walk::new(&[path, tree.path().join("a/two")]).unwrap();
    while !matches!(walk.next_entry().unwrap().unwrap().kind, Kind::File { .. }) {}
    let extents = walk.extents().unwrap().expect("a temporary directory's file system has holes");
    assert_eq!(extents.len(), 2, "{extents:?}");
    assert!(extents.iter().any(|&(at, length)| at == 1 << 20 && length == 4096), "{extents:?}");
    let mut content = Vec::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = walk.read(&mut buffer).unwrap();
        if read == 0 {
            break;
        }
        content.extend_from_slice(&buffer[..read]);
    }
    assert_eq!(content.len(), 3 << 20, "read from the start, although extents were asked for");
    assert!(content.starts_with(b"a/one\0") && content[1 << 20..][..4096] == [7; 4096]);
    walk.next_entry().unwrap().unwrap();
    assert_eq!(walk.extents().unwrap(), None, "a file without holes");
}

/// Every file below `root` with its content, as a walk tells it that looks ahead with `threads`.
fn contents(root: &Path, threads: usize) -> Vec<(String, Vec<u8>)> {
    let mut walk = Walk::new(&[root.join(".")]).unwrap().ahead(threads);
    let mut files = Vec::new();
    let mut buffer = vec![0; 70_000];
    while let Some(entry) = walk.next_entry().unwrap() {
        if !matches!(entry.kind, Kind::File { .. }) {
            continue;
        }
        let mut content = Vec::new();
        loop {
            match walk.read(&mut buffer).unwrap() {
                0 => break,
                read => content.extend_from_slice(&buffer[..read]),
            }
        }
        files.push((entry.path.to_string(), content));
    }
    files
}

/// A name of some length, a few directories deep, and how much is in the file.
fn files() -> impl Strategy<Value = BTreeMap<Vec<u8>, usize>> {
    let path = prop::collection::vec(0..12_u8, 1..5);
    let size = prop_oneof![Just(0), 1..5000_usize, Just(128 << 10), 131_000..300_000_usize];
    prop::collection::btree_map(path, size, 0..60)
}

proptest! {
    #![proptest_config(outlast_testing::cases(32))]

    #[test]
    fn looking_ahead_changes_neither_order_nor_content(files in files(), threads in 1..20_usize) {
        let tree = tempfile::tempdir().unwrap();
        let mut expected = Vec::new();
        for (path, size) in &files {
            let (name, above) = path.split_last().unwrap();
            let above: String = above.iter().map(|name| format!("d{name:02}/")).collect();
            let content = vec![*name; *size];
            put(&tree.path().join(format!("{above}f{name:02}")), &content);
            expected.push((format!("{above}f{name:02}"), content));
        }
        expected.sort_by(|(a, _), (b, _)| a.split('/').cmp(b.split('/')));
        let prefix = format!("{}/", tree.path().strip_prefix("/").unwrap().display());
        for threads in [0, threads] {
            let found = contents(tree.path(), threads).into_iter();
            let found = found.map(|(path, content)| (path.replacen(&prefix, "", 1), content));
            prop_assert_eq!(found.collect::<Vec<_>>(), expected.clone());
        }
    }
}

#[test]
fn a_directory_of_many_names_is_listed_in_its_turn_and_whole() {
    let tree = tempfile::tempdir().unwrap();
    for directory in ["a", "b/c"] {
        for n in 0..5000 {
            put(&tree.path().join(format!("{directory}/{n:04}")), b"");
        }
    }
    let files = contents(tree.path(), 4);
    assert_eq!(files.len(), 10_000);
    assert!(files.is_sorted());
}

#[test]
fn a_walk_that_is_given_up_ends_its_threads() {
    let tree = tempfile::tempdir().unwrap();
    for n in 0..400 {
        put(&tree.path().join(format!("{}/{}/{n}", n % 20, n % 7)), &[7; 50_000]);
    }
    for entries in [0, 1, 50, 300] {
        let mut walk = Walk::new(&[tree.path().join(".")]).unwrap();
        for _ in 0..entries {
            walk.next_entry().unwrap().unwrap();
        }
        // It waits for its threads; the test would not end.
        drop(walk);
    }
}

/// The variable that tells a second run of this program, as another user, what to walk.
const TREE_OF_ANOTHER: &str = "OUTLAST_TEST_UNREADABLE_TREE";

#[test]
fn a_file_that_may_not_be_read_is_named_and_the_rest_goes_on() {
    if let Some(path) = std::env::var_os(TREE_OF_ANOTHER) {
        return unreadable_is_named(Path::new(&path));
    }
    let tree = tree();
    let mode = |path: &str, mode| {
        fs::set_permissions(tree.path().join(path), fs::Permissions::from_mode(mode)).unwrap();
    };
    mode("a/one", 0);
    mode("z", 0);
    if rustix::process::geteuid().is_root() {
        // Root may read everything, so the same test runs once more as nobody.
        mode(".", 0o755);
        let status = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "walk::tests::a_file_that_may_not_be_read_is_named_and_the_rest_goes_on",
            ])
            .env(TREE_OF_ANOTHER, tree.path())
            .uid(65_534)
            .status();
        match status {
            Ok(status) => assert!(status.success()),
            Err(error) => println!("left out: cannot run this test as another user: {error}"),
        }
    } else {
        unreadable_is_named(tree.path());
    }
    mode("z", 0o755);
}

fn unreadable_is_named(root: &Path) {
    let (entries, problems) = walked(&mut Walk::new(&[root.to_owned()]).unwrap());
    let has = |end: &str| entries.iter().any(|entry| entry.ends_with(end));
    assert!(has("a/two file") && has("a.b file") && has("/z directory"), "{entries:?}");
    assert!(!has("a/one file"));
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].contains("a/one: Permission denied"), "{problems:?}");
    assert!(problems[1].contains("/z: Permission denied"), "{problems:?}");
}
