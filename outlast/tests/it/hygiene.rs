//! The share's hygiene with the real binary: budgets, notices, receipts, status.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use outlast_testing::pseudo_random;
use serde_json::Value;

use crate::harness::{Up, document, fail, outlast, run, scratch, succeed, wait_until};

fn file(directory: &Path, bytes: usize, seed: u64) -> PathBuf {
    let path = directory.join(format!("{bytes}-{seed}.bin"));
    File::create(&path).unwrap().write_all(&pseudo_random(seed, bytes)).unwrap();
    path
}

fn drop_of(share: &Path, workload: &str, file: &Path) -> Command {
    let mut command = outlast();
    command.args(["drop", "--workload", workload, "--share"]).arg(share).arg(file);
    command
}

fn status(share: &Path, workload: &str) -> Value {
    let mut command = outlast();
    command.args(["share", "status", "--json", "--workload", workload]).arg(share);
    document(&mut command)["workloads"][0].clone()
}

#[test]
fn i1_who_is_over_budget_is_refused_with_4_while_the_agent_lives_and_nobody_else_ever() {
    let directory = scratch();
    let settings = [("OUTLAST_AGENT_BUDGET", "200KiB"), ("OUTLAST_AGENT_KEEP", "2")];
    let mut up = Up::start_with(&directory.path().join("up"), &settings);
    let share = up.share.clone();
    for seed in 0..2 {
        let file = file(directory.path(), 150_000, seed);
        succeed(drop_of(&share, "shop", &file).args(["--compress", "off"]));
    }
    let notice = share.join("w/shop/notice.json");
    wait_until("the agent says that there is no room", || notice.exists());
    let next = file(directory.path(), 1000, 3);
    let words = fail(&mut drop_of(&share, "shop", &next), 4);
    assert!(words.contains("takes no drops of shop now"), "{words}");
    assert!(words.contains("0 bytes are left") && words.contains("share status"), "{words}");
    let refused = run(drop_of(&share, "shop", &next).arg("--json"));
    assert_eq!(refused.status.code(), Some(4));
    let error: Value = serde_json::from_slice(&refused.stderr).unwrap();
    assert_eq!(error["error"]["code"], 4, "{error}");
    succeed(&mut drop_of(&share, "blog", &next));
    // Who uses what, what waits for what, and why.
    wait_until("both are vaulted", || status(&share, "shop")["counts"]["vaulted"] == 2);
    let shop = status(&share, "shop");
    assert!(shop["used_bytes"].as_u64().unwrap() >= 300_000, "{shop}");
    assert_eq!(shop["notice"]["level"], "refuse", "{shop}");
    assert_eq!(shop["waiting"][0]["waits_for"], "the keep rule", "{shop}");
    let told = succeed(outlast().args(["share", "status"]).arg(&share));
    let first = told.lines().nth(2).unwrap_or_default();
    assert!(first.starts_with("shop") && told.contains("writers are refused"), "{told}");
    let told = succeed(outlast().args(["share", "status", "--limit", "1"]).arg(&share));
    assert!(told.contains("1 workload more") && !told.contains("\nblog"), "{told}");
    // A dead agent refuses nobody for long.
    up.role.kill();
    fail(&mut drop_of(&share, "shop", &next), 4);
    succeed(Command::new("touch").args(["-d", "20 minutes ago"]).arg(&notice));
    succeed(&mut drop_of(&share, "shop", &next));
    let left: Vec<_> =
        fs::read_dir(share.join("w/shop")).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "drops, receipts and the notice: {left:?}");
}

#[test]
fn receipts_of_what_has_left_the_share_go_when_the_vault_has_had_the_record_for_long_enough() {
    let directory = scratch();
    let settings = [("OUTLAST_AGENT_RECEIPTS_KEEP", "1s"), ("OUTLAST_AGENT_KEEP", "0")];
    let up = Up::start_with(&directory.path().join("up"), &settings);
    let file = file(directory.path(), 5000, 1);
    succeed(&mut drop_of(&up.share, "shop", &file));
    let receipts = up.share.join("w/shop/receipts");
    let count = || fs::read_dir(&receipts).map_or(0, Iterator::count);
    wait_until("there are receipts", || count() > 0);
    wait_until("and then there are none", || count() == 0);
    assert_eq!(status(&up.share, "shop")["used_bytes"], 0);
    succeed(&mut drop_of(&up.share, "shop", &file));
    wait_until("it goes on", || count() > 0);
    wait_until("as before", || count() == 0);
}
