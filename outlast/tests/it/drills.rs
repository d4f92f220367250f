//! Drills by the real binary, in the real sandbox.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use outlast_fs::durable;

use crate::harness::{Up, document, scratch, succeed, wait_until};

/// How many processes of this host were started with these words.
fn processes(words: &str) -> usize {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let of = |entry: fs::DirEntry| fs::read(entry.path().join("cmdline")).ok();
    let lines = entries.filter_map(of).map(|line| String::from_utf8_lossy(&line).into_owned());
    lines.filter(|line| line.contains(words)).count()
}

fn left(scratch: &Path) -> usize {
    fs::read_dir(scratch).into_iter().flatten().count()
}

#[test]
fn a_vault_that_is_killed_in_mid_drill_leaves_no_process_and_no_plaintext_and_the_drill_counts_for_nothing()
 {
    if !Path::new("/usr/bin/bwrap").exists() {
        println!("BUBBLEWRAP IS NOT INSTALLED: a drill that is killed is not tested");
        return;
    }
    let directory = scratch();
    let dir = directory.path().join("up");
    // Nobody else on this host sleeps so long.
    let words = format!("98{}", std::process::id());
    fs::create_dir(&dir).unwrap();
    let policy = format!("[workloads.shop]\ndrill_command = [\"/usr/bin/sleep\", \"{words}\"]\n");
    durable::replace(&dir.join("vault.toml"), policy.as_bytes(), 0o644).unwrap();
    let mut up = Up::start(&dir);
    let drop = up.drop("shop", &["--exec", "x", "--", "echo", "secret"]);
    up.wait_for_receipt("shop", &drop, "vaulted");
    succeed(&mut up.ask(&["drill", "run", "shop", "--no-wait"]));
    let space = dir.join("vault/scratch");
    let show = |up: &Up| document(up.ask(&["drill", "show", "shop"]).arg("--json"));
    wait_until("the drill is under way, or cannot be loaded here", || {
        processes(&words) > 0 || !show(&up)[0]["ended"].is_null()
    });
    if !show(&up)[0]["ended"].is_null() {
        println!("A DRILL THAT IS KILLED IS NOT TESTED: {}", show(&up)[0]);
        return;
    }
    assert_eq!(left(&space), 1);
    up.role.kill();
    wait_until("nothing of the drill is at work any more", || processes(&words) == 0);

    let up = Up::start(&dir);
    assert_eq!(left(&space), 0, "its plaintext is gone");
    let drill = &show(&up)[0];
    assert_eq!(drill["state"], "aborted", "{drill}");
    assert!(drill["rto_milliseconds"].is_null(), "{drill}");
    let told = succeed(&mut up.ask(&["drill", "show", "shop"]));
    assert!(told.contains("broken off when the vault ended"), "{told}");
    assert_eq!(succeed(&mut up.ask(&["incident", "list"])), "no open incident\n");
}

#[test]
fn a_vault_that_is_not_root_shows_what_it_loads_no_key_no_directory_of_its_own_and_no_network() {
    const USER: u32 = 3077;
    if !rustix::process::geteuid().is_root() || !Path::new("/usr/bin/bwrap").exists() {
        println!("A VAULT OF ANOTHER USER IS NOT TESTED: it takes root and bubblewrap");
        return;
    }
    let directory = scratch();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let binary = directory.path().join("outlast");
    fs::copy(env!("CARGO_BIN_EXE_outlast"), &binary).unwrap();
    let home = directory.path().join("home");
    let dir = home.join("up");
    fs::create_dir_all(&dir).unwrap();
    let look = format!(
        "set -x; grep -q secret x && test $(id -u) != 0 && ! cat {dir}/identity/vault/identity.pem \
         && ! ls {dir} && ! ls /root /home && ! touch /drill/data/y && ! touch /usr/y \
         && test $(ls /proc | grep -c '^[0-9]') -lt 12 \
         && test $(tail -n +3 /proc/net/dev | grep -vc ' *lo:') = 0",
        dir = dir.display()
    );
    let policy = format!("[workloads.shop]\ndrill_command = [\"/bin/sh\", \"-c\", \"{look}\"]\n");
    durable::replace(&dir.join("vault.toml"), policy.as_bytes(), 0o644).unwrap();
    for path in [&home, &dir, &dir.join("vault.toml")] {
        chown(path, Some(USER), Some(USER)).unwrap();
    }
    let outlast = || {
        let mut command = Command::new(&binary);
        command.uid(USER).gid(USER).env("HOME", &home).current_dir(&home);
        command
    };
    let mut up = Up::start_as(&mut outlast(), &dir, &dir.join("share"), &[]);
    let mut command = outlast();
    command.args(["drop", "--workload", "shop", "--share"]).arg(&up.share);
    let drop = succeed(command.args(["--exec", "x", "--", "echo", "secret"])).trim().to_owned();
    up.wait_for_receipt("shop", &drop, "vaulted");
    let mut command = outlast();
    let run = command.args(["drill", "run", "shop", "--json", "--dir"]).arg(&dir);
    let drill = document(run);
    if !drill["lowered"].is_null() {
        println!("A VAULT OF ANOTHER USER IS NOT TESTED: {}", drill["lowered"]);
        return;
    }
    assert_eq!(drill["state"], "good", "{drill:#}");
    assert_eq!(drill["isolation"], "namespaces without network, as the vault's user");
    // What it stands on is told beforehand, too.
    let mut command = outlast();
    let told = succeed(command.args(["doctor", "vault", "--config"]).arg(dir.join("vault.toml")));
    assert!(told.contains("drills") && told.contains("as the vault's user"), "{told}");
}
