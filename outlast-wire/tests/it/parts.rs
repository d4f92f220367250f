//! Objects that come in parts, over the wire.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use outlast_store::{Kind, MemoryStore, Object, Store};
use outlast_wire::api::ErrorCode;
use outlast_wire::client::{Pace, Part, Sent};
use outlast_wire::server::Limits;
use outlast_wire::{ApiClient, CallError, Role};

use crate::support::{World, name_of, workload};

const MIB: usize = 1 << 20;

/// Lets all go, and counts it.
#[derive(Default)]
struct Counted(AtomicU64);

impl Pace for Counted {
    fn turn(&self, bytes: u64) -> Result<(), Duration> {
        self.0.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }
}

fn part(object: Object, offset: usize, total: usize, content: &[u8]) -> Part {
    let content = content.to_vec().into();
    Part { object, offset: offset as u64, total: total as u64, content }
}

fn send(client: &ApiClient, part: Part) -> Result<Sent, CallError> {
    let pace: Arc<dyn Pace> = Arc::new(Counted::default());
    client.forward(&workload(), None, None, part, &pace, Duration::from_secs(60))
}

#[test]
fn an_object_comes_in_parts_and_who_is_lost_is_told_where_it_goes_on() {
    let world = World::new();
    let kept = Arc::new(MemoryStore::new());
    let server = world.server_of(kept.clone(), Limits::default());
    let client = ApiClient::new(&server.url(), &world.identity(Role::Operator)).unwrap();
    let whole: Vec<u8> = (0..251_u8).cycle().take(5 * MIB / 2).collect();
    let object = Object::new(Kind::Data, name_of(&whole));
    let go_on = |at: usize| Sent::Partly { offset: at as u64 };
    let send_of = |client: &ApiClient, from: usize, until: usize| {
        send(client, part(object, from, whole.len(), &whole[from..until])).unwrap()
    };
    let send_part = |from, until| send_of(&client, from, until);
    assert_eq!(send_part(0, 0), go_on(0), "a question begins nothing");
    assert_eq!(send_part(MIB, 2 * MIB), go_on(0), "nothing of it is here");
    assert_eq!(send_part(0, MIB), go_on(MIB));
    assert_eq!(send_part(0, MIB), go_on(MIB), "it came already");
    assert_eq!(send_part(2 * MIB, whole.len()), go_on(MIB), "there is a gap");
    assert_eq!(send_part(MIB, MIB), go_on(MIB));
    // Another peer's attempt is its own.
    let other = world.named(Role::Operator, "other");
    let other = ApiClient::new(&server.url(), &other).unwrap();
    assert_eq!(send_of(&other, MIB, MIB + 4), go_on(0));
    assert_eq!(send_part(MIB, 2 * MIB), go_on(2 * MIB));
    assert!(kept.list(Kind::Data).unwrap().is_empty(), "nothing is there before all of it is");
    assert_eq!(send_part(2 * MIB, whole.len()), Sent::Stored);
    assert_eq!(kept.read(&object).unwrap(), whole);
    // Once more, in one, and in parts.
    assert_eq!(send_part(0, whole.len()), Sent::Exists);
    assert_eq!(send_part(0, MIB), go_on(MIB));
}

#[test]
fn what_cannot_be_a_part_is_refused_and_what_hashes_to_no_name_is_forgotten() {
    let world = World::new();
    let kept = Arc::new(MemoryStore::new());
    let server = world.server_of(kept.clone(), Limits::default());
    let client = ApiClient::new(&server.url(), &world.identity(Role::Operator)).unwrap();
    let whole = vec![7; 1000];
    let object = Object::new(Kind::Index, name_of(&whole));
    let refused = |part: Part, words: &str| {
        let error = send(&client, part).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        error.code().cloned()
    };
    refused(part(object, 1001, 1000, b""), "within the size");
    refused(part(object, 1, 0, b""), "within the size");
    refused(part(object, 0, 1 << 40, b"x"), "at most");
    refused(part(object, 0, 10, b"much too long"), "beyond the end");
    let half = part(object, 0, 1000, &whole[..500]);
    assert_eq!(send(&client, half).unwrap(), Sent::Partly { offset: 500 });
    let code = refused(part(object, 500, 1000, &[8; 500]), "another SHA-256");
    assert_eq!(code, Some(ErrorCode::WrongHash));
    assert!(kept.list(Kind::Index).unwrap().is_empty());
    let counted = Arc::new(Counted::default());
    let pace = Arc::clone(&counted) as Arc<dyn Pace>;
    let all = part(object, 0, 1000, &whole);
    let deadline = Duration::from_secs(60);
    let sent = client.forward(&workload(), None, None, all, &pace, deadline).unwrap();
    assert_eq!((sent, counted.0.load(Ordering::Relaxed)), (Sent::Stored, 1000));
}
