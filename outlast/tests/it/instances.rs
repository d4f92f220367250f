//! docs/instances.md is meant to be copied: what it shows is looked at by those who would run it.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::harness::{fail, outlast, run, scratch, succeed};

const PAGE: &str = include_str!("../../../docs/instances.md");

/// The blocks of the page whose fence begins with `language`, with the rest of the fence.
fn blocks(language: &str) -> Vec<(String, String)> {
    let (mut blocks, mut open) = (Vec::new(), None::<(String, String)>);
    for line in PAGE.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some((_, text)), None) => *text += &format!("{line}\n"),
            (None, Some(fence)) => open = Some((fence.to_owned(), String::new())),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block has no end");
    let of_language = |(fence, text): (String, String)| {
        let (first, rest) = fence.split_once(' ').unwrap_or((&fence, ""));
        (first == language).then(|| (rest.to_owned(), text))
    };
    blocks.into_iter().filter_map(of_language).collect()
}

fn write(path: &Path, text: &str) {
    outlast_fs::durable::replace(path, text.as_bytes(), 0o644).unwrap();
}

#[test]
fn the_units_of_the_page_are_taken_by_systemd_without_a_word() {
    if run(Command::new("sh").args(["-c", "command -v systemd-analyze"])).stdout.is_empty() {
        println!("SKIPPED: there is no systemd-analyze (Debian: systemd)");
        return;
    }
    let directory = scratch();
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--man=no"]);
    let (units, more): (Vec<_>, Vec<_>) =
        blocks("ini").into_iter().partition(|(path, _)| !path.ends_with(".conf"));
    assert!(units.len() >= 2, "{units:?}");
    // What is added to a unit is looked at with that unit.
    let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dist/systemd");
    let agent = std::fs::read_to_string(dist.join("outlast-agent.service")).unwrap();
    let agent = ("/x/outlast-agent.service".to_owned(), agent);
    let [(path, text)] = &more[..] else { panic!("{more:?}") };
    assert_eq!(path, "/etc/systemd/system/outlast-agent.service.d/sources.conf");
    std::fs::create_dir(directory.path().join("outlast-agent.service.d")).unwrap();
    write(&directory.path().join("outlast-agent.service.d/sources.conf"), text);
    let shipped = std::fs::read_to_string(dist.join("outlast-agent-sources.conf")).unwrap();
    assert!(shipped.ends_with(text.as_str()), "the page shows what is shipped: {shipped}");
    for (path, text) in units.iter().chain([&agent]) {
        let name = Path::new(path).file_name().unwrap();
        // Where a release puts it.
        let text = text.replace("/usr/bin/outlast", env!("CARGO_BIN_EXE_outlast"));
        write(&directory.path().join(name), &text);
        verify.arg(directory.path().join(name));
    }
    let output = run(&mut verify);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[test]
fn the_user_data_of_the_page_is_taken_by_cloud_init() {
    if run(Command::new("sh").args(["-c", "command -v cloud-init"])).stdout.is_empty() {
        println!("SKIPPED: there is no cloud-init (Debian: cloud-init)");
        return;
    }
    let directory = scratch();
    let all = blocks("yaml").into_iter().filter(|(kind, _)| kind == "cloud-init");
    let texts: Vec<String> = all.map(|(_, text)| text).collect();
    assert!(texts.len() >= 4);
    let judge = |text: &str| {
        let file = directory.path().join("user-data");
        write(&file, text);
        run(Command::new("cloud-init").args(["schema", "--config-file"]).arg(&file))
    };
    for text in &texts {
        let output = judge(text);
        assert!(output.status.success(), "{text}\n{output:?}");
        assert!(text.contains("/mnt/share") && text.contains("nofail"), "{text}");
    }
    // It would notice.
    assert!(!judge(&texts[0].replace("packages:", "packages: 7\nmounts: x #")).status.success());
}

#[test]
fn the_manifests_of_the_page_are_whole() {
    let yaml = run(Command::new("python3").args(["-c", "import yaml"]));
    if !yaml.status.success() {
        println!("SKIPPED: nothing reads YAML here (Debian: python3-yaml)");
        return;
    }
    let directory = scratch();
    let file = directory.path().join("manifest.yaml");
    let mut kinds = Vec::new();
    for (_, text) in blocks("yaml").into_iter().filter(|(kind, _)| kind == "kubernetes") {
        write(&file, &text);
        let convert =
            "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))";
        let said = succeed(Command::new("python3").args(["-c", convert]).arg(&file));
        let manifest: Value = serde_json::from_str(&said).unwrap();
        assert!(manifest["apiVersion"].is_string() && manifest["metadata"]["name"].is_string());
        let kind = manifest["kind"].as_str().unwrap().to_owned();
        let template = match kind.as_str() {
            "CronJob" => &manifest["spec"]["jobTemplate"]["spec"]["template"]["spec"],
            _ => &manifest["spec"]["template"]["spec"],
        };
        let container = &template["containers"][0];
        let mounted = container["volumeMounts"].as_array().unwrap().iter();
        let share = mounted.clone().find(|it| it["mountPath"] == "/mnt/share").unwrap();
        let mut volumes = template["volumes"].as_array().unwrap().iter();
        assert!(volumes.any(|volume| volume["name"] == share["name"]), "{kind}");
        kinds.push(kind);
    }
    assert_eq!(kinds, ["CronJob", "StatefulSet"]);
}

#[test]
fn the_configuration_of_a_server_that_stays_is_understood() {
    let directory = scratch();
    let blocks = blocks("toml");
    let [(_, text)] = &blocks[..] else { panic!("{blocks:?}") };
    let path = directory.path().join("agent.toml");
    write(&path, text);
    let shown = succeed(outlast().args(["config", "show", "agent", "--config"]).arg(&path));
    assert!(shown.contains("/var/lib/outlast-agent/state/share"), "{shown}");
    // The words are judged when an agent starts; this one gets no further than its identity.
    let said = fail(outlast().args(["agent", "--config"]).arg(&path), 1);
    assert!(said.contains("identity") && !said.contains("source["), "{said}");
}
