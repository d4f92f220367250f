//! Hand-overs that only the holder of a key can read.

use std::path::{Path, PathBuf};
use std::process::Command;

use outlast_drop::Content;
use outlast_drop::fetch::FetchOptions;
use outlast_handover::age::Identities;
use outlast_handover::{HandoverError, Layout, Rules, intake, restore};
use outlast_types::Silent;

use crate::support::World;

const RECIPIENT: &str = "age1hm0x5qlnuef88fc643fxsuy74wwxqhsnng4ufcnpmz5jrmxxxf4qjrxjgd";
const KEY: &str = "AGE-SECRET-KEY-1CC0345FLP6QY9D4NRZHEDW244URJMUFD79NFPZUZX58AJGTLPC7SAGP8R8";

fn world(file_max: Option<u64>) -> World {
    let world = World::new(Layout::Plain);
    let encrypt_to = vec![RECIPIENT.parse().unwrap()];
    World { rules: Rules { encrypt_to, file_max, ..world.rules.clone() }, ..world }
}

fn key(world: &World) -> PathBuf {
    let path = world.directory.path().join("key");
    outlast_fs::durable::publish_new(&path, format!("{KEY}\n").as_bytes(), 0o600).unwrap();
    path
}

fn shell(command: &str, at: &Path) -> Vec<u8> {
    let output = Command::new("sh").args(["-c", command]).current_dir(at).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn an_encrypted_drop_shows_nothing_and_comes_back_by_its_key_with_our_program_and_with_age() {
    let content = [b"secret words ".repeat(4), outlast_testing::pseudo_random(5, 250_000)].concat();
    for (file_max, command) in [
        (None, "age -d -i \"$KEY\" shop.sql.age"),
        (Some(100_000), "cat shop.sql.age.part* | age -d -i \"$KEY\""),
    ] {
        let world = world(file_max);
        let desk = world.desk();
        let kind = Content::stream("shop.sql").unwrap();
        let address = world.drop("shop", kind, &content, Some(3));
        let offer = world.offer(&desk, &address).unwrap();
        intake::at(&desk).show(None).unwrap();
        let (path, key) = (world.path(&offer), key(&world));
        assert_eq!(shell("cat shop.sql.age* | grep -c 'secret words' || true", &path), b"0\n");
        if Command::new("age").arg("--version").output().is_ok() {
            let command = format!("KEY={}; {command}", key.display());
            assert!(shell(&command, &path) == content);
        } else {
            println!("SKIPPED: age is not installed");
        }
        let readme = std::fs::read_to_string(world.rules.directory.join("README.txt")).unwrap();
        assert!(readme.contains("age -d -i KEY") && !readme.contains("cp <name>"), "{readme}");

        let found =
            restore::choose(&world.rules.directory, &address.workload, None, &Silent).unwrap();
        let into = world.directory.path().join("into");
        let restore = |keys| {
            restore::restore(&found, &into, FetchOptions::default(), keys, &Silent).map(drop)
        };
        let refused = restore(None).unwrap_err().to_string();
        assert!(refused.contains("--age-identity"), "{refused}");
        let keys = Identities::read(&key).unwrap();
        restore(Some(&keys)).unwrap();
        assert!(std::fs::read(into.join("shop.sql")).unwrap() == content);
    }
}

#[test]
fn a_tree_lies_there_as_one_encrypted_tar_without_a_name_of_its_files() {
    let world = world(None);
    let desk = world.desk();
    let at = world.directory.path();
    let tar = shell("mkdir tree && printf hello > tree/salaries && tar -C tree -cf - .", at);
    let address = world.drop("files", Content::Tree, &tar, None);
    let offer = world.offer(&desk, &address).unwrap();
    let listed = shell(
        "ls && grep -c salaries outlast-drop.json files.tar.age || true",
        &world.path(&offer),
    );
    let listed = String::from_utf8(listed).unwrap();
    assert_eq!(listed, "files.tar.age\noutlast-drop.json\noutlast-drop.json:0\nfiles.tar.age:0\n");
    let found = restore::choose(&world.rules.directory, &address.workload, None, &Silent).unwrap();
    let keys = Identities::read(&key(&world)).unwrap();
    let into = at.join("into");
    restore::restore(&found, &into, FetchOptions::default(), Some(&keys), &Silent).unwrap();
    assert_eq!(std::fs::read(into.join("salaries")).unwrap(), b"hello");
}

#[test]
fn other_layouts_would_show_names_and_are_refused() {
    for layout in [Layout::Drop, Layout::Unpacked] {
        let world = world(None);
        let world = World { rules: Rules { layout, ..world.rules.clone() }, ..world };
        let desk = world.desk();
        let refused = world.offer(&desk, &world.stream("shop", b"dump")).unwrap_err();
        let HandoverError::NotOffered { reason } = refused else { panic!("{refused}") };
        assert!(reason.contains("encrypt_to is for the layout \"plain\""), "{reason}");
    }
}
