//! The audit log as an auditor meets it: what was tampered with is found and named.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::harness::{Up, document, fail, outlast, run, scratch, succeed};

fn audit(word: &str) -> Command {
    let mut command = outlast();
    command.args(["audit", word]);
    command
}

/// The verdict on a vault that is not well.
fn faults(vault: &Path) -> Vec<String> {
    let output = run(audit("verify").arg(vault).arg("--json"));
    assert_eq!(output.status.code(), Some(1));
    let verdict: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(verdict["whole"], false);
    let faults = verdict["faults"].as_array().unwrap().iter();
    faults.map(|fault| format!("{}: {}", fault["kind"], fault["message"])).collect()
}

fn segment(vault: &Path) -> PathBuf {
    vault.join("audit/000000000001.jsonl")
}

/// The files of the log in their order: one from the start, and one from the beginning of the month.
fn segments(vault: &Path) -> Vec<PathBuf> {
    let listed = fs::read_dir(vault.join("audit")).unwrap().map(|entry| entry.unwrap().path());
    let mut segments: Vec<PathBuf> =
        listed.filter(|path| path.extension().is_some_and(|end| end == "jsonl")).collect();
    segments.sort();
    segments
}

#[test]
fn what_was_done_is_in_the_log_and_what_is_done_to_the_log_is_found_and_named() {
    let directory = scratch();
    let dir = directory.path().join("up");
    let mut up = Up::start(&dir);
    let drop = up.drop("shop-db", &["--exec", "shop.sql", "--", "echo", "content"]);
    up.wait_for_receipt("shop-db", &drop, "vaulted");
    // While the vault runs.
    let verdict = document(audit("verify").arg("--dir").arg(&dir).arg("--json"));
    assert_eq!(
        (&verdict["whole"], &verdict["faults"]),
        (&Value::Bool(true), &Value::Array(vec![]))
    );
    up.role.stop();

    let exported = succeed(audit("export").arg("--dir").arg(&dir));
    let entries: Vec<Value> =
        exported.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let actions: Vec<&str> =
        entries.iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    for wanted in ["started", "repository_made", "key_handed_out", "drop_published"] {
        assert!(actions.contains(&wanted), "{wanted} is not in {actions:?}");
    }
    let published = entries.iter().find(|entry| entry["action"] == "drop_published").unwrap();
    assert_eq!(published["object"], drop.as_str());
    assert_eq!(
        (&published["workload"], &published["outcome"]),
        (&"shop-db".into(), &"done".into())
    );
    assert!(published["actor"].as_str().unwrap().starts_with("agent "));
    let of_other = succeed(audit("export").arg("--dir").arg(&dir).args(["--workload", "web"]));
    assert!(of_other.is_empty(), "{of_other}");

    let vault = dir.join("vault");
    let stored = segments(&vault).iter().map(|path| fs::read(path).unwrap()).collect::<Vec<_>>();
    assert!(exported.as_bytes() == stored.concat(), "as it is stored");
    what_is_done_to_the_log_is_found(&vault);
}

fn what_is_done_to_the_log_is_found(vault: &Path) {
    let head = fs::read(vault.join("audit-head.json")).unwrap();
    let newest_segment = segments(vault).pop().unwrap();
    let before =
        newest_segment.file_stem().unwrap().to_str().unwrap().parse::<usize>().unwrap() - 1;
    let whole = fs::read(&newest_segment).unwrap();
    let words = succeed(audit("verify").arg(vault));
    assert!(words.contains("the audit log is whole"), "{words}");
    let newest = words.rsplit_once("newest entry: ").unwrap().1.trim();

    let write = |content: &[u8]| {
        fs::File::create(&newest_segment)
            .and_then(|mut file| std::io::Write::write_all(&mut file, content))
    };
    // A byte of the third entry.
    let third = whole.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(1).unwrap().0 + 1;
    let line =
        String::from_utf8(whole[third..].split(|byte| *byte == b'\n').next().unwrap().to_vec());
    let actor = third + line.unwrap().find("\"actor\":\"").unwrap() + 9;
    let mut flipped = whole.clone();
    flipped[actor] ^= 1;
    write(&flipped).unwrap();
    let [fault] = faults(vault).try_into().unwrap();
    assert!(
        fault.contains("changed") && fault.contains(&format!("entry {} was changed", before + 3)),
        "{fault}"
    );

    // The second line is dropped.
    let lines: Vec<&[u8]> = whole.split_inclusive(|byte| *byte == b'\n').collect();
    write(&[&lines[..1], &lines[2..]].concat().concat()).unwrap();
    let [fault] = faults(vault).try_into().unwrap();
    let gap = format!("entries {0} to {0} are missing", before + 2);
    assert!(fault.contains("missing") && fault.contains(&gap), "{fault}");

    // The end is cut off, at the end of a line.
    write(&lines[..lines.len() - 1].concat()).unwrap();
    let [fault] = faults(vault).try_into().unwrap();
    let last = before + lines.len();
    assert!(
        fault.contains("end_missing") && fault.contains(&format!("entries {last} to {last}")),
        "{fault}"
    );
    // Together with what the vault remembers of it, only who wrote the hash down can tell.
    fs::remove_file(vault.join("audit-head.json")).unwrap();
    succeed(audit("verify").arg(vault));
    let words = run(audit("verify").arg(vault).args(["--head", newest]));
    assert_eq!(words.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&words.stdout).contains("NOT WHOLE: the end is missing"));
    write(&whole).unwrap();
    fs::File::create(vault.join("audit-head.json"))
        .and_then(|mut file| std::io::Write::write_all(&mut file, &head))
        .unwrap();
    succeed(audit("verify").arg(vault).args(["--head", newest]));
}

