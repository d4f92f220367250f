//! Further names, where the file system takes no more of them.

use super::*;

#[test]
fn beyond_the_links_that_one_file_can_have_there_are_copies_and_they_are_said() {
    const NAMES: usize = 400;
    let ground = Ground::new();
    // As many as EFS takes.
    let target = Target { links_max: 177, ..ground.target() };
    let mut first = file("first");
    first.metadata.mode = 0o640;
    first.metadata.xattrs = vec![(b"user.x".to_vec(), b"1".to_vec())];
    let content = [&[7; 5000][..], &[0; 300_000], b"end"].concat();
    fill(&target, &first, &content).unwrap();
    for number in 1..NAMES {
        target.place(&hard_link(&format!("n{number}"), "first")).unwrap();
    }
    let report = target.finish().unwrap();
    assert!(report.problems.is_empty(), "{report:?}");
    assert_eq!(report.copied.len(), 1);
    assert_eq!(report.copied[0].count, 2, "copies have names, too");
    assert_eq!(report.copied[0].first[0], path("n177"));
    assert_eq!(fs::read_dir(ground.path("target")).unwrap().count(), NAMES);
    let (first, last) = (ground.path("target/first"), ground.path("target/n399"));
    assert!(fs::read(&last).unwrap() == content);
    let mut value = [0; 8];
    assert_eq!(rustix::fs::getxattr(&last, "user.x", &mut value[..]), Ok(1));
    let (first, last) = (first.metadata().unwrap(), last.metadata().unwrap());
    assert_ne!(last.ino(), first.ino());
    let of = |data: &fs::Metadata| (data.mode(), data.uid(), data.gid(), data.mtime());
    assert_eq!(of(&last), of(&first));
}

#[test]
fn where_no_link_can_be_made_there_is_a_copy() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can mount another file system");
        return;
    }
    let ground = Ground::new();
    fs::create_dir_all(ground.path("target/other")).unwrap();
    let other = ground.path("target/other");
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=1m", "none"])
        .arg(&other)
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        println!("skipped: nothing can be mounted here");
        return;
    }
    let target = ground.target();
    fill(&target, &file("first"), b"content").unwrap();
    let linked = target.place(&hard_link("other/second", "first"));
    let read = fs::read(other.join("second"));
    std::process::Command::new("umount").arg(&other).status().unwrap();
    linked.unwrap();
    assert_eq!(read.unwrap(), b"content");
    let report = target.finish().unwrap();
    assert!(report.copied[0].to_string().contains("another file system"), "{report:?}");
}
