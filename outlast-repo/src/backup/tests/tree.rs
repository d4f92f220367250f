//! Trees out of entries in any order.

use std::sync::Arc;

use outlast_format::config::Version;
use outlast_format::tree::NodeKind;
use outlast_store::MemoryStore;

use super::script::{Script, contents, noise};
use super::{options, repository, run, tight};
use crate::backup::{Input, Outcome};
use crate::{RepoError, Repository};

fn back_up(script: &Script) -> (Repository, Outcome) {
    let repository = repository(Arc::new(MemoryStore::new()), Version::V2);
    let outcome =
        run(&repository, Input::Tree(Box::new(script.clone())), &options(tight())).unwrap();
    (repository, outcome)
}

/// What a tree is but for times and numbers: path, type, content.
fn shape(script: &Script) -> Vec<(String, NodeKind, Vec<u8>)> {
    let (repository, outcome) = back_up(script);
    assert!(outcome.problems.is_empty(), "{:?}", outcome.problems);
    let found = contents(&repository, outcome.snapshot.tree);
    found.into_iter().map(|(path, (node, content))| (path, node.kind, content)).collect()
}

#[test]
fn an_empty_source_is_an_empty_tree() {
    assert!(shape(&Script::new()).is_empty());
}

#[test]
fn the_order_of_a_source_does_not_matter() {
    let mut sorted = Script::new();
    sorted.directory("a", 0o755).file("a/1", b"one").directory("a/b", 0o700).file("a/b/2", b"two");
    sorted.file("a/c", &noise(1, 300_000)).directory("z", 0o755).file("z/3", b"");
    let mut mixed = Script::new();
    mixed.file("z/3", b"").file("a/b/2", b"two").file("a/c", &noise(1, 300_000));
    mixed.directory("z", 0o755).directory("a/b", 0o700).file("a/1", b"one").directory("a", 0o755);
    assert_eq!(shape(&mixed), shape(&sorted));
    assert_eq!(back_up(&mixed).1.stats.directories, 3);
    assert_eq!(back_up(&mixed).1.stats.files, 4);
    // The same tree, in one repository.
    let (repository, first) = back_up(&sorted);
    let second = run(&repository, Input::Tree(Box::new(mixed)), &options(tight())).unwrap();
    assert_eq!(second.snapshot.tree, first.snapshot.tree);
}

#[test]
fn a_source_may_come_back_to_every_directory_again_and_again() {
    let mut script = Script::new();
    for n in 0..60 {
        script.file(&format!("a/x/{n}"), &noise(n, 2000));
        script.file(&format!("b/y/{n}"), &noise(n + 100, 20_000));
    }
    let found = shape(&script);
    assert_eq!(found.iter().filter(|(_, kind, _)| *kind == NodeKind::File).count(), 120);
    assert_eq!(found.len(), 124);
}

#[test]
fn an_implied_directory_is_as_old_as_its_newest_member() {
    let mut script = Script::new();
    script.file("deep/er/longest-name", b"x").file("deep/er/y", b"y").file("other/z", b"z");
    script.file("deep/er/w", b"w");
    let (repository, outcome) = back_up(&script);
    let found = contents(&repository, outcome.snapshot.tree);
    let newest = found["deep/er/longest-name"].0.modified;
    for path in ["deep/er", "deep"] {
        assert_eq!(found[path].0.modified, newest);
        assert_eq!(found[path].0.mode.permissions(), 0o755);
    }
    let again = run(&repository, Input::Tree(Box::new(script)), &options(tight())).unwrap();
    assert_eq!(again.snapshot.tree, outcome.snapshot.tree);
}

#[test]
fn hard_links_are_one_file_with_several_names() {
    let content = noise(5, 200_000);
    for numbered in [false, true] {
        let mut script = Script::new();
        if numbered {
            script.numbered("a/file", &content, 77);
        } else {
            script.file("a/file", &content);
        }
        // While the target is in flight, beside it, and after its directory was closed.
        script.link("a/beside", "a/file").link("b/far", "a/file").file("c/other", b"other");
        script.link("c/late", "a/file").link("c/of-link", "b/far");
        let (repository, outcome) = back_up(&script);
        assert!(outcome.problems.is_empty(), "{:?}", outcome.problems);
        let found = contents(&repository, outcome.snapshot.tree);
        let names = ["a/file", "a/beside", "b/far", "c/late", "c/of-link"];
        let (first, _) = &found["a/file"];
        assert_eq!(first.inode == 77, numbered);
        for name in names {
            let (node, read) = &found[name];
            assert_eq!(*read, content, "{name}");
            assert!(node.links >= 2, "{name}");
            assert_eq!((node.inode, node.device_id), (first.inode, first.device_id), "{name}");
            assert_eq!(node.modified, first.modified);
        }
        assert_eq!(found["c/other"].0.links, 0);
    }
}