#[test]
fn a_receipt_of_the_head_that_was_kept_elsewhere_tells_of_a_log_that_was_cut_off_or_written_anew() {
    let directory = scratch();
    let dir = directory.path().join("up");
    let mut up = Up::start(&dir);
    let drop = up.drop("shop-db", &["--exec", "shop.sql", "--", "echo", "content"]);
    up.wait_for_receipt("shop-db", &drop, "vaulted");
    let kept = directory.path().join("kept.head");
    let receipt = succeed(up.ask(&["audit", "head"]).arg("--json"));
    outlast_fs::durable::replace(&kept, receipt.as_bytes(), 0o600).unwrap();
    let words = succeed(&mut up.ask(&["audit", "head"]));
    assert!(words.starts_with("newest entry of vault "), "{words}");
    // Who restores, and why, is in the log, too, and in the report of the month that has begun.
    let month = outlast_types::Clock::now(&outlast_types::SystemClock).to_string()[..7].to_owned();
    let report = |up: &Up| {
        let report = run(up.ask(&["report", "--json"]).args(["--month", &month]));
        assert_eq!(report.status.code(), Some(3), "the month is not over");
        serde_json::from_slice::<Value>(&report.stdout).unwrap()
    };
    report(&up);
    let target = directory.path().join("restored");
    let mut restore = up.ask(&["restore", "shop-db"]);
    succeed(restore.arg("--into").arg(&target).args(["--why", "ticket 4711"]));
    let exported = succeed(&mut up.ask(&["audit", "export"]));
    let entry = exported.lines().find(|line| line.contains("ticket 4711")).unwrap();
    let entry: Value = serde_json::from_str(entry).unwrap();
    assert_eq!(
        (&entry["action"], &entry["workload"]),
        (&"key_handed_out".into(), &"shop-db".into())
    );
    assert!(entry["actor"].as_str().unwrap().starts_with("operator "), "{entry}");
    let report = report(&up);
    let restores = report["workloads"][0]["restores"].as_array().unwrap();
    assert!(restores.iter().any(|it| it["details"]["why"] == "ticket 4711"), "{report}");
    up.role.stop();

    let verify = |more: &[&str]| {
        let mut command = audit("verify");
        command.arg("--dir").arg(&dir).arg("--receipt").arg(&kept).args(more);
        command
    };
    let output = run(&mut verify(&[]));
    assert!(output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("It contains entry"), "{said}");
    // Who has all of the vault writes the log anew, and what is remembered of it: only the receipt tells.
    let vault = dir.join("vault");
    let whole = fs::read(segment(&vault)).unwrap();
    let first = whole.split_inclusive(|byte| *byte == b'\n').next().unwrap();
    for other in fs::read_dir(vault.join("audit")).unwrap().flatten() {
        fs::remove_file(other.path()).unwrap();
    }
    outlast_fs::durable::replace(&segment(&vault), first, 0o600).unwrap();
    fs::remove_file(vault.join("audit-head.json")).unwrap();
    succeed(audit("verify").arg(&vault));
    let output = run(&mut verify(&[]));
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("NOT WHOLE: the end is missing"), "{said}");
    // A receipt that somebody changed is none.
    let forged = receipt.replace("number\\\":", "number\\\":1");
    assert_ne!(forged, receipt);
    outlast_fs::durable::replace(&kept, forged.as_bytes(), 0o600).unwrap();
    let said = fail(&mut verify(&[]), 1);
    assert!(said.contains("proves nothing"), "{said}");
}

#[test]
fn a_log_that_is_gone_as_a_whole_is_a_page_and_not_a_new_beginning() {
    let directory = scratch();
    let dir = directory.path().join("up");
    let mut up = Up::start(&dir);
    let drop = up.drop("shop-db", &["--exec", "shop.sql", "--", "echo", "content"]);
    up.wait_for_receipt("shop-db", &drop, "vaulted");
    up.role.stop();
    let (vault, aside) = (dir.join("vault"), directory.path().join("aside"));
    succeed(Command::new("mv").arg(vault.join("audit")).arg(&aside));
    let [fault] = faults(&vault).try_into().unwrap();
    assert!(fault.contains("the end is missing: entries 1 to "), "{fault}");

    let open = |up: &Up| {
        let mut incidents = up.incidents();
        incidents.retain(|incident| incident["resolved"].is_null());
        incidents.iter().map(|i| i["key"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let mut up = Up::start(&dir);
    assert_eq!(open(&up), ["audit-log"]);
    let told = succeed(audit("export").arg("--dir").arg(&dir));
    assert!(told.contains("log_fault") && told.contains("entries 1 to "), "{told}");
    assert!(!told.contains("\"number\":1,"), "no number is given twice");
    up.role.stop();
    assert!(faults(&vault)[0].contains("are missing before line 1"));

    // Put back beside what was written since.
    for entry in fs::read_dir(&aside).unwrap() {
        succeed(Command::new("mv").arg(entry.unwrap().path()).arg(vault.join("audit")));
    }
    succeed(audit("verify").arg(&vault));
    let up = Up::start(&dir);
    assert!(open(&up).is_empty(), "it resolves by itself");
}

#[test]
fn where_there_is_no_vault_there_is_no_log_to_verify() {
    let directory = scratch();
    let words = fail(audit("verify").arg(directory.path()), 1);
    assert!(words.contains("there is no vault in"), "{words}");
    fail(&mut audit("verify"), 2);
    fail(audit("verify").arg(directory.path()).args(["--head", "7"]), 2);
}
