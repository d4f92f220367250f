//! The parsers of the repository format.

use outlast_format::compress::Decompressor;
use outlast_format::config::{Config, Version};
use outlast_format::crypto::{Key, OVERHEAD};
use outlast_format::go::{self, GoTime};
use outlast_format::index::IndexFile;
use outlast_format::key_file::KeyFile;
use outlast_format::pack as packs;
use outlast_format::snapshot::Snapshot;
use outlast_format::tree::Tree;
use outlast_format::{FormatError, unpacked as documents};
use outlast_types::Random;

use crate::outcome::{Outcome, scale};

/// Always the same nonce: what is sealed here hides nothing.
struct Fixed;

impl Random for Fixed {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(7);
    }
}

fn key() -> Key {
    Key::from_bytes(&[1; 64])
}

/// The longest text of a number of work that is spent on a key file here.
const KEY_WORK_MAX: u64 = 1 << 10;

/// The config's document.
pub fn config(input: &[u8]) -> Outcome {
    match Config::parse(input) {
        Err(error) => Outcome::refused(error),
        Ok(config) => {
            let written = config.serialize().expect("what was read can be written");
            assert_eq!(Config::parse(&written).as_ref(), Ok(&config));
            Outcome::accepted(config.version.number())
        }
    }
}

/// An index file's document.
pub fn index(input: &[u8]) -> Outcome {
    match IndexFile::parse(input) {
        Err(error) => Outcome::refused(error),
        Ok(file) => {
            let written = file.serialize().expect("what was read can be written");
            assert_eq!(IndexFile::parse(&written).as_ref(), Ok(&file));
            let blobs = file.packs.iter().map(|(_, entries)| entries.len()).sum();
            let notes = (file.notes.chunk_average.is_some(), file.notes.condemned.is_some());
            Outcome::accepted((scale(file.packs.len()), scale(blobs), notes))
        }
    }
}

/// A snapshot's document.
pub fn snapshot(input: &[u8]) -> Outcome {
    match Snapshot::parse(input) {
        Err(error) => Outcome::refused(error),
        Ok(snapshot) => {
            let written = snapshot.serialize().expect("what was read can be written");
            assert_eq!(Snapshot::parse(&written).as_ref(), Ok(&snapshot));
            Outcome::accepted((scale(snapshot.paths.len()), snapshot.summary.is_some()))
        }
    }
}

/// A tree's document: it survives byte for byte once we wrote it, because it is named by its hash.
pub fn tree(input: &[u8]) -> Outcome {
    match Tree::parse(input) {
        Err(error) => Outcome::refused(error),
        Ok(tree) => {
            let written = tree.serialize();
            let again = Tree::parse(&written).expect("what we write can be read");
            assert_eq!(format!("{:?}", again.nodes), format!("{:?}", tree.nodes));
            assert_eq!(again.serialize(), written);
            let kinds: Vec<_> = tree.nodes.iter().take(3).map(|node| node.kind.clone()).collect();
            Outcome::accepted((scale(tree.nodes.len()), kinds))
        }
    }
}

/// A key file, and opening it if that is cheap.
pub fn key_file(input: &[u8]) -> Outcome {
    let file = match KeyFile::parse(input) {
        Err(error) => return Outcome::refused(error),
        Ok(file) => file,
    };
    let written = serde_json::to_vec(&file).expect("what was read can be written");
    let again = KeyFile::parse(&written).expect("what we write can be read");
    assert_eq!(format!("{again:?}"), format!("{file:?}"));
    let cost: serde_json::Value = serde_json::from_slice(&written).expect("it is JSON");
    let work = ["N", "r", "p"]
        .iter()
        .try_fold(1_u64, |work, name| work.checked_mul(cost[*name].as_u64()?));
    if work.is_some_and(|work| work > KEY_WORK_MAX) {
        return Outcome::accepted("too dear to open here");
    }
    match KeyFile::open(input, "password") {
        Err(error) => Outcome::refused(error),
        Ok(_) => Outcome::accepted("opened"),
    }
}

/// The plaintext of a pack's header. The first four bytes of the input say how long the blobs
/// before it are; it is also read with the length that its entries add up to.
pub fn pack_header(input: &[u8]) -> Outcome {
    let Some((length, header)) = input.split_first_chunk::<4>() else {
        return Outcome::refused("too short");
    };
    let claimed = header_of(header, u32::from_le_bytes(*length).into());
    let fitting = header_of(header, listed_bytes(header));
    Outcome { feature: claimed.feature.rotate_left(1) ^ fitting.feature, ..fitting }
}

/// The sum of the lengths in a header, however little sense it makes.
fn listed_bytes(header: &[u8]) -> u64 {
    let (mut rest, mut sum) = (header, 0);
    while let Some((&kind, after)) = rest.split_first() {
        let entry = if kind & 2 == 0 { 36 } else { 40 };
        let Some(length) = after.first_chunk::<4>() else { break };
        sum += u64::from(u32::from_le_bytes(*length));
        rest = after.get(entry..).unwrap_or_default();
    }
    sum
}

