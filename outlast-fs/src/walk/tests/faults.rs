//! What goes wrong with a tree while it is walked, or is odd in it.

use super::*;

/// Walks up to the entry whose path ends with `end`.
fn walk_to(walk: &mut Walk, end: &str) -> Entry {
    loop {
        let entry = walk.next_entry().unwrap().expect("there is such an entry");
        if entry.path.to_string().ends_with(end) {
            return entry;
        }
    }
}

fn inode(path: &Path) -> u64 {
    path.symlink_metadata().unwrap().ino()
}

/// Makes new files with two names in `z` until one has the number, as soon as that is free.
fn reuse(root: &Path, number: u64) -> Option<PathBuf> {
    (0..500).find_map(|n| {
        let path = root.join(format!("z/new{n}"));
        put(&path, format!("new {n}").as_bytes());
        fs::hard_link(&path, root.join(format!("z/second{n}"))).unwrap();
        (inode(&path) == number).then_some(path)
    })
}

#[test]
fn a_new_file_that_got_the_number_of_an_old_one_is_not_taken_for_it() {
    // All names of the old file were seen, or one of them is still expected.
    for outside in [false, true] {
        let tree = tree();
        let elsewhere = if outside { "elsewhere" } else { "a/one-too" };
        fs::hard_link(tree.path().join("a/one"), tree.path().join(elsewhere)).unwrap();
        let number = inode(&tree.path().join("a/one"));
        let paths = [tree.path().join("a"), tree.path().join("z")];
        let mut walk = Walk::new(&paths).unwrap().ahead(0);
        walk_to(&mut walk, "a/two");
        fs::remove_file(tree.path().join("a/one")).unwrap();
        fs::remove_file(tree.path().join(elsewhere)).unwrap();
        let Some(new) = reuse(tree.path(), number) else {
            println!("left out: this file system does not use a number again");
            return;
        };
        let name = format!("z/{}", new.file_name().unwrap().display());
        let entry = walk_to(&mut walk, &name);
        assert!(matches!(entry.kind, Kind::File { .. }), "{entry:?}");
        assert_eq!((entry.metadata.device, entry.metadata.inode), (0, 0));
        let mut content = [0; 10];
        let read = walk.read(&mut content).unwrap();
        assert_eq!(content[..read], fs::read(&new).unwrap());
        let second = walk_to(&mut walk, &name.replace("new", "second"));
        assert_eq!(second.kind, Kind::HardLink { target: entry.path });
    }
}

#[test]
fn a_path_that_is_missing_is_named_and_the_others_are_walked() {
    let tree = tree();
    let paths = ["no-such", "a", "gone/too"].map(|path| tree.path().join(path));
    let (entries, problems) = walked(&mut Walk::new(&paths).unwrap());
    assert!(entries.iter().any(|entry| entry.ends_with("a/one file")), "{entries:?}");
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].contains("/no-such: No such file"), "{problems:?}");
    assert!(problems[1].contains("/gone/too: No such file"), "{problems:?}");
    let mut walk = Walk::new(&paths[..2]).unwrap();
    fs::remove_dir_all(&paths[1]).unwrap();
    let (_, problems) = walked(&mut walk);
    assert_eq!(problems.len(), 2, "what went away since is missing, too: {problems:?}");
}

#[test]
fn an_attribute_with_an_odd_name_is_named_and_the_others_stay() {
    let tree = tree();
    let path = tree.path().join("a/one");
    for name in [&b"user.good"[..], b"user.odd\xff", b"user.zgood"] {
        if rustix::fs::setxattr(&path, name, b"v", rustix::fs::XattrFlags::empty()).is_err() {
            println!("left out: no extended attributes here");
            return;
        }
    }
    let mut walk = Walk::new(std::slice::from_ref(&path)).unwrap();
    let entry = walk_to(&mut walk, "a/one");
    let names: Vec<_> = entry.metadata.xattrs.iter().map(|(name, _)| &name[..]).collect();
    assert_eq!(names, [b"user.good", &b"user.zgood"[..]]);
    let problem = walk.next_entry().unwrap_err().to_string();
    assert!(problem.contains("user.odd\\xff") && problem.contains("UTF-8"), "{problem}");
    assert!(walk.next_entry().unwrap().is_none());
}

