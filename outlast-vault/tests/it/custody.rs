//! What the vault says of drops: one id is one drop, and what it holds is said of now.

use outlast_drop::SignedReceipt;
use outlast_types::{BlobId, ContentHash, ShareId, SystemRandom, Timestamp};
use outlast_wire::Role;
use outlast_wire::api::{ErrorCode, Shipment};
use outlast_wire::holdings::{HeldDrop, Nonce, Question};

use crate::support::{Agent, World, shop};

#[test]
fn a_bill_that_differs_in_anything_from_what_is_held_is_refused_and_told() {
    let world = World::new();
    let vault = world.start();
    let agent = world.agent(&vault);
    let bill = agent.ship(&shop(), b"one");
    let good = || bill.clone();
    let day = Timestamp::EPOCH.day();
    for (what, forged) in [
        ("share", Shipment { share: ShareId::new(&SystemRandom), ..good() }),
        ("day", Shipment { day, ..good() }),
        ("seal", Shipment { seal: ContentHash([5; 32]), ..good() }),
        ("size", Shipment { size: 8, ..good() }),
        ("tree", Shipment { tree: BlobId([5; 32]), ..good() }),
    ] {
        let error = agent.hand_in(&forged).unwrap_err();
        assert_eq!(error.code(), Some(&ErrorCode::Contested), "{error}");
        assert!(!error.is_passing() && error.to_string().contains(what), "{error}");
    }
    assert_eq!(world.snapshot_files(&shop()).len(), 1);
    let incidents = world.client(&vault, Role::Operator).incidents().unwrap();
    let keys: Vec<_> = incidents.iter().map(|incident| incident.key.as_str()).collect();
    assert_eq!(keys, ["contested-drop/shop-db"], "one cause, one page");
    assert!(incidents[0].owner == "platform" && incidents[0].cause.contains("road-1"));
}

#[test]
fn a_bill_of_an_older_form_binds_no_seal_and_is_not_taken() {
    let world = World::new();
    let vault = world.start();
    let agent = world.agent(&vault);
    let bill = agent.bill(&shop(), &agent.upload(&shop(), b"one"));
    let error = agent.hand_in(&Shipment { version: 1, ..bill.clone() }).unwrap_err();
    assert_eq!(error.code(), Some(&ErrorCode::BillVersion), "{error}");
    agent.hand_in(&bill).unwrap();
}

#[test]
fn an_arrival_without_a_seal_takes_that_of_the_first_bill_that_agrees_with_it() {
    let world = World::new();
    let vault = world.start();
    let agent = world.agent(&vault);
    let bill = agent.ship(&shop(), b"one");
    let first = agent.hand_in(&bill).unwrap().receipt;
    let first = SignedReceipt::parse(first.as_bytes()).unwrap();
    // As the release before this one wrote it.
    let path = world.config.dir.join(format!("arrivals/shop-db/{}.json", bill.drop));
    let text = std::fs::read_to_string(&path).unwrap();
    let mut record: serde_json::Value = serde_json::from_str(&text).unwrap();
    let old = serde_json::json!({
        "version": 1, "share": bill.share, "drop": bill.drop, "workload": "shop-db",
        "state": "vaulted", "at": first.receipt().at, "by": "main", "role": "vault",
        "snapshot": bill.snapshot_id.to_string(), "size": 7, "certificate": "",
    });
    let old = old.to_string();
    record["receipt"] = format!("{},\"signature\":\"00\"}}\n", old.trim_end_matches('}')).into();
    std::fs::File::create(&path).unwrap();
    outlast_fs::durable::replace(&path, record.to_string().as_bytes(), 0o600).unwrap();

    let other = Shipment { size: 8, ..bill.clone() };
    assert_eq!(agent.hand_in(&other).unwrap_err().code(), Some(&ErrorCode::Contested));
    let adopted = agent.hand_in(&bill).unwrap().receipt;
    let adopted = SignedReceipt::parse(adopted.as_bytes()).unwrap();
    assert_eq!(adopted.receipt().identity(), Some(bill.identity()));
    assert_eq!(adopted.receipt().at, first.receipt().at, "it stays as old as it is");
    let again = Shipment { seal: ContentHash([5; 32]), ..bill.clone() };
    assert_eq!(agent.hand_in(&again).unwrap_err().code(), Some(&ErrorCode::Contested), "the first");
    assert_eq!(world.snapshot_files(&shop()).len(), 1);
}

