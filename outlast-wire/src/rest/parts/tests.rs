//! Objects in parts, whatever is cut, repeated or made up.

use std::collections::BTreeMap;

use outlast_types::PackId;
use proptest::prelude::*;

use super::*;

/// Keeps what came, for the test to look at.
struct Kept(Vec<u8>, Arc<Mutex<Vec<Vec<u8>>>>);

impl Incoming for Kept {
    fn take(&mut self, piece: &[u8]) -> Result<(), HostError> {
        self.0.extend_from_slice(piece);
        Ok(())
    }

    fn store(self: Box<Self>) -> Result<(), HostError> {
        self.1.lock().unwrap().push(self.0);
        Ok(())
    }
}

fn key(peer: &str) -> Key {
    let peer = Peer::new(Role::Media, peer).unwrap();
    let object = Object::Data(PackId([7; 32]));
    Key { peer, workload: WorkloadName::new("shop-db").unwrap(), object }
}

#[derive(Debug, Clone)]
enum Step {
    /// Sends so many bytes from where the vault said to go on.
    Send { who: usize, bytes: usize },
    /// From anywhere.
    Wrong { who: usize, offset: u64 },
    /// Sends what is not the object's.
    Junk { who: usize, bytes: usize },
    /// The road breaks after the part was claimed, before it was taken.
    Cut { who: usize },
    /// Nothing comes for a while, or for too long.
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let who = 0..2_usize;
    let step = prop_oneof![
        6 => (who.clone(), 0..40_usize).prop_map(|(who, bytes)| Step::Send { who, bytes }),
        1 => (who.clone(), 0..120_u64).prop_map(|(who, offset)| Step::Wrong { who, offset }),
        1 => (who.clone(), 1..40_usize).prop_map(|(who, bytes)| Step::Junk { who, bytes }),
        1 => who.prop_map(|who| Step::Cut { who }),
        1 => (0..900_u64).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 0..80)
}

/// Brings a part, as the server does; whether the object is whole and hashes to what it should.
fn bring(
    parts: &Arc<Parts>,
    key: &Key,
    part: Part,
    bytes: &[u8],
    now: Duration,
    stored: &Arc<Mutex<Vec<Vec<u8>>>>,
) -> Result<Option<bool>, NotNow> {
    parts.expects(key, part)?;
    let mut claimed = parts.claim(key.clone(), part, now)?;
    if claimed.is_new() {
        claimed.begin(Box::new(Kept(Vec::new(), Arc::clone(stored))));
    }
    let claimed = claimed.take(&Bytes::copy_from_slice(bytes)).unwrap();
    if !claimed.is_whole() {
        return Ok(None);
    }
    let (incoming, hash) = claimed.finish().unwrap();
    let wanted = digest::digest(&digest::SHA256, &content());
    let is_right = hash == wanted.as_ref();
    if is_right {
        incoming.store().unwrap();
    }
    Ok(Some(is_right))
}

fn content() -> Vec<u8> {
    (0..100_u8).collect()
}

proptest! {
    /// Whatever comes in whatever order, from two peers: nothing is stored but the true content, once for
    /// each time that a peer brought all of it; and whoever goes on where it is told comes to the end.
    #[test]
    fn whatever_is_cut_repeated_or_made_up_only_the_true_content_is_stored(steps in steps()) {
        let parts = Parts::new();
        let stored = Arc::default();
        let keys = [key("one"), key("two")];
        let mut at = BTreeMap::from([(0, 0_u64), (1, 0)]);
        let (mut now, mut whole) = (Duration::ZERO, 0);
        let true_content = content();
        let size = true_content.len() as u64;
        let mut send = |who: usize, offset: u64, bytes: &[u8], now: Duration| {
            let part = Part { offset, size };
            match bring(&parts, &keys[who], part, bytes, now, &stored) {
                Ok(None) => at.insert(who, offset + bytes.len() as u64),
                Ok(Some(is_right)) => {
                    whole += usize::from(is_right);
                    at.insert(who, 0)
                }
                Err(NotNow::At(there)) => at.insert(who, there),
                Err(other) => panic!("{other:?}"),
            };
            at[&who]
        };
        let mut known = [0_u64; 2];
        for step in steps {
            match step {
                Step::Send { who, bytes } => {
                    let from = usize::try_from(known[who]).unwrap();
                    let until = (from + bytes).min(true_content.len());
                    known[who] = send(who, known[who], &true_content[from..until], now);
                }
                Step::Wrong { who, offset } => {
                    let offset = offset.min(size);
                    let from = usize::try_from(offset).unwrap();
                    let until = (from + 10).min(true_content.len());
                    known[who] = send(who, offset, &true_content[from..until], now);
                }
                Step::Junk { who, bytes } => {
                    let left = usize::try_from(size - known[who]).unwrap();
                    known[who] = send(who, known[who], &vec![0xff; bytes.min(left)], now);
                }
                Step::Cut { who } => {
                    let part = Part { offset: known[who], size };
                    if let Ok(mut claimed) = parts.claim(keys[who].clone(), part, now)
                        && claimed.is_new()
                    {
                        claimed.begin(Box::new(Kept(Vec::new(), Arc::clone(&stored))));
                    }
                }
                Step::Wait(seconds) => {
                    now += Duration::from_secs(seconds);
                    parts.expire(now);
                }
            }
        }
        for (who, mut from) in known.into_iter().enumerate() {
            // It may hold junk, which ends with the first attempt.
            for _ in 0..30 {
                let begin = usize::try_from(from).unwrap();
                let until = (begin + 40).min(true_content.len());
                from = send(who, from, &true_content[begin..until], now);
            }
        }
        let stored = stored.lock().unwrap();
        prop_assert!(whole >= 2);
        prop_assert_eq!(stored.len(), whole);
        prop_assert!(stored.iter().all(|it| *it == true_content));
    }
}

#[test]
fn a_query_names_a_part_that_can_be_or_nothing_is_taken() {
    let parse = |query: &str| Part::parse(Some(query), 100);
    assert_eq!(Part::parse(None, 100), Ok(None));
    assert_eq!(parse("create=true"), Ok(None));
    assert_eq!(parse("offset=0&size=100"), Ok(Some(Part { offset: 0, size: 100 })));
    assert_eq!(parse("size=9&offset=9"), Ok(Some(Part { offset: 9, size: 9 })));
    for bad in [
        "offset=0",
        "size=1",
        "offset=&size=1",
        "offset=-1&size=9",
        "offset=10&size=9",
        "offset=0&size=0",
        "offset=0&size=101",
        "offset=0&size=99999999999999999999",
    ] {
        assert!(parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_part_of_an_object_of_another_size_begins_anew() {
    let (parts, stored) = (Parts::new(), Arc::default());
    let bring = |offset, size, bytes: &[u8]| {
        bring(&parts, &key("one"), Part { offset, size }, bytes, Duration::ZERO, &stored)
    };
    assert_eq!(bring(0, 100, &content()[..50]), Ok(None));
    assert_eq!(bring(50, 99, b"x"), Err(NotNow::At(0)));
    assert_eq!(bring(0, 99, b"x"), Ok(None));
    assert_eq!(bring(50, 100, b"x"), Err(NotNow::At(0)));
    assert_eq!(bring(0, 100, &content()), Ok(Some(true)));
}
