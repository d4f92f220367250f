//! Each layout: what a restorer gets out of it, with our program and without.

use std::fs;
use std::path::Path;
use std::process::Command;

use outlast_drop::Content;
use outlast_drop::fetch::FetchOptions;
use outlast_handover::manifest::MANIFEST_FILE;
use outlast_handover::{HandoverError, Layout, Rules, intake, restore, verify};
use outlast_types::{Silent, WorkloadName};

use crate::support::World;

/// What a person types who has the README alone.
fn shell(command: &str, at: &Path) -> Vec<u8> {
    let output = Command::new("sh").args(["-c", command]).current_dir(at).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// A tar of a small tree, by the tar program.
pub(crate) fn tar_of_a_tree(at: &Path) -> Vec<u8> {
    shell(
        "mkdir -p tree/deep/er && printf hello > tree/a && printf world > 'tree/deep/er/b c' && ln -s a tree/link \
         && chmod 750 tree/deep && touch -d 2020-01-02T03:04:05Z tree/a && tar -C tree -cf - .",
        at,
    )
}

const CHECK: &str = "tr '{' '\\n' < outlast-drop.json | \
    sed -n 's/^\"path\":\"\\([^\"]*\\)\",\"size\":[0-9]*,\"sha256\":\"\\([0-9a-f]*\\)\".*/\\2  \\1/p' | sha256sum -c | grep -c OK";

#[test]
fn a_restorer_with_the_readme_and_standard_programs_gets_every_layout_back() {
    let content = outlast_testing::pseudo_random(3, 350_000);
    for (layout, compression, command) in [
        (Layout::Drop, None, "cat *.seg"),
        (Layout::Drop, Some(3), "cat *.seg | zstd -dq"),
        (Layout::Plain, Some(3), "cat shop.sql"),
        (Layout::Unpacked, None, "cat shop.sql"),
    ] {
        let world = World::new(layout);
        let desk = world.desk();
        let kind = Content::stream("shop.sql").unwrap();
        let address = world.drop("shop", kind, &content, compression);
        let offer = world.offer(&desk, &address).unwrap();
        intake::at(&desk).show(None).unwrap();
        let path = world.path(&offer);
        assert_eq!(shell(command, &path), content, "{layout} {compression:?}");
        let files = offer.files - 1;
        assert_eq!(shell(CHECK, &path), format!("{files}\n").as_bytes(), "{layout}");
        let readme = fs::read_to_string(world.rules.directory.join("README.txt")).unwrap();
        assert!(
            readme.contains("sha256sum -c") && readme.contains("outlast-drop.json"),
            "{readme}"
        );
    }
}

#[test]
fn content_that_stays_compressed_comes_back_by_zstd_and_by_our_program_in_parts_and_as_a_tree() {
    let content = outlast_testing::pseudo_random(5, 90_000).repeat(4);
    for (kind, content, compression, name, file_max) in [
        (Content::stream("shop.sql").unwrap(), content.clone(), Some(3), "shop.sql.zst", None),
        (
            Content::stream("shop.sql").unwrap(),
            content.clone(),
            Some(3),
            "shop.sql.zst",
            Some(50_000),
        ),
        // What came as it is lies there as it is.
        (Content::stream("shop.sql").unwrap(), content.clone(), None, "shop.sql", None),
        (Content::Tree, Vec::new(), Some(3), "shop.tar.zst", None),
    ] {
        let world = World::new(Layout::Plain);
        let rules = Rules { packed: true, file_max, ..world.rules.clone() };
        let world = World { rules, ..world };
        let is_tree = kind == Content::Tree;
        let content = if is_tree { tar_of_a_tree(world.directory.path()) } else { content };
        let desk = world.desk();
        let address = world.drop("shop", kind, &content, compression);
        let offer = world.offer(&desk, &address).unwrap();
        intake::at(&desk).show(None).unwrap();
        let path = world.path(&offer);
        let parts = if file_max.is_some() { ".part*" } else { "" };
        let unpack = if compression.is_some() { " | zstd -dq" } else { "" };
        assert_eq!(shell(&format!("cat {name}{parts}{unpack}"), &path), content, "{name}");
        assert_eq!(shell(CHECK, &path), format!("{}\n", offer.files - 1).as_bytes(), "{name}");
        let readme = fs::read_to_string(world.rules.directory.join("README.txt")).unwrap();
        assert!(readme.contains("zstd -d <name>.zst"), "{readme}");
        let found =
            restore::choose(&world.rules.directory, &address.workload, None, &Silent).unwrap();
        assert_eq!(found.manifest.version, if compression.is_some() { 2 } else { 1 });
        let into = world.directory.path().join("into");
        restore::restore(&found, &into, FetchOptions::default(), None, &Silent).unwrap();
        if is_tree {
            shell("diff -r tree into", world.directory.path());
        } else {
            assert_eq!(fs::read(into.join("shop.sql")).unwrap(), content);
        }
        let mut poured = Vec::new();
        outlast_handover::pour::pour(&found, None, &mut poured).unwrap();
        assert_eq!(poured, content, "what an import makes of it");
    }
}

#[test]
fn a_tree_comes_back_with_its_times_links_and_permissions_from_wherever_the_product_put_it() {
    for layout in [Layout::Drop, Layout::Plain, Layout::Unpacked] {
        let world = World::new(layout);
        let desk = world.desk();
        let tar = tar_of_a_tree(world.directory.path());
        let address = world.drop("files", Content::Tree, &tar, Some(3));
        let offer = world.offer(&desk, &address).unwrap();
        let elsewhere = world.directory.path().join("restored/some/where");
        fs::create_dir_all(&elsewhere).unwrap();
        // As a product restores: another place, and times of now.
        let from = world.rules.directory.display();
        shell(&format!("cp -r --no-preserve=timestamps {from} ."), &elsewhere);
        let workload = WorkloadName::new("files").unwrap();
        let found = restore::choose(&elsewhere, &workload, None, &Silent).unwrap();
        assert_eq!(found.manifest.drop, offer.drop);
        let into = world.directory.path().join("into");
        restore::restore(&found, &into, FetchOptions::default(), None, &Silent).unwrap();
        let compared = shell(
            "diff -r tree into && stat -c '%Y %a' into/a into/deep && readlink into/link",
            world.directory.path(),
        );
        let text = String::from_utf8(compared).unwrap();
        assert!(text.starts_with("1577934245 "), "{layout}: {text}");
        assert!(text.contains(" 750\n") && text.ends_with("a\n"), "{layout}: {text}");
    }
}

#[test]
fn content_larger_than_a_file_may_be_lies_in_parts_and_is_whole_together() {
    let world = World::new(Layout::Plain);
    let world = World { rules: Rules { file_max: Some(100_000), ..world.rules.clone() }, ..world };
    let desk = world.desk();
    let content = outlast_testing::pseudo_random(4, 350_001);
    let address = world.stream("shop", &content);
    let offer = world.offer(&desk, &address).unwrap();
    assert_eq!(offer.files, 5, "four parts and the manifest");
    let path = world.path(&offer);
    assert_eq!(shell("cat shop.sql.part*", &path), content);
    let found = restore::choose(&world.rules.directory, &address.workload, None, &Silent).unwrap();
    let into = world.directory.path().join("into");
    restore::restore(&found, &into, FetchOptions::default(), None, &Silent).unwrap();
    assert_eq!(fs::read(into.join("shop.sql")).unwrap(), content);
}

#[test]
fn a_restore_that_lacks_or_spoils_something_is_named_file_by_file() {
    let world = World::new(Layout::Plain);
    let desk = world.desk();
    let first = world.offer(&desk, &world.stream("shop", b"one")).unwrap();
    let second = world.offer(&desk, &world.stream("shop", b"two")).unwrap();
    let third = world.offer(&desk, &world.stream("blog", b"three")).unwrap();
    intake::at(&desk).show(None).unwrap();
    let search = || verify::search(&world.rules.directory).unwrap();
    assert_eq!((search().drops.len(), search().missing.len()), (3, 0));
    shell("printf tw0 > shop.sql", &world.path(&second));
    fs::remove_file(world.path(&third).join("shop.sql")).unwrap();
    fs::remove_dir_all(world.path(&first)).unwrap();
    let found = search();
    assert_eq!(found.missing, vec![first.path.clone()]);
    for drop in &found.drops {
        let findings = verify::verify(drop, &Silent).unwrap();
        let (changed, missing) = (findings.changed, findings.missing);
        let is_second = drop.manifest.drop == second.drop;
        assert_eq!((changed.len(), missing.len()), if is_second { (1, 0) } else { (0, 1) });
    }
    let spoilt =
        restore::choose(&world.rules.directory, &second.workload, Some(second.drop), &Silent)
            .unwrap();
    let into = world.directory.path().join("into");
    let error =
        restore::restore(&spoilt, &into, FetchOptions::default(), None, &Silent).unwrap_err();
    assert!(error.to_string().contains("shop.sql"), "{error}");
    assert!(!into.exists(), "nothing is restored of what is not whole");
    shell("printf x >> outlast-drop.json", &world.path(&second));
    assert_eq!(search().unreadable.len(), 1);
}

#[test]
fn of_a_drop_that_several_images_brought_back_a_whole_copy_is_taken_whichever_it_is() {
    let world = World::new(Layout::Plain);
    let desk = world.desk();
    let address = world.stream("shop", b"one");
    let offer = world.offer(&desk, &address).unwrap();
    for whole in ["a", "b", "c"] {
        let back = world.directory.path().join("back").join(whole);
        for image in ["a", "b", "c"] {
            let at = back.join(image);
            fs::create_dir_all(&at).unwrap();
            shell(&format!("cp -r {}/. .", world.rules.directory.display()), &at);
            if image != whole {
                shell("printf 0ne > shop.sql", &at.join(&offer.path));
            }
        }
        let found = restore::choose(&back, &address.workload, None, &Silent).unwrap();
        assert_eq!(found.path, back.join(whole).join(&offer.path));
    }
}

#[test]
fn content_that_is_no_whole_backup_is_not_handed_over() {
    let world = World::new(Layout::Drop);
    let desk = world.desk();
    let cut = b"--\n-- PostgreSQL database dump\n--\n\nCREATE TABLE t (x integer);\n";
    let address = world.stream("shop", cut);
    match world.offer(&desk, &address) {
        Err(HandoverError::Drop(refused)) => {
            assert!(refused.to_string().contains("no whole backup"), "{refused}")
        }
        other => panic!("{other:?}"),
    }
    let left: Vec<_> = fs::read_dir(world.place().staging()).unwrap().collect();
    assert!(left.is_empty(), "nothing stays staged: {left:?}");
    assert_eq!(intake::at(&desk).ledger().offers().count(), 0);
}

#[test]
fn files_have_the_permissions_of_the_rules_and_the_time_of_their_appearance() {
    use std::os::unix::fs::MetadataExt;
    for layout in [Layout::Drop, Layout::Plain, Layout::Unpacked] {
        let world = World::new(layout);
        let world = World { rules: Rules { mode: 0o644, ..world.rules.clone() }, ..world };
        let desk = world.desk();
        let tar = tar_of_a_tree(world.directory.path());
        let offer = world.offer(&desk, &world.drop("files", Content::Tree, &tar, None)).unwrap();
        let path = world.path(&offer);
        for (file, _) in crate::support::contents(&path) {
            let facts = file.symlink_metadata().unwrap();
            assert_eq!(facts.mode() & 0o7777, 0o644, "{}", file.display());
            assert_eq!(facts.mtime(), offer.stamp.unix_seconds(), "{}", file.display());
        }
        let directory = path.metadata().unwrap();
        assert_eq!(
            (directory.mode() & 0o7777, directory.mtime()),
            (0o755, offer.stamp.unix_seconds())
        );
        assert!(path.join(MANIFEST_FILE).is_file());
    }
}

/// By an agent that was killed in the moment in which it made it: no job could read what lies there.
#[test]
fn a_workloads_directory_that_was_not_given_to_the_product_yet_is_given_with_the_next_drop() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let world = World::new(Layout::Plain);
    let desk = world.desk();
    let tar = tar_of_a_tree(world.directory.path());
    let drop = world.drop("files", Content::Tree, &tar, None);
    let workload = world.path(&world.offer(&desk, &drop).unwrap()).parent().unwrap().to_owned();
    fs::set_permissions(&workload, fs::Permissions::from_mode(0o700)).unwrap();
    world.offer(&desk, &world.drop("files", Content::Tree, &tar, None)).unwrap();
    let mode = workload.metadata().unwrap().mode() & 0o7777;
    assert_eq!(mode, world.rules.directory_mode());
}
