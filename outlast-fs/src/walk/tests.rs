use std::io::{Seek, Write};
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

fn walk(paths: &[PathBuf]) -> (Vec<Entry>, Vec<String>) {
    let mut walk = Walk::new(paths).unwrap();
    collect(&mut walk)
}

fn collect(walk: &mut Walk) -> (Vec<Entry>, Vec<String>) {
    let (mut entries, mut problems) = (Vec::new(), Vec::new());
    loop {
        match walk.next_entry() {
            Ok(None) => return (entries, problems),
            Ok(Some(entry)) => entries.push(entry),
            Err(error) => problems.push(error.to_string()),
        }
    }
}

/// Paths below `root`, which is where the interesting ones begin.
fn names_below(root: &Path, entries: &[Entry]) -> Vec<String> {
    let prefix = root.strip_prefix("/").unwrap().display().to_string();
    entries
        .iter()
        .filter_map(|entry| entry.path.to_string().strip_prefix(&prefix).map(str::to_owned))
        .collect()
}

fn content(walk: &mut Walk) -> io::Result<Vec<u8>> {
    let (mut all, mut buffer) = (Vec::new(), [0; 1000]);
    loop {
        match walk.read(&mut buffer)? {
            0 => return Ok(all),
            length => all.extend(&buffer[..length]),
        }
    }
}

#[test]
fn parents_come_first_and_names_in_byte_order() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    for name in ["b", "a", "a/2", "a/10"] {
        fs::create_dir(root.join(name)).unwrap();
    }
    symlink("nowhere", root.join("c")).unwrap();
    let (entries, problems) = walk(&[root.to_owned(), root.join("a")]);
    assert_eq!(problems, Vec::<String>::new());
    assert_eq!(names_below(root, &entries), ["", "/a", "/a/10", "/a/2", "/b", "/c"]);
    let depths: Vec<usize> = entries.iter().map(|entry| entry.path.names().len()).collect();
    assert_eq!(depths[0], 1, "the directories above the root come, too: {entries:?}");
    assert_eq!(entries[depths.len() - 1].kind, Kind::Symlink { target: b"nowhere".to_vec() });
}

#[test]
fn two_roots_share_the_directories_above_them() {
    let directory = tempfile::tempdir().unwrap();
    let (one, two) = (directory.path().join("one"), directory.path().join("two"));
    fs::create_dir(&one).unwrap();
    fs::create_dir(&two).unwrap();
    let (entries, _) = walk(&[two, one]);
    assert_eq!(names_below(directory.path(), &entries), ["", "/one", "/two"]);
    let mut paths: Vec<_> = entries.iter().map(|entry| entry.path.clone()).collect();
    paths.dedup();
    assert_eq!(paths.len(), entries.len(), "nothing comes twice");
}

#[test]
fn the_second_name_of_a_file_is_a_hard_link_to_the_first() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    File::create(root.join("first")).unwrap();
    fs::hard_link(root.join("first"), root.join("second")).unwrap();
    let (entries, _) = walk(&[root.to_owned()]);
    let [.., first, second] = entries.as_slice() else { panic!("{entries:?}") };
    assert_eq!(first.kind, Kind::File { size: 0 });
    assert_eq!(second.kind, Kind::HardLink { target: first.path.clone() });
    assert_eq!(first.metadata.links, 2);
}

#[test]
fn a_path_through_dot_dot_is_refused_with_advice() {
    let error = Walk::new(&[PathBuf::from("a/../b")]).err().unwrap().to_string();
    assert_eq!(error, "cannot read a/../b: it leads through '..': name it by its absolute path");
}

