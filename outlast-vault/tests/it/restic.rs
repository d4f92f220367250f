//! Stock restic (Debian's package `restic`) with an operator's certificate.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Output, Stdio};

use outlast_vault::VaultHandle;
use outlast_wire::Role;

use crate::support::{World, shop};

fn restic(world: &World, vault: &VaultHandle, arguments: &[&str]) -> Command {
    let identity = world.path().join("operator");
    if !identity.exists() {
        world.identity(Role::Operator, "anna").save(&identity).unwrap();
    }
    let mut command = Command::new("restic");
    command
        .env("RESTIC_PASSWORD_FILE", world.config.dir.join("keys/shop-db.password"))
        .env("RESTIC_REPOSITORY", format!("rest:{}repo/shop-db/", vault.url()))
        .env("HOME", world.path())
        .args(["--no-cache", "--cacert"])
        .arg(identity.join("ca.pem"))
        .arg("--tls-client-cert")
        .arg(identity.join("identity.pem"))
        .args(arguments);
    command
}

fn succeed(mut command: Command) -> String {
    let Output { status, stdout, stderr } =
        command.output().expect("restic is installed (Debian package restic)");
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    String::from_utf8_lossy(&stdout).into_owned()
}

#[test]
fn stock_restic_backs_up_beside_the_agent_checks_all_and_deletes_nothing() {
    let world = World::new();
    let vault = world.start();
    let agent = world.agent(&vault);
    let dump = "insert into shop values (1);\n".repeat(10_000);
    agent.ship(&shop(), dump.as_bytes());
    let tree = world.path().join("tree");
    fs::create_dir(&tree).unwrap();
    fs::File::create(tree.join("file")).unwrap().write_all(b"by restic").unwrap();

    succeed(restic(&world, &vault, &["backup", tree.to_str().unwrap()]));
    succeed(restic(&world, &vault, &["forget", "--dry-run", "--keep-last", "1"]));
    let checked = succeed(restic(&world, &vault, &["check", "--read-data"]));
    assert!(checked.contains("no errors were found"), "{checked}");
    let snapshots = world.client(&vault, Role::Reader).snapshots(Some(&shop())).unwrap();
    assert_eq!(snapshots.len(), 2);
    assert_eq!(snapshots[0].drop, None, "the newest is restic's, at the vault's time");
    assert_eq!(snapshots[0].claims["paths"][0], tree.to_str().unwrap());

    let ours = snapshots[1].snapshot.to_string();
    let restored = succeed(restic(&world, &vault, &["dump", &ours, "/shop.sql"]));
    assert!(restored == dump, "what came back is not what was dropped");

    // It takes a refusal for a passing fault and would try again for a minute.
    let mut child =
        restic(&world, &vault, &["forget", &ours]).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let refused = lines.map_while(Result::ok).any(|line| line.contains("403"));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(refused, "forget was not refused");
    assert_eq!(world.snapshot_files(&shop()).len(), 2);

    // Known after a loss of the catalog, too, and at the same time.
    vault.shutdown();
    fs::remove_file(world.config.dir.join("catalog.sqlite")).unwrap();
    let vault = world.start();
    let again = world.client(&vault, Role::Reader).snapshots(Some(&shop())).unwrap();
    assert_eq!(again, snapshots);
}
