use std::collections::BTreeMap;

use outlast_drop::{Receipt, ReceiptState, Signer};
use outlast_types::{ContentHash, SystemRandom, Timestamp};
use outlast_wire::api::{Base64, BilledName, BilledObject, BilledPacks};

use super::*;

struct Nobody;

impl Signer for Nobody {
    fn name(&self) -> String {
        "eu".to_owned()
    }
    fn role(&self) -> String {
        "media".to_owned()
    }
    fn certificate_pem(&self) -> String {
        String::new()
    }
    fn sign(&self, _: &[u8]) -> std::io::Result<Vec<u8>> {
        Ok(vec![1])
    }
}

fn address(number: u8) -> DropAddress {
    DropAddress {
        workload: WorkloadName::new("shop").unwrap(),
        day: Timestamp::EPOCH.day(),
        drop: format!("01a2066b-8649-78cb-a8bc-a5af0e9525{number:02x}").parse().unwrap(),
    }
}

fn share() -> ShareId {
    "6f1c1d6e-8f0a-4c6b-9d53-0d6f1a0f7b11".parse().unwrap()
}

/// Of 10 packs with 100 bytes, and one index with 5.
fn bill() -> Shipment {
    let DropAddress { workload, day, drop } = address(1);
    Shipment {
        version: 3,
        share: share(),
        workload,
        day,
        drop,
        seal: ContentHash([1; 32]),
        size: 9,
        tree: "01".repeat(32).parse().unwrap(),
        snapshot_id: "02".repeat(32).parse().unwrap(),
        snapshot: Base64(Vec::new()),
        objects: vec![BilledObject {
            name: BilledName::Index("03".repeat(32).parse().unwrap()),
            size: 5,
        }],
        packs: Some(BilledPacks { objects: 10, bytes: 100 }),
        claims: serde_json::Value::Null,
        sanity: None,
        sanity_rule: None,
        first_seen: None,
        other: BTreeMap::new(),
        called: None,
    }
}

fn receipt(id: SpoolId, objects: u64, bytes: u64) -> SignedReceipt {
    let about = Receipt::about(share(), &address(1), ReceiptState::Shipped, Timestamp::EPOCH);
    Receipt { spool: Some(Spooled { id, objects, bytes }), ..about }.sign(&Nobody).unwrap()
}

#[test]
fn a_drop_is_shipped_when_spools_together_have_all_of_its_bill_and_the_same_one_counts_once() {
    let [one, two] = [0; 2].map(|_| SpoolId::new(&SystemRandom));
    let mut transit = Transit::default();
    let mut took =
        |id, objects, bytes| transit.took(&address(1), &bill(), &receipt(id, objects, bytes));
    assert_eq!(took(one, 6, 60), Covered::Partly);
    assert_eq!(took(one, 6, 60), Covered::Partly, "it is the same spool");
    assert_eq!(took(two, 5, 44), Covered::Partly, "as many objects, and fewer bytes");
    assert_eq!(took(two, 5, 45), Covered::Together);
    assert_eq!(took(one, 6, 60), Covered::Known);
    assert_eq!(took(one, 11, 105), Covered::ByOne);
    // Of whoever is no media server of today.
    let about = Receipt::about(share(), &address(1), ReceiptState::Shipped, Timestamp::EPOCH);
    let old = about.sign(&Nobody).unwrap();
    assert_eq!(transit.took(&address(1), &bill(), &old), Covered::Partly);
}

#[test]
fn what_spools_said_is_void_when_the_vault_lacks_something() {
    let mut transit = Transit::default();
    let id = SpoolId::new(&SystemRandom);
    transit.begin(&address(1));
    assert_eq!(transit.took(&address(1), &bill(), &receipt(id, 6, 60)), Covered::Partly);
    let blobs: Vec<_> = ["data", "tree", "index"]
        .into_iter()
        .filter_map(|kind| blob(&format!("{kind}/{}", "07".repeat(32))))
        .collect();
    assert_eq!(blobs.len(), 2, "an index is no blob");
    transit.doubt(&address(1), blobs.into_iter().collect());
    assert_eq!(transit.doubted(&address(1)).len(), 2);
    let other = SpoolId::new(&SystemRandom);
    assert_eq!(transit.took(&address(1), &bill(), &receipt(other, 5, 45)), Covered::Partly);
    transit.trust(&address(1));
    assert!(transit.doubted(&address(1)).is_empty());
    assert_eq!(transit.begun(&address(1).workload), [address(1)]);
}

#[test]
fn only_what_was_begun_or_billed_is_cancelled_and_what_is_begun_again_is_not() {
    let mut transit = Transit::default();
    transit.give_up(share(), &address(1), "rejected", false);
    assert!(transit.take_given_up().is_empty(), "nobody ever heard of it");
    transit.give_up(share(), &address(1), "gone", true);
    transit.begin(&address(2));
    transit.give_up(share(), &address(2), "rejected", false);
    transit.begin(&address(3));
    transit.end(&address(3));
    transit.give_up(share(), &address(3), "released", false);
    let said = transit.take_given_up();
    assert_eq!(said.keys().cloned().collect::<Vec<_>>(), [address(1), address(2)]);
    transit.begin(&address(1));
    transit.say_later(said);
    assert_eq!(transit.take_given_up().into_keys().collect::<Vec<_>>(), [address(2)]);
}
