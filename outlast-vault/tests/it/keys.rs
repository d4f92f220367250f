//! What opens the vault's repositories, and what that costs.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use outlast_format::config::Version;
use outlast_format::key_file::KdfParams;
use outlast_repo::{KeyFile, Maker, Repository};
use outlast_store::DirectoryStore;
use outlast_types::{Clock, SystemClock, SystemRandom};

use crate::support::{World, shop};

/// As random as those that vaults make, and of their form.
const RANDOM_PASSWORD: &str = "8d0f3b1c5e77a9624fd1c0b8a3e6957d2b4f60819ce3d7a5f1826b4c90de37fa";

/// All but those by which recovery kits open it.
fn key_files(repository: &Path) -> Vec<PathBuf> {
    let (_, others) = all_key_files(repository);
    others
}

/// Those by which recovery kits open it, and all others.
fn all_key_files(repository: &Path) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let entries = fs::read_dir(repository.join("keys")).unwrap();
    let is_for_kits = |path: &PathBuf| {
        let file = KeyFile::parse(&fs::read(path).unwrap());
        file.is_ok_and(|file| file.username == "recovery-kit")
    };
    entries.map(|entry| entry.unwrap().path()).partition(is_for_kits)
}

fn costs_nothing(key_file: &Path) -> bool {
    let file = KeyFile::parse(&fs::read(key_file).unwrap()).unwrap();
    !file.is_dearer_than(KdfParams::NONE)
}

/// Stock restic on the vault's own directory, with the vault's password file.
fn restic(world: &World, arguments: &[&str]) -> String {
    let output = Command::new("restic")
        .env("RESTIC_PASSWORD_FILE", world.config.dir.join("keys/shop-db.password"))
        .env("RESTIC_REPOSITORY", world.repository_directory(&shop()))
        .env("HOME", world.path())
        .arg("--no-cache")
        .args(arguments)
        .output()
        .expect("restic is installed (Debian package restic)");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What a vault of an older release made: a key file at scrypt's full price.
fn old_repository(world: &World, password: &str) {
    let file = world.config.dir.join("keys/shop-db.password");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    File::create(file).unwrap().write_all(format!("{password}\n").as_bytes()).unwrap();
    let store = DirectoryStore::create_layout(&world.repository_directory(&shop())).unwrap();
    let maker = Maker {
        hostname: "outlast-vault".to_owned(),
        username: "vault".to_owned(),
        created: SystemClock.now(),
    };
    Repository::init(Arc::new(store), password, Version::V2, &maker, &SystemRandom).unwrap();
}

#[test]
fn opening_a_repository_of_the_vault_derives_nothing_and_stock_restic_opens_it() {
    let world = World::new();
    let vault = world.start();
    world.agent(&vault).ship(&shop(), b"insert into shop values (1);\n");
    let repository = world.repository_directory(&shop());
    let keys = key_files(&repository);
    assert!(keys.len() == 1 && costs_nothing(&keys[0]), "{keys:?}");
    let (for_kits, _) = all_key_files(&repository);
    assert!(for_kits.len() == 1 && costs_nothing(&for_kits[0]), "{for_kits:?}");

    assert!(restic(&world, &["key", "list"]).contains("outlast-vault"));
    restic(&world, &["backup", world.config.dir.join("keys").to_str().unwrap()]);
    assert!(restic(&world, &["check", "--read-data"]).contains("no errors were found"));
}

#[test]
fn a_repository_of_an_older_vault_gets_a_second_key_file_that_costs_nothing() {
    let world = World::new();
    old_repository(&world, RANDOM_PASSWORD);
    let repository = world.repository_directory(&shop());
    let cheap = || key_files(&repository).into_iter().filter(|file| costs_nothing(file));
    assert_eq!(cheap().count(), 0);
    for _ in 0..2 {
        let vault = world.start();
        world.agent(&vault).open(&shop());
        vault.shutdown();
        assert_eq!((cheap().count(), key_files(&repository).len()), (1, 2));
    }
    restic(&world, &["key", "list"]);
    // Torn, it is one that nobody misses.
    let torn = cheap().next().unwrap();
    File::create(&torn).unwrap();
    let vault = world.start();
    world.agent(&vault).open(&shop());
    vault.shutdown();
    let others = key_files(&repository).into_iter().filter(|file| *file != torn);
    assert_eq!(others.filter(|file| costs_nothing(file)).count(), 1);
}

#[test]
fn a_password_that_somebody_chose_keeps_its_price() {
    let world = World::new();
    old_repository(&world, "correct horse battery staple");
    let vault = world.start();
    world.agent(&vault).open(&shop());
    let keys = key_files(&world.repository_directory(&shop()));
    assert!(keys.len() == 1 && !costs_nothing(&keys[0]), "{keys:?}");
}