#[test]
fn reading_a_tree_leaves_the_time_of_the_last_access_as_it_was() {
    let tree = tree();
    let paths = ["a/one", "a", "z/deep/er/file", "z/deep"].map(|path| tree.path().join(path));
    let long_ago = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
    for path in &paths {
        let times = fs::FileTimes::new().set_accessed(long_ago);
        File::open(path).unwrap().set_times(times).unwrap();
    }
    contents(tree.path(), 2);
    for path in &paths {
        assert_eq!(path.metadata().unwrap().atime(), 1_000_000, "{}", path.display());
    }
}

#[test]
fn directories_that_were_closed_are_found_again_and_others_in_their_place_are_not() {
    let tree = tempfile::tempdir().unwrap();
    let deep = (0..40).fold(tree.path().join("top"), |path, _| path.join("d"));
    for directory in deep.ancestors().take(41) {
        for n in 0..20 {
            put(&directory.join(format!("e{n:02}")), &[n; 40]);
        }
    }
    let mut walk = Walk::new(&[tree.path().join("top")]).unwrap();
    walk.allowance = Allowance { directories: 2, files: 3, threads: 4 };
    walk.visitor.pool = Arc::new(Pool::new(2));
    let (entries, problems) = walked(&mut walk);
    assert_eq!(problems, Vec::<String>::new());
    assert_eq!(entries.iter().filter(|entry| entry.ends_with(" file")).count(), 41 * 20);

    let mut walk = Walk::new(&[tree.path().join("top")]).unwrap().ahead(0);
    walk.visitor.pool = Arc::new(Pool::new(2));
    walk_to(&mut walk, "d/".repeat(40).trim_end_matches('/'));
    rustix::fs::rename(tree.path().join("top/d"), tree.path().join("top/moved")).unwrap();
    put(&tree.path().join("top/d/e00"), b"of another directory");
    let (entries, problems) = walked(&mut walk);
    assert!(!entries.iter().any(|entry| entry.contains("top/d/e00")), "{entries:?}");
    assert!(problems.iter().any(|problem| problem.contains("top/d/e00")), "{problems:?}");
    assert!(entries.iter().any(|entry| entry.contains("top/e00")));
}

#[test]
fn a_long_directory_is_walked_in_parts_in_its_order() {
    let tree = tempfile::tempdir().unwrap();
    for n in 0..9000 {
        File::create(tree.path().join(format!("{n:05}"))).unwrap();
    }
    put(&tree.path().join("04000.d/inside"), b"x");
    let (entries, problems) = walked(&mut Walk::new(&[tree.path().join(".")]).unwrap());
    assert!(problems.is_empty() && entries.is_sorted(), "{problems:?}");
    assert!(entries.len() > 9001);
}

#[test]
fn sparse_files_are_skipped_through() {
    let tree = tree();
    let path = tree.path().join("a/one");
    let file = File::options().write(true).open(&path).unwrap();
    file.set_len(8 << 20).unwrap();
    file.write_all_at(&[7; 4096], 4 << 20).unwrap();
    let mut walk = Walk::new(std::slice::from_ref(&path)).unwrap();
    walk_to(&mut walk, "a/one");
    walk.skip((4 << 20) + 4000).unwrap();
    let mut buffer = [1; 200];
    assert_eq!(walk.read(&mut buffer).unwrap(), 200);
    assert!(buffer[..96] == [7; 96] && buffer[96..] == [0; 104]);
    walk.skip(1 << 30).unwrap();
    assert_eq!(walk.read(&mut buffer).unwrap(), 0);
}
