//! Stock restic (Debian's package `restic`) as the judge of our server.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use outlast_store::{Kind, Store};
use outlast_wire::Role;

use crate::support::{Server, World};

struct Restic<'a> {
    world: &'a World,
    repository: String,
    identity: PathBuf,
}

impl<'a> Restic<'a> {
    fn new(world: &'a World, server: &Server, role: Role) -> Self {
        Self { world, repository: server.repository(), identity: world.saved_identity(role) }
    }

    fn command(&self) -> Command {
        let mut command = Command::new("restic");
        command
            .env("RESTIC_PASSWORD", "correct horse")
            .env("RESTIC_REPOSITORY", &self.repository)
            .env("HOME", self.world.path())
            .args(["--no-cache", "--cacert"])
            .arg(self.identity.join("ca.pem"));
        command
    }

    fn with_certificate(&self, arguments: &[&str]) -> Command {
        let mut command = self.command();
        command.arg("--tls-client-cert").arg(self.identity.join("identity.pem")).args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let output = self.with_certificate(arguments).output();
        output.expect("restic is installed (Debian package restic)")
    }

    /// Runs restic until it says `expected`: it takes a refusal for a passing fault and would
    /// try again for a minute.
    fn complains(&self, arguments: &[&str], expected: &str) {
        let mut child = self.with_certificate(arguments).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut told = Vec::new();
        for line in lines.map_while(Result::ok) {
            told.push(line);
            if told.last().is_some_and(|line| line.contains(expected)) {
                break;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(told.last().is_some_and(|line| line.contains(expected)), "{told:?}");
    }

    fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "restic {arguments:?}: {told}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

/// Some files: empty, small, and enough that does not compress for several packs.
fn make_tree(path: &Path) {
    fs::create_dir_all(path.join("sub/empty")).unwrap();
    File::create(path.join("nothing")).unwrap();
    File::create(path.join("sub/naïve \"name\"")).unwrap().write_all(b"hello\n").unwrap();
    let mut state = 1u64;
    let mut noise = vec![0; 40 << 20];
    for chunk in noise.chunks_exact_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        chunk.copy_from_slice(&state.to_le_bytes());
    }
    File::create(path.join("sub/noise")).unwrap().write_all(&noise).unwrap();
}

fn equal_trees(one: &Path, two: &Path) {
    let names = |path: &Path| {
        let mut names: Vec<_> =
            fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(one), names(two));
    for name in names(one) {
        let (one, two) = (one.join(&name), two.join(&name));
        if one.is_dir() {
            equal_trees(&one, &two);
        } else {
            assert!(fs::read(&one).unwrap() == fs::read(&two).unwrap(), "{}", one.display());
        }
    }
}

#[test]
fn stock_restic_makes_fills_checks_and_restores_a_repository() {
    let world = World::new();
    let server = world.server();
    let restic = Restic::new(&world, &server, Role::Operator);
    let tree = world.path().join("tree");
    make_tree(&tree);
    let tree_text = tree.to_str().unwrap();
    restic.succeed(&["init", "--repository-version", "2"]);
    restic.succeed(&["backup", tree_text]);
    restic.succeed(&["backup", tree_text]);
    let checked = restic.succeed(&["check", "--read-data"]);
    assert!(checked.contains("no errors were found"), "{checked}");
    let target = world.path().join("target");
    restic.succeed(&["restore", "latest", "--target", target.to_str().unwrap()]);
    equal_trees(&tree, &target.join(tree.strip_prefix("/").unwrap()));
    let snapshots: serde_json::Value =
        serde_json::from_str(&restic.succeed(&["snapshots", "--json"])).unwrap();
    assert_eq!(snapshots.as_array().unwrap().len(), 2);
    let store = world.store(&server, Role::Reader);
    assert_eq!(store.list(Kind::Snapshot).unwrap().len(), 2);
    assert!(store.list(Kind::Data).unwrap().len() > 2);
    assert_eq!(store.list(Kind::Lock).unwrap(), [], "restic removed its locks");
    // What restic's own layout finds in the directory is the same repository.
    let local = world.path().join("repos/shop-db");
    let local = Restic { repository: local.to_str().unwrap().to_owned(), ..restic };
    local.succeed(&["check"]);
}

#[test]
fn stock_restic_hears_clearly_what_its_role_may_not() {
    let world = World::new();
    let server = world.server();
    let operator = Restic::new(&world, &server, Role::Operator);
    operator.succeed(&["init"]);
    let tree = world.path().join("tree");
    fs::create_dir(&tree).unwrap();
    File::create(tree.join("file")).unwrap().write_all(b"content").unwrap();
    operator.succeed(&["backup", tree.to_str().unwrap()]);

    let reader = Restic::new(&world, &server, Role::Reader);
    reader.succeed(&["check", "--read-data"]);
    reader.complains(&["backup", tree.to_str().unwrap(), "--force"], "403");
    let agent = Restic::new(&world, &server, Role::Agent);
    agent.complains(&["snapshots"], "403");
    let elsewhere = agent.repository.replace("shop-db", "another");
    Restic { repository: elsewhere, ..agent }.complains(&["init"], "403");
    // Those that were cut short left their locks.
    operator.succeed(&["unlock", "--remove-all"]);
    operator.complains(&["forget", "latest"], "403");
    let store = world.store(&server, Role::Reader);
    assert_eq!(store.list(Kind::Snapshot).unwrap().len(), 1);

    let mut nobody = operator.command();
    let output = nobody.arg("cat").arg("config").output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && told.contains("403"), "{told}");
}
