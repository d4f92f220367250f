//! What is placed has what its entry says, and nothing else.

use std::os::unix::fs::FileTypeExt;

use rustix::fs::XattrFlags;

use super::*;

const LIST: &str = "system.posix_acl_access";
const DEFAULT: &str = "system.posix_acl_default";

/// An access list that lets in one named user, with what its mask allows.
fn list(user: u32, group: u16, mask: u16, other: u16) -> Vec<u8> {
    let entries = [
        (0x01_u16, 6_u16, u32::MAX),
        (0x02, 7, user),
        (0x04, group, u32::MAX),
        (0x10, mask, u32::MAX),
        (0x20, other, u32::MAX),
    ];
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(permissions.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

fn give(path: &Path, name: &str, value: &[u8]) -> bool {
    match rustix::fs::setxattr(path, name, value, XattrFlags::empty()) {
        Ok(()) => true,
        Err(errno) => {
            println!("left out: {name} cannot be set here: {errno}");
            false
        }
    }
}

/// The names of all extended attributes that are content.
fn attributes(path: &Path) -> Vec<String> {
    let mut names = vec![0; 65_536];
    let length = rustix::fs::listxattr(path, &mut names[..]).unwrap();
    let names = names[..length].split(|&byte| byte == 0).filter(|name| !name.is_empty());
    let names = names.filter(|name| attributes::is_content(name));
    names.map(|name| String::from_utf8_lossy(name).into_owned()).collect()
}

fn mode(path: &Path) -> u32 {
    path.symlink_metadata().unwrap().permissions().mode() & 0o7777
}

fn with_mode(mut entry: Entry, mode: u32) -> Entry {
    entry.metadata.mode = mode;
    entry
}

fn with_attribute(mut entry: Entry, name: &str, value: &[u8]) -> Entry {
    entry.metadata.xattrs.push((name.as_bytes().to_vec(), value.to_vec()));
    entry
}

#[test]
fn what_a_directory_passes_on_is_taken_from_what_is_placed_in_it() {
    let ground = Ground::new();
    let root = ground.path("target");
    fs::create_dir(&root).unwrap();
    if !give(&root, DEFAULT, &list(1234, 7, 7, 7)) {
        return;
    }
    let target = Target::open(&root, false).unwrap();
    let kept = list(77, 4, 4, 0);
    target.place(&with_mode(entry("dir", Kind::Directory), 0o750)).unwrap();
    for name in ["file", "dir/file", "implied/file"] {
        fill(&target, &with_mode(file(name), 0o640), b"secret").unwrap();
    }
    fill(&target, &with_mode(with_attribute(file("listed"), LIST, &kept), 0o640), b"x").unwrap();
    target.place(&with_mode(entry("dir/pipe", Kind::Fifo), 0o640)).unwrap();
    target.place(&link("dir/link", "file")).unwrap();
    // While it is being filled, too, nobody gets in.
    let placed = target.place(&with_mode(file("dir/filling"), 0o640)).unwrap().unwrap();
    assert_eq!(mode(&root.join("dir/filling")), 0o600);
    placed.finish().unwrap();
    let report = target.finish().unwrap();
    assert!(report.problems.is_empty(), "{report:?}");
    for name in ["file", "dir", "dir/file", "implied/file", "dir/pipe", "dir/filling"] {
        assert_eq!(attributes(&root.join(name)), Vec::<String>::new(), "{name}");
        let expected = if name == "dir" { 0o750 } else { 0o640 };
        assert_eq!(mode(&root.join(name)), expected, "{name}");
    }
    assert_eq!(attributes(&root.join("listed")), [LIST]);
    assert_eq!(attributes(&root), [DEFAULT], "the target is not ours");
}

#[test]
fn what_was_there_before_keeps_nothing_that_its_entry_does_not_have() {
    let ground = Ground::new();
    let root = ground.path("target");
    let half = [7; 8192];
    fs::create_dir_all(root.join("dir")).unwrap();
    put(&root.join("dir/file"), &half);
    let mut listed = true;
    for (name, open) in [("dir", 0o777), ("dir/file", 0o666)] {
        fs::set_permissions(root.join(name), fs::Permissions::from_mode(open)).unwrap();
        listed &= give(&root.join(name), LIST, &list(1234, 7, 7, 7));
        listed &= give(&root.join(name), "user.stale", b"stale");
    }
    listed &= give(&root.join("dir"), DEFAULT, &list(1234, 7, 7, 7));
    if !listed {
        return;
    }
    let target = Target::open(&root, true).unwrap();
    target.place(&with_mode(entry("dir", Kind::Directory), 0o750)).unwrap();
    assert_eq!(mode(&root.join("dir")), 0o700, "closed before anything is placed in it");
    let wanted = with_mode(with_attribute(file("dir/file"), "user.new", b"new"), 0o640);
    let placed = target.resume(&wanted).unwrap();
    assert_eq!(mode(&root.join("dir/file")), 0o600, "closed before anything is written to it");
    placed.write_at(4096, b"secret").unwrap();
    placed.finish().unwrap();
    let report = target.finish().unwrap();
    assert!(report.problems.is_empty(), "{report:?}");
    assert_eq!(attributes(&root.join("dir/file")), ["user.new"]);
    assert_eq!(attributes(&root.join("dir")), Vec::<String>::new());
    assert_eq!((mode(&root.join("dir")), mode(&root.join("dir/file"))), (0o750, 0o640));
}

#[test]
fn a_directory_that_is_as_it_should_be_stays_open_while_it_is_filled() {
    let ground = Ground::new();
    let root = ground.path("target");
    fs::create_dir_all(root.join("etc")).unwrap();
    fs::set_permissions(root.join("etc"), fs::Permissions::from_mode(0o755)).unwrap();
    let target = Target::open(&root, true).unwrap();
    target.place(&with_mode(entry("etc", Kind::Directory), 0o755)).unwrap();
    assert_eq!(mode(&root.join("etc")), 0o755);
    target.close(&path("etc")).unwrap();
    assert_eq!(fs::metadata(root.join("etc")).unwrap().mtime(), 1_000_000_000);
    assert!(target.finish().unwrap().problems.is_empty());
}

#[test]
fn one_attribute_that_cannot_be_set_costs_no_other() {
    let ground = Ground::new();
    let target = ground.target();
    let mut odd = file("odd");
    for name in ["user.a", "no.such.namespace", "user.b"] {
        odd = with_attribute(odd, name, name.as_bytes());
    }
    odd = with_attribute(odd, &format!("user.{}", "long".repeat(70)), b"x");
    odd = with_attribute(odd, "user.nul\0byte", b"x");
    fill(&target, &with_attribute(odd, "user.z", b"z"), b"content").unwrap();
    let problems = target.finish().unwrap().problems;
    let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems.len(), 3, "{problems:?}");
    for (problem, name) in problems.iter().zip(["no.such", "user.long", "$'user.nul"]) {
        assert!(problem.contains(&format!("attribute {name}")), "{problem}");
    }
    assert_eq!(attributes(&ground.path("target/odd")), ["user.a", "user.b", "user.z"]);
}

/// Everything that would give rights on the host that restores.
fn strangers() -> Vec<Entry> {
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut labelled = with_attribute(file("labelled"), "trusted.overlay.opaque", b"y");
    labelled = with_attribute(labelled, "system.unheard_of", b"y");
    vec![
        with_mode(file("rootsh"), 0o6755),
        with_mode(file("group"), 0o2711),
        with_attribute(with_mode(file("cap"), 0o755), "security.capability", &capability),
        entry("disk", Kind::BlockDevice { major: 7, minor: 200 }),
        entry("memory", Kind::CharDevice { major: 1, minor: 1 }),
        with_attribute(labelled, "user.harmless", b"1"),
    ]
}

#[test]
fn what_gives_rights_is_withheld_counted_and_named() {
    let ground = Ground::new();
    let target = ground.target();
    for entry in strangers() {
        if let Some(placed) = target.place(&entry).unwrap() {
            placed.finish().unwrap();
        }
    }
    // What nobody gains by: they are placed as they are.
    target.place(&with_mode(entry("shared", Kind::Directory), 0o3777)).unwrap();
    target.place(&entry("pipe", Kind::Fifo)).unwrap();
    let report = target.finish().unwrap();
    assert!(report.problems.is_empty(), "{report:?}");
    let withheld: Vec<_> = report.withheld.iter().map(ToString::to_string).collect();
    assert_eq!(
        withheld,
        [
            "setuid or setgid permission (/rootsh, /group)",
            "attribute security.capability (/cap)",
            "device node (/disk, /memory)",
            "attribute trusted.overlay.opaque (/labelled)",
            "attribute system.unheard_of (/labelled)",
        ]
    );
    let root = ground.path("target");
    assert_eq!((mode(&root.join("rootsh")), mode(&root.join("group"))), (0o755, 0o711));
    assert!(!root.join("disk").exists() && !root.join("memory").exists());
    assert_eq!(attributes(&root.join("cap")), Vec::<String>::new());
    assert_eq!(mode(&root.join("shared")) & 0o1777, 0o1777);
}

#[test]
fn who_trusts_the_writer_gets_everything() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can make devices and give capabilities");
        return;
    }
    let ground = Ground::new();
    let target = ground.target().privileged(true);
    let strangers = strangers();
    for entry in &strangers {
        if let Some(placed) = target.place(entry).unwrap() {
            placed.finish().unwrap();
        }
    }
    let report = target.finish().unwrap();
    assert!(report.withheld.is_empty(), "{report:?}");
    let root = ground.path("target");
    assert_eq!((mode(&root.join("rootsh")), mode(&root.join("group"))), (0o6755, 0o2711));
    assert!(root.join("disk").symlink_metadata().unwrap().file_type().is_block_device());
    assert!(attributes(&root.join("cap")).contains(&"security.capability".to_owned()));
}

#[test]
fn depth_costs_no_descriptors() {
    const LEVELS: usize = 150;
    let ground = Ground::new();
    let target = ground.target();
    let open = || fs::read_dir("/proc/self/fd").unwrap().count();
    let before = open();
    let names: Vec<_> = (0..LEVELS).map(|_| b"d".to_vec()).collect();
    let at = |depth: usize, name: &[u8]| {
        let names = names[..depth].iter().cloned().chain([name.to_vec()]).collect();
        EntryPath::from_names(names).unwrap()
    };
    for depth in 0..LEVELS {
        let path = at(depth, b"d");
        target.place(&Entry { path, ..entry("d", Kind::Directory) }).unwrap();
    }
    // On the way up, as in the order of names.
    for depth in (0..LEVELS).rev() {
        fill(&target, &Entry { path: at(depth, b"f"), ..file("f") }, b"x").unwrap();
        target.close(&at(depth, b"d")).unwrap();
    }
    // Other tests of this process open some, too.
    assert!(open() < before + 100, "{} are open", open());
    assert!(target.finish().unwrap().problems.is_empty());
}
