//! Restoring from repositories that are hostile or have lost something.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, symlink as make_symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use outlast_format::pack::BlobType;
use outlast_format::tree::NodeKind;
use outlast_format::{BlobId, Sha256Id};
use outlast_fs::EntryPath;
use outlast_repo::restore::{Options, Problem, Summary, restore};
use outlast_repo::{Credential, RepoError, Repository, check, read};
use outlast_store::faulty::{Fault, Faulty};
use outlast_store::{Object, Verb};
use outlast_testing::pseudo_random;
use outlast_types::Silent;

use crate::forge::{Forge, directory, file, symlink};

/// A directory that a restore may fill, beside one that nothing may touch.
struct Site {
    root: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("outside")).unwrap();
        Self { root }
    }

    fn target(&self) -> PathBuf {
        self.root.path().join("target")
    }

    fn restore(&self, repository: &Repository, options: &Options) -> Result<Summary, RepoError> {
        let tree = read::resolve(repository, "latest").unwrap().snapshot.tree;
        let result = restore(repository, tree, &self.target(), options, &Silent);
        // Whatever was asked: nothing appears beside the target.
        assert!(names(&self.root.path().join("outside")).is_empty());
        let expected = BTreeSet::from(["outside".to_owned(), "target".to_owned()]);
        assert!(names(self.root.path()).is_subset(&expected));
        result
    }

    fn content(&self, name: &str) -> Vec<u8> {
        fs::read(self.target().join(name)).unwrap()
    }
}