fn held(bill: &Shipment) -> HeldDrop {
    HeldDrop { drop: bill.identity(), size: bill.size, tree: bill.tree, snapshot: bill.snapshot_id }
}

fn ask(agent: &Agent, drops: Vec<HeldDrop>) -> Vec<HeldDrop> {
    let nonce = Nonce::new(&SystemRandom);
    let question = Question {
        nonce: nonce.clone(),
        drops,
        receipts: Vec::new(),
        handed: Vec::new(),
        heeds_withheld: true,
        signed: None,
    };
    let answer = agent.client.holdings(&question).unwrap();
    answer.verify(agent.identity.ca_pem(), &nonce).unwrap().held
}

#[test]
fn what_is_held_is_said_of_this_moment_and_of_this_very_drop() {
    let world = World::new();
    let vault = world.start();
    let agent = world.agent(&vault);
    let (one, two) = (agent.ship(&shop(), b"one"), agent.ship(&shop(), b"two"));
    assert_eq!(ask(&agent, vec![held(&one), held(&two)]), [held(&one), held(&two)]);
    let mut other = held(&one);
    other.drop.seal = ContentHash([5; 32]);
    assert_eq!(ask(&agent, vec![other, held(&two)]), [held(&two)]);
    // Its snapshot is gone, or is there in name only.
    let file = |bill: &Shipment| {
        world.repository_directory(&shop()).join(format!("snapshots/{}", bill.snapshot_id))
    };
    outlast_fs::durable::remove_file(&file(&one)).unwrap();
    outlast_fs::durable::replace(&file(&two), b"", 0o600).unwrap();
    assert_eq!(ask(&agent, vec![held(&one), held(&two)]), []);
    // And a bill for it is no repetition any more.
    agent.hand_in(&one).unwrap();
    assert_eq!(ask(&agent, vec![held(&one)]), [held(&one)]);
}

#[test]
fn a_receipt_that_the_vault_signed_and_does_not_know_is_told_until_it_holds_the_drop_again() {
    let world = World::new();
    let vault = world.start();
    let agent = world.agent(&vault);
    let bill = agent.ship(&shop(), b"one");
    let receipt = agent.hand_in(&bill).unwrap().receipt;
    drop(vault);
    // Its directory is put back from the time before; only the repository's key is of then, too.
    outlast_fs::durable::remove_file(&world.snapshot_files(&shop())[0]).unwrap();
    std::fs::remove_dir_all(world.config.dir.join("arrivals")).unwrap();
    let catalog = world.config.dir.join("catalog.sqlite");
    for suffix in ["", "-wal", "-shm"] {
        drop(std::fs::remove_file(format!("{}{suffix}", catalog.display())));
    }
    let vault = world.start();
    let agent = world.agent(&vault);
    let operator = world.client(&vault, Role::Operator);
    let open = || {
        let incidents = operator.incidents().unwrap();
        incidents.into_iter().filter(|incident| incident.resolved.is_none()).collect::<Vec<_>>()
    };
    let show = |receipts: Vec<String>| {
        let nonce = Nonce::new(&SystemRandom);
        agent
            .client
            .holdings(&Question {
                nonce,
                drops: Vec::new(),
                receipts,
                handed: Vec::new(),
                heeds_withheld: true,
                signed: None,
            })
            .unwrap();
    };
    show(vec![receipt.replace("shop-db", "shop-dc"), "junk".to_owned()]);
    assert!(open().is_empty(), "what no vault signed proves nothing");
    show(vec![receipt.clone(), receipt]);
    let told = open();
    assert_eq!((told.len(), told[0].key.as_str()), (1, "vault-went-back"));
    assert!(told[0].cause.contains(&bill.drop.to_string()), "{}", told[0].cause);
    let again = agent.bill_of(&shop(), &agent.upload(&shop(), b"one"), bill.drop);
    agent.hand_in(&again).unwrap();
    assert!(open().is_empty(), "it resolves by itself");
}
