//! What people see of a vault beside its workloads: incidents, and what it does by itself.

use std::fs::{self, File};
use std::io::Write as _;

use serde_json::Value;

use crate::harness::{Up, document, fail, scratch, succeed, wait_until};

#[test]
fn incidents_are_listed_and_shown_by_their_key_in_words_and_as_json() {
    let directory = scratch();
    let settings = [("OUTLAST_AGENT_PATIENCE", "0s"), ("OUTLAST_AGENT_REPORT", "200ms")];
    let mut up = Up::start_with(&directory.path().join("up"), &settings);
    assert_eq!(succeed(&mut up.ask(&["incident", "list"])), "no open incident\n");
    assert_eq!(document(up.ask(&["incident", "list"]).arg("--json")), Value::Array(vec![]));
    let declared = up.share.join("w/shop/workload.toml");
    fs::create_dir_all(declared.parent().unwrap()).unwrap();
    let declare = |text: &str| {
        File::create(&declared).unwrap().write_all(text.as_bytes()).unwrap();
    };
    declare("rpo = 7\n");
    wait_until("the mistake is an incident", || {
        succeed(&mut up.ask(&["incident", "list"])).contains("content/shop")
    });
    let shown = succeed(&mut up.ask(&["incident", "show", "content/shop"]));
    for words in
        ["content/shop\n", "  since ", ", open\n", "  code content-unusable\n", "workload.toml"]
    {
        assert!(shown.contains(words), "{words:?} in {shown}");
    }
    declare("rpo = \"12h\"\n");
    wait_until("it resolved by itself", || {
        succeed(&mut up.ask(&["incident", "list"])) == "no open incident\n"
    });
    let mut all = up.ask(&["incident", "list", "--all", "--json"]);
    let all = document(all.args(["--workload", "shop"]));
    assert_eq!(all[0]["key"], "content/shop");
    assert!(all[0]["resolved"].is_string(), "{all}");
    let other =
        document(up.ask(&["incident", "list", "--all", "--json"]).args(["--workload", "b"]));
    assert_eq!(other, Value::Array(vec![]));
    let words = succeed(&mut up.ask(&["incident", "list", "--all"]));
    assert!(words.contains("RESOLVED") && words.contains("content/shop"), "{words}");
    let words = fail(&mut up.ask(&["incident", "show", "nothing/shop"]), 1);
    assert!(words.contains("nothing/shop") && words.contains("--all"), "{words}");
    up.role.stop();
}

#[test]
fn jobs_are_shown_with_how_they_are_doing() {
    let directory = scratch();
    let mut up = Up::start(&directory.path().join("up"));
    let job = |name: &str| -> Value {
        let jobs = document(up.ask(&["jobs"]).arg("--json"));
        jobs.as_array().unwrap().iter().find(|job| job["name"] == name).unwrap().clone()
    };
    wait_until("it was done once", || job("judge-promises")["ended"].is_string());
    assert_eq!(job("judge-promises")["failures"], 0);
    let words = succeed(&mut up.ask(&["jobs"]));
    let line = words.lines().find(|line| line.starts_with("judge-promises")).unwrap();
    assert!(words.starts_with("JOB ") && line.contains("1 s"), "{words}");
    up.role.stop();
}

#[test]
fn one_id_is_in_the_logs_of_agent_and_vault_and_in_the_audit_log() {
    let directory = scratch();
    let settings = [("OUTLAST_LOG_FORMAT", "json")];
    let mut up = Up::start_with(&directory.path().join("up"), &settings);
    let drop = up.drop("shop", &["--exec", "x", "--", "echo", "x"]);
    up.wait_for_receipt("shop", &drop, "vaulted");
    let exported = succeed(&mut up.ask(&["audit", "export"]));
    let published = exported.lines().find(|line| line.contains("drop_published")).unwrap();
    let published: Value = serde_json::from_str(published).unwrap();
    let id = published["details"]["request"].as_str().unwrap().to_owned();
    assert!(id.starts_with(&format!("{drop}.")), "{id}");
    let said = |words: &str, span: &str| {
        up.role.words().lines().any(|line| {
            let line: Value = serde_json::from_str(line).unwrap_or_default();
            line["fields"]["message"] == words
                && line["spans"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .any(|it| it["name"] == span && it["id"] == id.as_str())
        })
    };
    wait_until("the vault's log has it", || said("vaulted a drop", "request"));
    wait_until("the agent's log has it", || said("vaulted", "shipment"));
    up.role.stop();
}
