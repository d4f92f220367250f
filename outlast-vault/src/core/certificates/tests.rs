use outlast_types::{Clock, SystemClock};
use outlast_wire::Role;

use super::*;
use crate::core::storage::memory::MemoryStorage;

fn open(storage: &Storage) -> Result<Certificates, VaultError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let audit = Arc::new(AuditLog::open(storage, clock)?);
    Certificates::open(storage, &audit)
}

fn peer(name: &str) -> Peer {
    Peer::new(Role::Agent, name).unwrap()
}

fn revoke(record: &Certificates, name: &str) {
    let revoked = Revoked::Holder { peer: peer(name), begun_by: Timestamp::EPOCH };
    let what = What::Revoked { revoked, reason: Some("its host was stolen".to_owned()) };
    record.note("operator up", Timestamp::EPOCH, what).unwrap();
}

fn certified(name: &str, digit: char) -> Certified {
    serde_json::from_value(serde_json::json!({
        "peer": { "role": "agent", "name": name },
        "grants": ["shop-*"],
        "from": "2026-01-01T00:00:00Z",
        "until": "2026-02-01T00:00:00Z",
        "serial": digit.to_string().repeat(32),
        "fingerprint": digit.to_string().repeat(64),
    }))
    .unwrap()
}

#[test]
fn what_was_revoked_stays_so_when_its_file_is_lost_cut_off_or_put_back() {
    let memory = Arc::new(MemoryStorage::default());
    let storage: Storage = Arc::clone(&memory) as Storage;
    let record = open(&storage).unwrap();
    let issued = What::Issued { certified: certified("eu-1", '1'), grounds: "token 7".to_owned() };
    record.note("operator up", Timestamp::EPOCH, issued).unwrap();
    revoke(&record, "eu-1");
    let older = storage.read(KEY, BYTES_MAX).unwrap().unwrap();
    revoke(&record, "eu-2");
    drop(record);
    let whole = storage.read(KEY, BYTES_MAX).unwrap().unwrap();
    let damaged = [
        None,
        Some(Vec::new()),
        Some(older.clone()),
        Some(whole[..whole.len() - 1].to_vec()),
        Some(whole[..older.len() + 9].to_vec()),
    ];
    for content in damaged {
        match content {
            None => assert!(storage.remove(KEY).unwrap()),
            Some(content) => storage.replace(KEY, &content, Durability::Durable).unwrap(),
        }
        let record = open(&storage).unwrap();
        let list = record.revocations();
        assert_eq!((list.number(), list.entries().len()), (3, 2));
        assert_eq!(record.holder_revoked(&peer("eu-2")), Some(Timestamp::EPOCH));
        assert_eq!(record.holder_revoked(&peer("eu-3")), None);
        assert_eq!(record.list()[0].grounds.as_deref(), Some("token 7"));
        drop(record);
        assert_eq!(storage.read(KEY, BYTES_MAX).unwrap().unwrap(), whole, "it is whole again");
    }
    // And the number goes on.
    let record = open(&storage).unwrap();
    revoke(&record, "eu-3");
    assert_eq!(record.revocations().number(), 4);
}

#[test]
fn a_record_that_cannot_be_understood_stops_the_vault() {
    for text in [
        "{}\n",
        "{\"version\":2,\"number\":1,\"at\":\"2026-01-01T00:00:00Z\",\"by\":\"x\",\"event\":\"revoked\",\"revoked\":{\"what\":\"holder\",\"peer\":{\"role\":\"agent\",\"name\":\"x\"},\"begun_by\":\"2026-01-01T00:00:00Z\"},\"reason\":null}\n",
    ] {
        let storage: Storage = Arc::new(MemoryStorage::default());
        storage.replace(KEY, text.as_bytes(), Durability::Durable).unwrap();
        let error = open(&storage).err().unwrap().to_string();
        assert!(error.contains("certificates.jsonl") && error.contains("line 1"), "{error}");
    }
}

#[test]
fn certificates_of_others_are_noted_once_when_they_are_met() {
    let storage: Storage = Arc::new(MemoryStorage::default());
    let record = open(&storage).unwrap();
    let met = certified("eu-1", '2');
    assert!(!record.is_known(&met.fingerprint));
    for _ in 0..2 {
        record.meet(&met, Timestamp::EPOCH).unwrap();
    }
    assert!(record.is_known(&met.fingerprint));
    drop(record);
    let record = open(&storage).unwrap();
    assert_eq!(record.list().len(), 1);
    assert_eq!((record.list()[0].certified.clone(), record.list()[0].by.clone()), (met, None));
    assert_eq!(record.revocations().number(), 0, "no other tier need hear of it");
}
