//! What a workload is called, and what is promised of it, changed while the vault is at work.

use std::fs;
use std::path::Path;

use outlast_fs::durable;
use serde_json::Value;

use crate::harness::{Up, document, fail, outlast, scratch, succeed, wait_until};

#[test]
fn a_workload_is_renamed_under_an_instance_that_drops_on_and_restored_by_either_name() {
    let directory = scratch();
    let dir = directory.path().join("up");
    let mut up = Up::start(&dir);
    let first = up.drop("shop-db", &["Cargo.toml"]);
    up.wait_for_receipt("shop-db", &first, "vaulted");
    let told = succeed(&mut up.ask(&["workload", "rename", "shop-db", "shop-database"]));
    assert!(told.contains("rename shop-db to shop-database"), "{told}");
    // Nobody told the instance.
    let second = up.drop("shop-db", &["Cargo.toml"]);
    let receipt = up.wait_for_receipt("shop-db", &second, "vaulted");
    assert_eq!(receipt["workload"], "shop-db");
    let third = up.drop("shop-database", &["Cargo.toml"]);
    up.wait_for_receipt("shop-database", &third, "vaulted");
    for name in ["shop-db", "shop-database"] {
        let list = document(&mut up.ask(&["snapshots", name, "--json"])).to_string();
        assert!([&first, &second, &third].into_iter().all(|drop| list.contains(drop.as_str())));
        let into = directory.path().join(name);
        let into = into.to_str().unwrap();
        succeed(&mut up.ask(&["restore", name, "--into", into]));
    }
    let shown = succeed(&mut up.ask(&["workload", "show", "shop-db"]));
    assert!(shown.starts_with("shop-database is fresh"), "{shown}");
    assert!(up.incidents().is_empty());
    // It lies under its name, for whoever looks at it without us.
    assert!(succeed(up.restic("shop-database").arg("snapshots")).contains("3 snapshots"));
    assert!(!dir.join("vault/repos/shop-db").exists());
    let told = fail(&mut up.ask(&["workload", "rename", "shop-database", "Shop DB"]), 2);
    assert!(told.contains("Shop DB"), "{told}");
    let entries = succeed(outlast().args(["audit", "export", "--dir"]).arg(&dir));
    assert!(entries.contains("\"order\":\"rename\""), "{entries}");
    up.role.stop();
}

fn policy(directory: &Path, text: &str) -> String {
    let path = directory.join("policy.toml");
    durable::replace(&path, text.as_bytes(), 0o600).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_policy_is_applied_by_a_call_refused_whole_with_a_flaw_and_holds_after_a_restart() {
    let directory = scratch();
    let dir = directory.path().join("up");
    let mut up = Up::start(&dir);
    let drop = up.drop("shop-db", &["Cargo.toml"]);
    up.wait_for_receipt("shop-db", &drop, "vaulted");
    let rpo = |up: &Up| {
        let shown = document(&mut up.ask(&["workload", "show", "shop-db", "--json"]));
        shown["workloads"][0]["rpo_seconds"].clone()
    };
    let file =
        policy(directory.path(), "[workloads.\"shop-*\"]\nrpo = \"2h\"\nowner = \"team-shop\"\n");
    let told = succeed(&mut up.ask(&["promise", "apply", &file, "--reason", "change 4711"]));
    assert!(told.contains("workloads.shop-*.rpo"), "{told}");
    assert_eq!(rpo(&up), 7200);
    let told = succeed(&mut up.ask(&["promise", "apply", &file]));
    assert!(told.contains("holds already"), "{told}");
    for (text, code, words) in [
        ("[promise]\nrpo = \"1h\"\n[classes.x]\nrpp = \"1h\"\n", 2, "line 4"),
        ("[promise]\nrpo = \"1h\"\n[vault]\nlisten = \"[::1]:1\"\n", 1, "vault.listen"),
    ] {
        let file = policy(directory.path(), text);
        let told = fail(&mut up.ask(&["promise", "apply", &file]), code);
        assert!(told.contains(words), "{told}");
        assert_eq!(rpo(&up), 7200, "the policy of before holds");
    }
    up.role.stop();
    let mut up = Up::start(&dir);
    assert_eq!(rpo(&up), 7200);
    let entries = succeed(outlast().args(["audit", "export", "--dir"]).arg(&dir));
    assert!(entries.contains("change 4711"), "{entries}");
    up.role.stop();
}

/// Lets what came be so old: the records say when that was.
fn age(vault: &Path, workload: &str, at: &str) {
    for entry in fs::read_dir(vault.join("arrivals").join(workload)).unwrap() {
        let path = entry.unwrap().path();
        let mut record: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        record["received"] = at.into();
        record["terms"]["recovery_point"] = at.into();
        durable::replace(&path, record.to_string().as_bytes(), 0o600).unwrap();
    }
}

#[test]
fn a_check_of_a_policy_names_what_would_go_of_a_running_vault_and_ends_with_4() {
    let directory = scratch();
    let dir = directory.path().join("up");
    let mut up = Up::start(&dir);
    for number in 0..5 {
        let file = policy(directory.path(), &format!("# drop {number}\n"));
        let drop = up.drop("shop-db", &[&file]);
        up.wait_for_receipt("shop-db", &drop, "vaulted");
    }
    up.role.stop();
    age(&dir.join("vault"), "shop-db", "2026-01-10T12:00:00Z");
    succeed(outlast().args(["vault", "--rebuild-catalog", "--config"]).arg(dir.join("vault.toml")));
    let mut up = Up::start(&dir);
    let file = policy(directory.path(), "[retention]\nkeep = \"last=1\"\n");
    let output = crate::harness::run(&mut up.ask(&["promise", "check", &file]));
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(4), "{told}");
    // The newest three stay in any case.
    assert!(told.contains("shop-db") && told.contains("2 snapshots with"), "{told}");
    let output = crate::harness::run(&mut up.ask(&["promise", "check", &file, "--json"]));
    assert_eq!(output.status.code(), Some(4));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&told["snapshots_going"], &told["changes"][0]["workload"]),
        (&2.into(), &"shop-db".into())
    );
    assert!(told["bytes_going"].as_u64().unwrap() > 0);
    // What came under no rule stays, whatever is applied.
    succeed(&mut up.ask(&["promise", "apply", &file]));
    wait_until("the policy holds", || {
        let kept = document(&mut up.ask(&["snapshots", "shop-db", "--json"]));
        kept.as_array().is_some_and(|all| all.len() == 5)
    });
    up.role.stop();
}