#[test]
fn what_may_not_be_read_is_named_and_the_rest_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    // Names that no process can read, also not root: a link in the place of a root that is gone.
    let (entries, problems) = walk(&[root.join("gone"), root.to_owned()]);
    assert_eq!(
        (entries.is_empty(), problems.len()),
        (false, 0),
        "a root inside another is met there"
    );
    let (_, problems) = walk(&[root.join("gone")]);
    assert_eq!(problems.len(), 1);
    assert!(problems[0].contains("gone"), "{problems:?}");

    if rustix::process::geteuid().is_root() {
        println!("not checked: nothing is unreadable for root");
        return;
    }
    fs::create_dir(root.join("closed")).unwrap();
    fs::set_permissions(root.join("closed"), fs::Permissions::from_mode(0o000)).unwrap();
    File::create(root.join("open")).unwrap();
    let (entries, problems) = walk(&[root.to_owned()]);
    fs::set_permissions(root.join("closed"), fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(names_below(root, &entries), ["", "/closed", "/open"]);
    assert!(problems[0].contains("closed"), "{problems:?}");
}

#[test]
fn a_file_that_grows_or_shrinks_gives_what_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let mut file = File::create(&path).unwrap();
    file.write_all(b"12345").unwrap();
    let mut walk = Walk::new(&[path]).unwrap();
    while !matches!(walk.next_entry().unwrap().unwrap().kind, Kind::File { .. }) {}
    file.write_all(b"678").unwrap();
    assert_eq!(content(&mut walk).unwrap(), b"12345678");
    file.set_len(0).unwrap();
    assert_eq!(content(&mut walk).unwrap(), b"");
}

#[test]
fn a_file_that_became_a_fifo_does_not_hang_the_walk() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("swapped");
    File::create(&path).unwrap();
    let mut walk = Walk::new(std::slice::from_ref(&path)).unwrap();
    while !matches!(walk.next_entry().unwrap().unwrap().kind, Kind::File { .. }) {}
    fs::remove_file(&path).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    assert!(content(&mut walk).is_err());
    assert!(walk.next_entry().unwrap().is_none());
}

#[test]
fn holes_are_known_and_read_as_zeros() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sparse");
    let mut file = File::create(&path).unwrap();
    file.seek(io::SeekFrom::Start(8 << 20)).unwrap();
    file.write_all(&[7; 4096]).unwrap();
    file.set_len(16 << 20).unwrap();
    let mut walk = Walk::new(&[path]).unwrap();
    while !matches!(walk.next_entry().unwrap().unwrap().kind, Kind::File { .. }) {}
    if let Some(extents) = walk.extents().unwrap() {
        let data: u64 = extents.iter().map(|(_, length)| length).sum();
        assert!((4096..1 << 20).contains(&data), "{extents:?}");
        assert!(
            extents.iter().any(|(offset, length)| (*offset..offset + length).contains(&(8 << 20)))
        );
    } else {
        println!("not checked: this file system does not tell of holes");
    }
    let all = content(&mut walk).unwrap();
    assert_eq!(all.len(), 16 << 20);
    assert!(all.iter().filter(|&&byte| byte == 7).count() == 4096);
}

#[test]
fn what_is_excluded_is_left_out_under_every_name() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    fs::create_dir_all(root.join("share/w")).unwrap();
    File::create(root.join("data")).unwrap();
    let mut walk = Walk::new(&[root.to_owned()]).unwrap();
    walk.exclude(&root.join("share")).unwrap();
    let (entries, _) = collect(&mut walk);
    assert_eq!(names_below(root, &entries), ["", "/data"]);
}

#[test]
fn names_that_are_not_text_arrive_byte_for_byte() {
    let directory = tempfile::tempdir().unwrap();
    let odd: [&[u8]; 4] = [b"a\nb", b"\xff\xfe", b"quote\"back\\slash", "é🦀".as_bytes()];
    for name in odd {
        File::create(directory.path().join(OsStr::from_bytes(name))).unwrap();
    }
    let (entries, _) = walk(&[directory.path().to_owned()]);
    for name in odd {
        assert!(
            entries.iter().any(|entry| entry.path.name() == name),
            "{}",
            crate::entry::show(name)
        );
    }
}
