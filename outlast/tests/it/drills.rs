//! Drills by the real binary, in the real sandbox.

use std::fs;
use std::path::Path;

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
