//! How a role is configured, as the program tells it.

use std::fs::File;
use std::io::Write;

use serde_json::{Value, json};

use crate::harness::{document, fail, outlast, scratch, succeed};

const AGENT: &str = "# ours\n[agent]\nshare = \"/s\"\nstate = \"/a\"\nidentity = \"/i\"\n\
                     upstream = \"https://me:secret@v/\"\n";

#[test]
fn the_configuration_in_force_is_shown_with_where_each_value_comes_from() {
    let directory = scratch();
    let path = directory.path().join("agent.toml");
    File::create(&path).unwrap().write_all(AGENT.as_bytes()).unwrap();
    let show = || {
        let mut command = outlast();
        command.args(["config", "show", "agent", "--config"]).arg(&path);
        command.env("OUTLAST_AGENT_POLL", "5s");
        command
    };
    let shown = document(show().arg("--json"));
    let setting = |key: &str| -> Value {
        let all = shown["settings"].as_array().unwrap();
        all.iter().find(|setting| setting["key"] == key).unwrap().clone()
    };
    let share = json!({
        "key": "agent.share", "value": "/s", "source": "file", "line": 3, "column": 9,
    });
    assert_eq!(setting("agent.share"), share);
    let poll = json!({
        "key": "agent.poll", "value": "5s", "source": "environment",
        "variable": "OUTLAST_AGENT_POLL",
    });
    assert_eq!(setting("agent.poll"), poll);
    assert_eq!(
        setting("agent.keep"),
        json!({ "key": "agent.keep", "value": 2, "source": "default" })
    );
    let words = succeed(&mut show());
    assert!(words.contains("the variable OUTLAST_AGENT_POLL"), "{words}");
    assert!(words.contains("line 3 of the file") && words.contains("default"), "{words}");
    for text in [words, shown.to_string()] {
        assert!(!text.contains("secret"), "{text}");
    }
}

#[test]
fn without_a_file_the_defaults_and_what_must_be_set_are_shown() {
    let words = succeed(outlast().args(["config", "show", "vault"]));
    assert!(words.contains("vault.dir") && words.contains("must be set"), "{words}");
    assert!(words.contains("promise.rpo"), "{words}");
}

#[test]
fn a_mistake_is_told_with_its_place_and_what_was_meant() {
    let directory = scratch();
    let path = directory.path().join("agent.toml");
    File::create(&path).unwrap().write_all(format!("{AGENT}pol = \"5s\"\n").as_bytes()).unwrap();
    for command in [&["config", "show", "agent"][..], &["agent"]] {
        let words = fail(outlast().args(command).arg("--config").arg(&path), 1);
        assert!(
            words.contains("line 7, column 1") && words.contains("did you mean poll?"),
            "{words}"
        );
    }
}

#[test]
fn the_help_of_a_role_names_each_key() {
    for (role, keys) in
        [("agent", &["share", "patience"][..]), ("vault", &["agent_deadline", "rpo"])]
    {
        let help = succeed(outlast().args([role, "--help"]));
        for key in keys {
            assert!(help.contains(&format!("{key} = ")), "{key}: {help}");
        }
    }
}
