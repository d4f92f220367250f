//! What a scanner of infrastructure finds in deploy/: nothing, but what has a reason.

use std::collections::BTreeSet;
use std::process::Command;

use super::{has, of, read};
use crate::harness::run;

const SETTINGS: &str = "checkov.yaml";

/// A line of the settings that lets a finding pass.
fn accepted(line: &str) -> Option<&str> {
    let name = line.trim_start().strip_prefix("- ")?;
    name.starts_with("CK").then_some(name)
}

#[test]
fn each_finding_that_is_accepted_is_named_once_and_has_a_reason() {
    let text = read(SETTINGS);
    let list = text.split("skip-check:\n").nth(1).unwrap();
    let (mut seen, mut has_reason) = (BTreeSet::new(), false);
    for line in list.lines() {
        match accepted(line) {
            Some(name) => {
                assert!(has_reason, "{name} has no reason above it");
                assert!(seen.insert(name), "{name} is accepted twice");
            }
            None => has_reason = line.trim_start().starts_with("# "),
        }
    }
    assert!(seen.len() > 10, "{seen:?}");
}

#[test]
fn checkov_finds_nothing_in_deploy_but_what_has_a_reason() {
    if !has("checkov", "pip install checkov; WITHOUT IT NOBODY SCANS deploy/") {
        return;
    }
    for (kind, least) in [("terraform", 150), ("kubernetes", 300)] {
        let mut scan = Command::new("checkov");
        scan.args(["--config-file", SETTINGS, "--framework", kind, "--directory", kind]);
        let output = run(scan.args(["--output", "json"]).current_dir(of(".")));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let report: serde_json::Value = serde_json::from_str(&said)
            .unwrap_or_else(|error| panic!("{error}: {said}\n{output:?}"));
        let failed = report.pointer("/results/failed_checks").and_then(|it| it.as_array());
        let failed: Vec<String> = failed
            .into_iter()
            .flatten()
            .map(|it| format!("{} {} {}", it["check_id"], it["check_name"], it["file_path"]))
            .collect();
        assert!(failed.is_empty() && output.status.success(), "{kind}: {failed:#?}");
        // What it cannot read it passes over.
        let count = |key: &str| report["summary"][key].as_u64().unwrap_or_default();
        assert_eq!(count("parsing_errors"), 0, "{kind}: {}", report["summary"]);
        assert!(count("passed") >= least, "{kind}: {}", report["summary"]);
    }
}