#[test]
fn a_link_to_nothing_is_a_problem_and_the_rest_goes_on() {
    let mut script = Script::new();
    script.link("a/link", "a/missing").link("a/self", "a/self").directory("a/d", 0o755);
    script.link("a/to-directory", "a/d").file("a/file", b"x").link("b", "nowhere/at/all");
    let (repository, outcome) = back_up(&script);
    assert_eq!(outcome.problem_count, 4);
    assert!(outcome.problems[0].contains("a/link") && outcome.problems[0].contains("a/missing"));
    let found = contents(&repository, outcome.snapshot.tree);
    assert_eq!(found.keys().collect::<Vec<_>>(), ["a", "a/d", "a/file"]);
}

#[test]
fn the_last_of_one_name_wins_but_never_over_a_directory() {
    let mut script = Script::new();
    script.file("a", &noise(1, 500_000)).file("a", b"second").file("s", b"x").symlink("s", "a");
    script.file("d/x", b"x").file("d", b"file instead").file("a/below", b"y");
    let (repository, outcome) = back_up(&script);
    assert_eq!(outcome.problem_count, 2, "{:?}", outcome.problems);
    let found = contents(&repository, outcome.snapshot.tree);
    assert_eq!(found.keys().collect::<Vec<_>>(), ["a", "d", "d/x", "s"]);
    assert_eq!(found["a"].1, b"second");
    assert_eq!(found["s"].0.kind, NodeKind::Symlink);
}

#[test]
fn what_cannot_be_read_is_named_and_left_out() {
    let mut script = Script::new();
    script.file("a/before", &noise(1, 40_000)).failing("a/bad", &noise(2, 250_000));
    script.problem("a/locked").failing("a/bad-at-once", b"").file("a/z", &noise(3, 250_000));
    let (repository, outcome) = back_up(&script);
    assert_eq!(outcome.problem_count, 3);
    assert!(outcome.problems.iter().any(|problem| problem.contains("a/locked")));
    assert!(outcome.problems.iter().any(|problem| problem.contains("a/bad:")));
    let found = contents(&repository, outcome.snapshot.tree);
    assert_eq!(found.keys().collect::<Vec<_>>(), ["a", "a/before", "a/z"]);
    assert_eq!(found["a/z"].1, noise(3, 250_000));
    assert_eq!(outcome.stats.files, 2);
}

#[test]
fn a_source_that_ends_badly_fails_the_backup() {
    let mut script = Script::new();
    script.file("a", &noise(1, 400_000)).end_badly("drop.tar");
    let repository = repository(Arc::new(MemoryStore::new()), Version::V2);
    let error = run(&repository, Input::Tree(Box::new(script)), &options(tight())).unwrap_err();
    assert!(matches!(error, RepoError::Source(_)), "{error}");
    assert!(error.to_string().contains("drop.tar"), "{error}");
}

#[test]
fn thousands_of_small_files_share_blocks_and_packs() {
    let mut script = Script::new();
    for n in 0..9000_u64 {
        script.file(&format!("d{:02}/{n}", n / 100), &noise(n, (n % 300) as usize));
    }
    let (repository, outcome) = back_up(&script);
    let found = contents(&repository, outcome.snapshot.tree);
    assert_eq!(found.len(), 9090);
    assert_eq!(found["d07/777"].1, noise(777, 777 % 300));
}

#[test]
fn a_long_directory_is_the_same_tree_in_whatever_order_it_comes() {
    let name = |n: u64| format!("long/{n:05}");
    let late = |script: &mut Script| {
        script.file("other/x", b"x").link("other/link", "long/00007").file("long/00001", b"again");
        script.file("long/d/inside", b"y").file("long/01000.d/inside", b"z");
    };
    let count = 2600;
    let mut sorted = Script::new();
    for n in 0..count {
        sorted.file(&name(n), &noise(n, (n % 40) as usize));
    }
    late(&mut sorted);
    let (repository, expected) = back_up(&sorted);
    assert!(expected.problems.is_empty(), "{:?}", expected.problems);
    let found = contents(&repository, expected.snapshot.tree);
    assert_eq!(found.len() as u64, count + 8);
    assert_eq!(found["long/00001"].1, b"again");
    assert_eq!(found["long/00007"].0.inode, found["other/link"].0.inode);
    assert_eq!(found["long/02222"].1, noise(2222, 2222 % 40));
    // 7 and 2600 have no common factor, so every file comes once.
    for step in [count - 1, 7] {
        let mut mixed = Script::new();
        for n in (0..count).map(|n| n * step % count) {
            mixed.file(&name(n), &noise(n, (n % 40) as usize));
        }
        late(&mut mixed);
        let outcome = run(&repository, Input::Tree(Box::new(mixed)), &options(tight())).unwrap();
        assert_eq!(outcome.snapshot.tree, expected.snapshot.tree, "step {step}");
    }
}