fn names(path: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(path).unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

fn messages(summary: &Summary) -> Vec<String> {
    summary.problems.iter().map(Problem::to_string).collect()
}

fn path(text: &str) -> EntryPath {
    EntryPath::parse(text.as_bytes()).unwrap()
}

fn lose(repository: &Repository, pack: outlast_format::PackId) {
    repository.store().remove(&Object::Data(pack)).unwrap();
}

#[test]
fn names_that_could_leave_the_target_are_refused_and_named() {
    let hostile: [&[u8]; 9] =
        [b"../escaped", b"/escaped", b"..", b".", b"", b"a/b", b"nul\0byte", b"/", &[b'x'; 256]];
    let mut forge = Forge::new();
    let mut nodes: Vec<_> = hostile.iter().map(|name| forge.file(name, &[b"hostile"])).collect();
    nodes.push(forge.file(b"honest", &[b"honest"]));
    let inner = forge.tree(nodes.clone());
    nodes.push(directory(b"..", inner));
    nodes.push(directory(b"inner", inner));
    let root = forge.tree(nodes);
    let (_, repository) = forge.finish(root);
    let site = Site::new();
    let summary = site.restore(&repository, &Options::default()).unwrap();
    assert_eq!(names(&site.target()), ["honest".to_owned(), "inner".to_owned()].into());
    assert_eq!(names(&site.target().join("inner")), ["honest".to_owned()].into());
    assert_eq!(summary.problems.len(), 19, "{:#?}", summary.problems);
    for message in messages(&summary) {
        assert!(message.contains("is not a path inside a tree"), "{message}");
    }
}

#[test]
fn a_link_that_leads_out_of_the_target_is_not_followed() {
    let site = Site::new();
    let outside = site.root.path().join("outside");
    let mut forge = Forge::new();
    let content = forge.file(b"file", &[b"hostile"]);
    let inner = forge.tree(vec![content]);
    let target = outside.to_str().unwrap().as_bytes();
    // The same name first as a link, then as a directory to write through.
    let root = forge.tree(vec![symlink(b"way out", target), directory(b"way out", inner)]);
    let (_, repository) = forge.finish(root);
    let summary = site.restore(&repository, &Options::default()).unwrap();
    assert_eq!(summary.problems.len(), 1, "{:#?}", summary.problems);

    // A link that lies in the target already, where the snapshot has a directory.
    let site = Site::new();
    let outside = site.root.path().join("outside");
    fs::create_dir(site.target()).unwrap();
    make_symlink(&outside, site.target().join("way out")).unwrap();
    let mut forge = Forge::new();
    let content = forge.file(b"file", &[b"content"]);
    let inner = forge.tree(vec![content]);
    let root = forge.tree(vec![directory(b"way out", inner)]);
    let (_, repository) = forge.finish(root);
    let options = Options { overwrite: true, ..Options::default() };
    // Either the link is replaced or the entry is refused; Site looks that nothing leaked.
    let summary = site.restore(&repository, &options).unwrap();
    if summary.problems.is_empty() {
        assert_eq!(site.content("way out/file"), b"content");
    }
}

#[test]
fn a_target_that_is_not_empty_is_refused_without_the_flag() {
    let mut forge = Forge::new();
    let node = forge.file(b"file", &[b"new"]);
    let root = forge.tree(vec![node]);
    let (_, repository) = forge.finish(root);
    let site = Site::new();
    fs::create_dir(site.target()).unwrap();
    for name in ["file", "other"] {
        File::create(site.target().join(name)).unwrap().write_all(b"old").unwrap();
    }
    let error = site.restore(&repository, &Options::default()).unwrap_err().to_string();
    assert!(error.contains(site.target().to_str().unwrap()), "{error}");
    assert_eq!(site.content("file"), b"old");
    let options = Options { overwrite: true, ..Options::default() };
    let summary = site.restore(&repository, &options).unwrap();
    assert!(summary.problems.is_empty(), "{:#?}", summary.problems);
    assert_eq!(site.content("file"), b"new");
    assert_eq!(site.content("other"), b"old", "what the snapshot does not have stays");
}

#[test]
fn a_file_of_which_a_part_is_lost_is_kept_under_another_name() {
    let mut forge = Forge::new();
    let lost = forge.data(b"LOST PART");
    let pack = forge.end_pack();
    let mut broken = file(b"broken", vec![]);
    broken.content = Some(vec![forge.data(b"begin "), lost, forge.data(b" end")]);
    broken.size = 6 + 9 + 4;
    broken.links = 2;
    broken.inode = 7;
    let mut link = broken.clone();
    link.name = b"link".to_vec();
    let mut gone = file(b"gone", vec![lost]);
    gone.size = 9;
    let whole = forge.file(b"whole", &[b"whole"]);
    let root = forge.tree(vec![broken, gone, link, whole]);
    let (_, repository) = forge.finish(root);
    lose(&repository, pack);
    let site = Site::new();
    let summary = site.restore(&repository, &Options::default()).unwrap();
    let expected = ["broken.damaged", "link.damaged", "whole"].map(str::to_owned);
    assert_eq!(names(&site.target()), expected.into());
    assert_eq!(site.content("broken.damaged"), b"begin \0\0\0\0\0\0\0\0\0 end");
    let inode = |name: &str| site.target().join(name).metadata().unwrap().ino();
    assert_eq!(inode("broken.damaged"), inode("link.damaged"));
    assert_eq!(site.content("whole"), b"whole");
    let mut messages = messages(&summary);
    messages.sort();
    assert_eq!(messages.len(), 3, "{messages:#?}");
    let damaged = "/broken is not complete: 9 of its 19 bytes are lost, the first at 6";
    assert!(messages[0].starts_with(damaged), "{messages:#?}");
    assert!(messages[0].contains(&format!("data/{pack}")), "{messages:#?}");
    assert!(messages[1].starts_with("/gone is not restored"), "{messages:#?}");
    assert!(messages[2].starts_with("/link is another name of /broken"), "{messages:#?}");
}

#[test]
fn a_second_copy_of_a_blob_saves_the_file() {
    let mut forge = Forge::new();
    forge.data(b"content");
    let damaged = forge.end_pack();
    let node = forge.file(b"file", &[b"content"]);
    let inner = forge.tree(vec![node]);
    forge.end_pack();
    let again = forge.tree(vec![{
        let mut node = file(b"file", vec![BlobId::of(b"content")]);
        node.size = 7;
        node
    }]);
    assert_eq!(inner, again);
    let lost = forge.end_pack();
    let root = forge.tree(vec![directory(b"inner", inner)]);
    let (_, repository) = forge.finish(root);
    lose(&repository, damaged);
    lose(&repository, lost);
    let site = Site::new();
    let summary = site.restore(&repository, &Options::default()).unwrap();
    assert!(summary.problems.is_empty(), "{:#?}", summary.problems);
    assert_eq!(site.content("inner/file"), b"content");
    let mut content = Vec::new();
    read::cat(&repository, root, &path("inner/file"), &mut content, &Silent).unwrap();
    assert_eq!(content, b"content");
    let report = check::check(&repository, &check::Options::default(), &Silent).unwrap();
    assert_eq!(report.problems.len(), 2, "{:#?}", report.problems);
    assert!(report.problems.iter().all(|problem| problem.affected.total == 0));
}

#[test]
fn what_lies_around_pieces_that_no_index_knows_is_kept_in_its_place() {
    let unknown = BlobId::of(b"in no index");
    let mut forge = Forge::new();
    let (begin, end) = (forge.data(b"begin"), forge.data(b"end"));
    let mut one = file(b"one", vec![begin, unknown, end]);
    one.size = 5 + 7 + 3;
    let mut two = file(b"two", vec![begin, unknown, begin, unknown, end]);
    two.size = 40;
    let root = forge.tree(vec![one, two]);
    let (_, repository) = forge.finish(root);
    let site = Site::new();
    let summary = site.restore(&repository, &Options::default()).unwrap();
    assert_eq!(site.content("one.damaged"), b"begin\0\0\0\0\0\0\0end");
    assert_eq!(site.content("two.damaged"), [&b"begin"[..], &[0; 32], b"end"].concat());
    let messages = messages(&summary).join("\n");
    assert!(messages.contains("7 of its 15 bytes") && messages.contains("32 of its 40 bytes"));
    assert!(messages.contains(&unknown.to_string()), "{messages}");
}

#[test]
fn a_directory_that_cannot_be_read_costs_only_itself() {
    let mut forge = Forge::new();
    let node = forge.file(b"file", &[b"lost"]);
    let lost = forge.tree(vec![node]);
    let pack = forge.end_pack();
    let node = forge.file(b"file", &[b"kept"]);
    let kept = forge.tree(vec![node]);
    let no_tree = forge.blob(BlobType::Tree, b"{\"nodes\":[{]}");
    let mut treeless = directory(b"treeless", kept);
    treeless.subtree = None;
    let nodes = vec![
        directory(b"kept", kept),
        directory(b"lost", lost),
        directory(b"no tree", no_tree),
        treeless,
    ];
    let root = forge.tree(nodes);
    let (_, repository) = forge.finish(root);
    lose(&repository, pack);
    let site = Site::new();
    let summary = site.restore(&repository, &Options::default()).unwrap();
    assert_eq!(site.content("kept/file"), b"kept");
    let messages = messages(&summary);
    assert_eq!(messages.len(), 3, "{messages:#?}");
    assert!(messages[0].contains("/lost and everything in it"), "{messages:#?}");
    assert!(messages[0].contains(&pack.to_string()), "{messages:#?}");
    assert!(messages[1].contains("/no tree") && messages[2].contains("/treeless"));
}

#[test]
fn blobs_that_are_not_what_they_claim_are_never_given_out() {
    let mut forge = Forge::new();
    let swapped = forge.entry(BlobType::Data, BlobId::of(b"right"), b"wrong");
    let huge = forge.data(b"a piece that claims to be huge");
    forge.lie(|entry| entry.uncompressed_length = Some(u32::MAX));
    let bomb = forge.data(&[0x28, 0xb5, 0x2f, 0xfd, 0xa4, 0xff, 0xff, 0xff, 0x7f]);
    forge.lie(|entry| entry.uncompressed_length = Some(32 << 20));
    let tree_as_data = forge.tree(vec![]);
    let nodes = [swapped, huge, bomb, tree_as_data].into_iter().enumerate().map(|(n, blob)| {
        let mut node = file(format!("file {n}").as_bytes(), vec![blob]);
        node.size = 5;
        node
    });
    let nodes = nodes.collect();
    let root = forge.tree(nodes);
    let (_, repository) = forge.finish(root);
    let site = Site::new();
    let summary = site.restore(&repository, &Options::default()).unwrap();
    assert!(names(&site.target()).is_empty());
    let lost = |problem: &&Problem| matches!(problem, Problem::Lost { .. });
    assert_eq!(summary.problems.iter().filter(lost).count(), 4, "{:#?}", summary.problems);
    let tree = read::resolve(&repository, "latest").unwrap().snapshot.tree;
    for number in 0..4 {
        let mut out = Vec::new();
        let name = path(&format!("file {number}"));
        assert!(read::cat(&repository, tree, &name, &mut out, &Silent).is_err());
        assert!(out.is_empty());
    }
    let report = check::check(
        &repository,
        &check::Options { read_data: true, ..check::Options::default() },
        &Silent,
    )
    .unwrap();
    assert!(!report.is_clean());
}

#[test]
fn a_tree_deeper_than_any_path_ends_with_a_message() {
    let mut forge = Forge::new();
    let node = forge.file(b"bottom", &[b"bottom"]);
    let mut tree = forge.tree(vec![node]);
    for _ in 0..5000 {
        tree = forge.tree(vec![directory(b"d", tree)]);
    }
    let (_, repository) = forge.finish(tree);
    let mut errors = Vec::new();
    read::ls(&repository, tree, |found| errors.extend(found.err())).unwrap();
    assert_eq!(errors.len(), 1);
    assert!(errors[0].to_string().contains("it is too long"), "{}", errors[0]);
    let report = check::check(&repository, &check::Options::default(), &Silent).unwrap();
    assert_eq!(report.problems.len(), 1);
}

#[test]
fn a_part_of_a_snapshot_can_be_restored_alone() {
    let mut forge = Forge::new();
    let nodes = ["a", "b", "c"].map(|name| forge.file(name.as_bytes(), &[name.as_bytes()]));
    let deep = forge.tree(nodes.to_vec());
    let middle = forge.tree(vec![directory(b"deep", deep), nodes[0].clone()]);
    let root = forge.tree(vec![directory(b"middle", middle), nodes[1].clone()]);
    let (_, repository) = forge.finish(root);
    let check = |options: Options, expected: &[&str]| {
        let site = Site::new();
        let summary = site.restore(&repository, &options).unwrap();
        assert!(summary.problems.is_empty(), "{:#?}", summary.problems);
        assert_eq!(summary.files, expected.len() as u64);
        for name in expected {
            assert_eq!(site.content(name), &name.as_bytes()[name.len() - 1..]);
        }
    };
    let subpath = |text| Options { subpath: Some(path(text)), ..Options::default() };
    let include = |texts: &[&str]| Options {
        include: texts.iter().map(|text| path(text)).collect(),
        ..Options::default()
    };
    check(subpath("middle/deep"), &["a", "b", "c"]);
    check(subpath("middle"), &["a", "deep/a", "deep/b", "deep/c"]);
    check(subpath("middle/deep/c"), &["c"]);
    check(include(&["middle/deep"]), &["middle/deep/a", "middle/deep/b", "middle/deep/c"]);
    check(include(&["b", "middle/deep/c"]), &["b", "middle/deep/c"]);
    let site = Site::new();
    let error = site.restore(&repository, &include(&["middle/typo"])).unwrap_err();
    assert!(error.to_string().contains("nothing there is called typo"), "{error}");
}

#[test]
fn one_file_of_many_windows_comes_back_whole_and_verified() {
    let mut forge = Forge::new();
    let pieces: Vec<Vec<u8>> = (0..40_000_u64).map(|n| pseudo_random(n % 999, 700)).collect();
    let slices: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
    let node = forge.file(b"large", &slices);
    let root = forge.tree(vec![node]);
    let (_, repository) = forge.finish(root);
    let site = Site::new();
    let options = Options { verify: true, ..Options::default() };
    let summary = site.restore(&repository, &options).unwrap();
    assert!(summary.problems.is_empty(), "{:#?}", summary.problems);
    assert_eq!(summary.bytes, 40_000 * 700);
    assert!(site.content("large") == pieces.concat());
    let mut content = Vec::new();
    read::cat(&repository, root, &path("large"), &mut content, &Silent).unwrap();
    assert!(content == pieces.concat());
}

#[test]
fn kinds_that_cannot_be_made_are_named() {
    let mut forge = Forge::new();
    let mut odd = symlink(b"odd", b"x");
    odd.kind = NodeKind::Other("door".to_owned());
    let root = forge.tree(vec![symlink(b"link to nothing", b""), odd]);
    let (_, repository) = forge.finish(root);
    let site = Site::new();
    let summary = site.restore(&repository, &Options::default()).unwrap();
    let messages = messages(&summary);
    assert_eq!(messages.len(), 2, "{messages:#?}");
    assert!(messages[0].contains("/link to nothing is not restored: it is a symbolic link"));
    assert!(messages[1].contains("a kind that this program does not know"));
}

#[test]
fn a_store_that_stops_answering_ends_the_restore_instead_of_losing_every_file() {
    let mut forge = Forge::new();
    let mut nodes = Vec::new();
    for number in 0..200_u32 {
        nodes.push(forge.file(format!("file {number:03}").as_bytes(), &[&number.to_le_bytes()]));
        // One pack for each, so that each takes a request.
        forge.end_pack();
    }
    let root = forge.tree(nodes);
    let (store, repository) = forge.finish(root);
    let faulty = Faulty::new(store);
    // The first read of data gives the tree.
    for nth in 6..1000 {
        faulty.script(Verb::Read, nth, Fault::Before(io::ErrorKind::TimedOut));
    }
    let credential = Credential::Key(repository.key().clone());
    let repository = Repository::open(Arc::new(faulty), credential).unwrap();
    let site = Site::new();
    let error = site.restore(&repository, &Options::default()).unwrap_err().to_string();
    assert!(error.contains("does not answer any more"), "{error}");
}

#[test]
fn a_full_target_ends_the_restore_with_its_path() {
    let mut forge = Forge::new();
    let content = pseudo_random(9, 3 << 20);
    let node = forge.file(b"large", &[&content[..1 << 20], &content[1 << 20..]]);
    let root = forge.tree(vec![node]);
    let (_, repository) = forge.finish(root);
    let directory = tempfile::tempdir().unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
        .arg(directory.path())
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        println!("not tried: only root may mount a small file system");
        return;
    }
    let result = restore(&repository, root, directory.path(), &Options::default(), &Silent);
    let unmounted = Command::new("umount").arg("-l").arg(directory.path()).status().unwrap();
    assert!(unmounted.success());
    let error = result.unwrap_err().to_string();
    assert!(error.contains("large") && error.contains("No space left"), "{error}");
}