fn header_of(header: &[u8], data_length: u64) -> Outcome {
    let entries = match packs::decode_header(header, data_length) {
        Err(error) => return Outcome::refused(error),
        Ok(entries) => entries,
    };
    let mut end = 0;
    for entry in &entries {
        assert_eq!(u64::from(entry.offset), end);
        assert!(entry.length as usize >= OVERHEAD);
        assert_ne!(entry.uncompressed_length, Some(0), "0 means not compressed");
        end += u64::from(entry.length);
    }
    assert_eq!(end, data_length);
    let written = packs::encode_header(&entries);
    assert_eq!(packs::decode_header(&written, data_length).as_ref(), Ok(&entries));
    Outcome::accepted(scale(entries.len()))
}

/// The longest blobs that are put before a header, in bytes.
const BLOBS_BYTES_MAX: u64 = 1 << 20;

/// A pack as it is stored; and the pack that the input is the header of, sealed as it should be.
pub fn pack(input: &[u8]) -> Outcome {
    drop(packs::read_header(input, &key()));
    if let Some(trailer) = input.last_chunk() {
        drop(packs::header_length(*trailer, input.len() as u64));
    }
    let blobs = listed_bytes(input).min(BLOBS_BYTES_MAX);
    let mut pack = vec![0; usize::try_from(blobs).expect("it is bounded")];
    key().seal_onto(input, &Fixed, &mut pack);
    let length = u32::try_from(input.len() + OVERHEAD).expect("inputs are short");
    pack.extend_from_slice(&length.to_le_bytes());
    let direct = packs::decode_header(input, blobs);
    match packs::read_header(&pack, &key()) {
        Ok(entries) => {
            assert_eq!(direct.as_ref(), Ok(&entries));
            Outcome::accepted(scale(entries.len()))
        }
        Err(error) => {
            assert!(direct.is_err() || input.len() < 37, "{error}");
            Outcome::refused(error)
        }
    }
}

/// A sealed object: nothing but what was sealed with the key opens with it.
pub fn sealed(input: &[u8]) -> Outcome {
    let sealed = key().seal(input, &Fixed);
    assert_eq!(key().open(&sealed).as_deref(), Ok(input));
    let mut damaged = sealed;
    let place = input.len() % damaged.len();
    damaged[place] ^= 0x10;
    assert_eq!(key().open(&damaged), Err(FormatError::Unauthentic));
    assert!(key().open(input).is_err(), "nobody guesses an authentication code");
    Outcome::accepted(scale(input.len()))
}

/// An unpacked object before its document is parsed; and the same bytes as a compressed blob.
pub fn unpacked(input: &[u8]) -> Outcome {
    let mut blob = b"before".to_vec();
    let mut decompressor = Decompressor::new().expect("there is memory for a decompressor");
    for length in [0, 1, input.len(), 4096, 64 << 10] {
        match decompressor.decompress_onto(input, length, &mut blob) {
            Ok(()) => assert_eq!(blob.len(), 6 + length),
            Err(_) => assert_eq!(blob, b"before"),
        }
        blob.truncate(6);
    }
    match documents::decode(input.to_vec()) {
        Err(error) => Outcome::refused(error),
        Ok(document) => {
            for version in [Version::V1, Version::V2] {
                // A bare document must look like one, or its first byte would be an encoding.
                let bare = matches!(document.first(), None | Some(b'{' | b'['));
                if version == Version::V2 || bare {
                    let written = documents::encode(&document, version).expect("it can be packed");
                    assert!(documents::decode(written).is_ok_and(|again| again == document));
                }
            }
            Outcome::accepted(scale(document.len()))
        }
    }
}

/// Bytes as text as Go sees them: each byte that is none is one replacement character.
fn as_go_reads(bytes: &[u8]) -> String {
    let chunks = bytes.utf8_chunks();
    chunks
        .map(|chunk| chunk.valid().to_owned() + &"\u{fffd}".repeat(chunk.invalid().len()))
        .collect()
}

/// Names as Go quotes them, and times as Go writes them.
pub fn go_text(input: &[u8]) -> Outcome {
    let quoted = go::quote(input);
    assert_eq!(go::unquote(&quoted).as_deref(), Some(input));
    let mut json = Vec::new();
    go::write_json_string(&mut json, input);
    let read: String = serde_json::from_slice(&json).expect("what we write is JSON");
    assert_eq!(read, as_go_reads(input));
    let Ok(text) = std::str::from_utf8(input) else { return Outcome::refused("not UTF-8") };
    if let Some(time) = GoTime::parse(text) {
        assert_eq!(GoTime::parse(&time.to_string()), Some(time), "{time}");
        return Outcome::accepted("a time");
    }
    match go::unquote(text) {
        None => Outcome::refused("not quoted"),
        Some(bytes) => {
            assert_eq!(go::unquote(&go::quote(&bytes)), Some(bytes));
            Outcome::accepted("a name")
        }
    }
}
