//! Workloads that consist of others, by the real binary.

use std::fs;

use outlast_fs::durable;
use serde_json::Value;

use crate::harness::{Up, document, scratch, succeed, wait_until};

/// The service, as it is listed.
#[track_caller]
fn service(up: &Up) -> Value {
    let listed = document(&mut up.ask(&["workload", "list", "--json"]));
    let all = listed["workloads"].as_array().unwrap().clone();
    all.into_iter().find(|it| it["name"] == "shop").unwrap()
}

#[test]
fn a_service_is_shown_and_ordered_as_a_whole() {
    let directory = scratch();
    let dir = directory.path().join("up");
    Up::start(&dir).role.stop();
    let config = fs::read_to_string(dir.join("vault.toml")).unwrap();
    let policy = "[workloads.shop]\nmembers = [\"shop.1\", \"shop.2\"]\nowner = \"team-shop\"\n";
    durable::replace(&dir.join("vault.toml"), format!("{config}\n{policy}").as_bytes(), 0o644)
        .unwrap();
    let mut up = Up::start(&dir);
    for workload in ["shop.1", "shop.3"] {
        let drop = up.drop(workload, &["Cargo.toml"]);
        up.wait_for_receipt(workload, &drop, "vaulted");
    }
    let shop = service(&up);
    assert_eq!(shop["state"], "never-seen", "one of its members has no recovery point");
    assert_eq!((&shop["owner"], &shop["last_vaulted"]), (&"team-shop".into(), &Value::Null));
    assert_eq!(shop["members"][1]["name"], "shop.2");
    assert_eq!(shop["unlisted"][0], "shop.3");
    let words = succeed(&mut up.ask(&["workload", "show", "shop"]));
    for part in ["never-seen (1 of 2 members)", "shop.1", "fresh", "shop.3 is called like a member"]
    {
        assert!(words.contains(part), "{part} is not in:\n{words}");
    }
    let words = succeed(&mut up.ask(&["workload", "show", "shop.1"]));
    assert!(words.contains("a member of shop"), "{words}");
    let drop = up.drop("shop.2", &["Cargo.toml"]);
    up.wait_for_receipt("shop.2", &drop, "vaulted");
    wait_until("all of it is fresh", || service(&up)["state"] == "fresh");
    let pause = ["workload", "pause", "shop", "--for", "3d", "--reason", "the shop moves"];
    let words = succeed(&mut up.ask(&pause));
    assert!(words.contains("pause shop.1") && words.contains("pause shop.2"), "{words}");
    assert_eq!(service(&up)["state"], "paused");
    let orders = document(up.ask(&["workload", "resume", "shop"]).arg("--json"));
    assert_eq!(orders.as_array().unwrap().len(), 2);
    assert_eq!(service(&up)["state"], "fresh");
    up.role.stop();
}
