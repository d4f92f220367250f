//! One flipped bit in any object is noticed, whichever bit it is.

use std::fs;
use std::path::Path;

use outlast_format::crypto::Key;
use outlast_format::key_file::{KdfParams, KeyFile, Maker};
use outlast_format::{FormatError, KeyId, Sha256Id, pack};
use outlast_types::{SystemRandom, Timestamp};

use crate::repository::{Repository, files, read_blob};
use crate::restic::PASSWORD;

fn golden() -> Repository {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v2");
    Repository::open(&root, PASSWORD)
}

/// `bytes` with one bit flipped, for every bit.
fn flipped(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (0..bytes.len() * 8).map(|bit| {
        let mut damaged = bytes.to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        damaged
    })
}

#[test]
fn a_flipped_bit_in_a_config_index_or_snapshot() {
    let repository = golden();
    let objects = ["index", "snapshots"].iter().flat_map(|name| files(&repository.root.join(name)));
    for path in objects.chain([repository.root.join("config")]) {
        let bytes = fs::read(&path).unwrap();
        assert!(repository.key.open(&bytes).is_ok());
        for damaged in flipped(&bytes) {
            assert_eq!(repository.key.open(&damaged), Err(FormatError::Unauthentic));
        }
        for length in 0..bytes.len() {
            assert!(repository.key.open(&bytes[..length]).is_err());
        }
    }
}

/// Reads all of a pack by its own header.
fn read(pack: &[u8], key: &Key) -> Result<(), FormatError> {
    let entries = pack::read_header(pack, key)?;
    entries.iter().try_for_each(|entry| read_blob(pack, entry, key).map(drop))
}

#[test]
fn a_flipped_bit_in_a_pack() {
    let repository = golden();
    for path in &repository.packs() {
        let bytes = fs::read(path).unwrap();
        assert_eq!(read(&bytes, &repository.key), Ok(()));
        for damaged in flipped(&bytes) {
            assert!(read(&damaged, &repository.key).is_err());
        }
        for length in 0..bytes.len() {
            assert!(read(&bytes[..length], &repository.key).is_err());
        }
    }
}

#[test]
fn a_flipped_bit_in_a_key_file() {
    let key = Key::generate(&SystemRandom);
    let maker = Maker { hostname: "h".into(), username: "u".into(), created: Timestamp::EPOCH };
    let quick = KdfParams { log_n: 4, r: 1, p: 1 };
    let file = KeyFile::create(PASSWORD, &key, &maker, quick, &SystemRandom).unwrap();
    for damaged in flipped(&file) {
        // Who made it and when is not sealed; but the file is named by its hash.
        assert_ne!(KeyId::of(&damaged), KeyId::of(&file));
        if let Ok(opened) = KeyFile::open(&damaged, PASSWORD) {
            assert_eq!(opened.to_bytes(), key.to_bytes(), "never another key");
        }
    }
}
