//! Files that a team writes without us, with the real binary: rules in agent.toml, what they find, and
//! what becomes of it.
#![expect(clippy::disallowed_methods, reason = "files as teams write them")]

use std::fs;
use std::path::Path;

use outlast_testing::pseudo_random;
use serde_json::Value;

use crate::harness::{Up, document, fail, outlast, scratch, succeed, wait_until};

/// Starts an `up` whose agent has these rules.
fn up_with(directory: &Path, rules: &str) -> Up {
    let home = directory.join("up");
    let mut first = Up::start(&home);
    first.role.stop();
    let config = home.join("agent.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{text}\n{rules}")).unwrap();
    Up::start(&home)
}

fn check(up: &Up) -> Vec<Value> {
    let config = up.dir.join("agent.toml");
    let found = document(outlast().args(["adopt", "check", "--json", "--config"]).arg(config));
    let rules = found["rules"].as_array().unwrap();
    rules.iter().flat_map(|rule| rule["files"].as_array().unwrap().clone()).collect()
}

fn state(up: &Up, path: &str) -> String {
    let files = check(up);
    let file =
        files.iter().find(|file| file["path"] == path).unwrap_or_else(|| panic!("{files:?}"));
    file["state"].as_str().unwrap().to_owned()
}

#[test]
fn files_are_adopted_by_rules_shown_and_removed_where_a_rule_says_so() {
    let directory = scratch();
    let rules = r#"
[[adopt]]
glob = "dumps/{workload}/*.dump"
settle = "1s"

[[adopt]]
glob = "exports/{base}.sql"
workload = "crm"
group = ["{base}.md5"]
settle = "1s"
remove_after = "vaulted"
"#;
    let up = up_with(directory.path(), rules);
    let put = |path: &str, content: &[u8]| {
        let path = up.share.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    };
    let content = pseudo_random(1, 100_000);
    let dump = put("dumps/shop/a.dump", &content);
    put("dumps/Shop DB/a.dump", b"x");
    put("dumps/Shop DB/\u{1b}[2J.dump", b"x");
    let export = put("exports/x.sql", b"select 1");
    wait_until("it is taken", || state(&up, "dumps/shop/a.dump") == "taken");
    let files = check(&up);
    let reason = |path: &str| {
        let file = files.iter().find(|file| file["path"] == path).unwrap();
        assert_eq!(file["state"], "not taken");
        file["why"].as_str().unwrap().to_owned()
    };
    assert!(reason("dumps/Shop DB/a.dump").contains("cannot be a workload name"));
    assert!(reason("exports/x.sql").contains("x.md5 is not there"));
    // A path is data to a program, and no terminal obeys it.
    assert!(reason("dumps/Shop DB/\u{1b}[2J.dump").contains("cannot be a workload name"));
    let config = up.dir.join("agent.toml");
    let shown = succeed(outlast().args(["adopt", "check", "--config"]).arg(config));
    assert!(shown.contains(r"$'dumps/Shop DB/\x1b[2J.dump'"), "{shown}");
    let status = || succeed(outlast().args(["share", "status"]).arg(&up.share));
    wait_until("what waits is told", || {
        let said = status();
        said.contains("exports/x.sql of crm") && said.contains("x.md5 is not there yet")
    });
    put("exports/x.md5", b"sum");
    wait_until("the group is taken, vaulted, and removed", || !export.exists());
    assert!(!up.share.join("exports/x.md5").exists());
    assert_eq!(fs::read(&dump).unwrap(), content, "no rule says so of this one");
    let restored = directory.path().join("restored");
    for workload in ["shop", "crm"] {
        let target = restored.join(workload);
        wait_until("it can be restored", || {
            let mut restore = up.ask(&["restore", workload, "--into"]);
            restore.arg(&target).output().unwrap().status.success()
        });
    }
    assert_eq!(fs::read(restored.join("shop/a.dump")).unwrap(), content);
    assert_eq!(fs::read(restored.join("crm/x.sql")).unwrap(), b"select 1");
    assert_eq!(fs::read(restored.join("crm/x.md5")).unwrap(), b"sum");
}

#[test]
fn a_rule_that_cannot_be_used_is_told_with_its_place() {
    let directory = scratch();
    let config = directory.path().join("agent.toml");
    let begin = r#"[agent]
share = "/nowhere/share"
state = "/nowhere/state"
upstream = "https://localhost:1/"
identity = "/nowhere/identity"
"#;
    let words = |rule: &str| {
        fs::write(&config, format!("{begin}\n[[adopt]]\n{rule}\n")).unwrap();
        fail(outlast().args(["adopt", "check", "--config"]).arg(&config), 1)
    };
    let said = words("glob = \"a/**/b\"");
    assert!(said.contains("'**'") && said.contains("agent.toml, line 8, column 8"), "{said}");
    let said = words("glob = \"w/shop/*\"");
    assert!(said.contains("belongs to Outlast itself"), "{said}");
    let said = words("glob = \"dumps/*.sql\"");
    assert!(said.contains("does not capture {workload}"), "{said}");
    let said = words("settle = \"10m\"");
    assert!(said.contains("glob"), "{said}");
    let said = words("glob = \"a/*\"\nworkload = \"crm\"\nremove_after = \"tomorrow\"");
    assert!(said.contains("vaulted"), "{said}");
}
