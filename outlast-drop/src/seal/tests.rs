use outlast_types::{SystemClock, SystemRandom};
use proptest::prelude::*;

use super::*;

fn seals() -> impl Strategy<Value = Seal> {
    let segments =
        prop::collection::vec((0..1_u64 << 40, 0..SEGMENT_RAW_MAX, any::<[u8; 32]>()), 0..6);
    let content = prop_oneof![
        Just(Content::Tree),
        "[^/\\p{Cc}]{3,40}".prop_map(|name| Content::stream(&name).unwrap()),
    ];
    let sealed_to = prop::option::of((".{0,90}", ".{0,200}"));
    let flags = (any::<bool>(), any::<bool>());
    (segments, content, flags, prop::option::of(".{0,30}"), sealed_to).prop_map(
        |(segments, content, (compressed, sha256), instance, sealed_to)| Seal {
            drop: DropId::new(&SystemClock, &SystemRandom),
            workload: WorkloadName::new("shop-db").unwrap(),
            content,
            claims: Claims { instance, ..Claims::default() },
            sealed: Timestamp::from_unix(1_790_000_000, 5),
            compression: compressed.then_some(Compression::Zstd),
            sealed_to: sealed_to.clone().map(|(key, wrapped)| SealedTo { key, wrapped }),
            segments: segments
                .into_iter()
                .enumerate()
                .map(|(index, (size, raw_size, hash))| Segment {
                    name: segment_name(index),
                    size,
                    raw_size: if compressed || sealed_to.is_some() { raw_size } else { size },
                    digest: match sha256 {
                        true => Digest::Sha256(Sha256Hash(hash)),
                        false => Digest::Blake3(ContentHash(hash)),
                    },
                })
                .collect(),
        },
    )
}

proptest! {
    #[test]
    fn the_summary_of_a_seal_names_its_bytes_and_nothing_else(seal in seals()) {
        let bytes = seal.to_bytes().unwrap();
        let summary = seal.summary(Seal::digest_of(&bytes));
        prop_assert_eq!(summary.digest.0, *blake3::hash(&bytes).as_bytes());
        let mut other = bytes.clone();
        other.insert(1, b' ');
        prop_assert_ne!(Seal::digest_of(&other), summary.digest, "the self-hash is part of it");
    }

    #[test]
    fn a_seal_survives_its_bytes(seal in seals()) {
        prop_assert_eq!(Seal::parse(&seal.to_bytes().unwrap()), Ok(seal));
    }

    #[test]
    fn a_seal_that_was_cut_off_anywhere_is_torn(seal in seals(), at in any::<prop::sample::Index>()) {
        let bytes = seal.to_bytes().unwrap();
        prop_assert_eq!(Seal::parse(&bytes[..at.index(bytes.len())]), Err(Rejection::TornSeal));
    }

    #[test]
    fn a_flipped_bit_is_never_accepted(seal in seals(), at in any::<prop::sample::Index>(), bit in 0_u32..8) {
        let mut bytes = seal.to_bytes().unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        prop_assert!(Seal::parse(&bytes).is_err());
    }

    #[test]
    fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Seal::parse(&bytes).is_err());
    }
}

#[test]
fn a_seal_as_a_script_writes_it_is_read() {
    let body = "{ \"version\": 1, \"drop\": \"0198e2f0-1111-7222-8333-444455556666\",\n \
                \"workload\": \"shop-db\", \"kind\": \"tree\", \"mine\": [1],\n \"size\": 0, \
                \"segments\": []";
    let digest = Digest::of(Algorithm::Sha256, body.as_bytes()).to_string();
    let seal = Seal::parse(&proof::join(body.as_bytes().to_vec(), "self", &digest)).unwrap();
    assert_eq!((seal.content, seal.claims), (Content::Tree, Claims::default()));
}
