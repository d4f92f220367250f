//! Packs as honest and as hostile makers make them.

use outlast_format::Sha256Id;
use outlast_format::compress::Compressor;
use outlast_format::pack;
use outlast_types::SystemRandom;

use super::*;

struct Memory(Vec<u8>);

impl PackBytes for Memory {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), StoreError> {
        let start = usize::try_from(offset).unwrap();
        buffer.copy_from_slice(&self.0[start..start + buffer.len()]);
        Ok(())
    }
}

fn key() -> Key {
    Key::from_bytes(&[5; 64])
}

/// A blob as it goes into a pack: the plaintext, whether it is compressed, and what is claimed.
struct Blob {
    kind: BlobType,
    plaintext: Vec<u8>,
    compressed: bool,
    id: Option<BlobId>,
    length: Option<u32>,
}

fn blob(plaintext: Vec<u8>, compressed: bool) -> Blob {
    Blob { kind: BlobType::Tree, plaintext, compressed, id: None, length: None }
}

fn pack_of(blobs: &[Blob]) -> Memory {
    let mut pack = Vec::new();
    let mut entries = Vec::new();
    for blob in blobs {
        let mut stored = Vec::new();
        if blob.compressed {
            Compressor::new(3).unwrap().compress_onto(&blob.plaintext, &mut stored).unwrap();
        } else {
            stored.clone_from(&blob.plaintext);
        }
        let offset = u32::try_from(pack.len()).unwrap();
        key().seal_onto(&stored, &SystemRandom, &mut pack);
        let claimed = blob.length.unwrap_or(u32::try_from(blob.plaintext.len()).unwrap());
        entries.push(PackEntry {
            kind: blob.kind,
            id: blob.id.unwrap_or_else(|| BlobId::of(&blob.plaintext)),
            offset,
            length: u32::try_from(pack.len()).unwrap() - offset,
            uncompressed_length: blob.compressed.then_some(claimed),
        });
    }
    pack::finish(&mut pack, &entries, &key(), &SystemRandom);
    Memory(pack)
}

fn prove(pack: &Memory) -> Result<Vec<PackEntry>, ProofError> {
    Prover::new().unwrap().prove(pack, Some(PackId::of(&pack.0)), &key())
}

fn long(length: usize) -> Vec<u8> {
    (0..length).map(|i| u8::try_from(i / 7 % 251).unwrap()).collect()
}

#[test]
fn what_was_packed_honestly_is_proved_whatever_its_length() {
    let lengths = [1, 16, 1000, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 5 * PIECE_BYTES / 2];
    let blobs: Vec<Blob> =
        lengths.iter().flat_map(|&n| [blob(long(n), false), blob(long(n), true)]).collect();
    let pack = pack_of(&blobs);
    let proved = prove(&pack).unwrap();
    assert_eq!(proved.len(), blobs.len());
    assert_eq!(header(&pack, &key()).unwrap(), proved);
}

#[test]
fn a_blob_that_is_not_what_it_is_called_is_found_in_any_disguise() {
    let honest = || blob(long(3000), true);
    let refused = |blob: Blob| {
        let error = prove(&pack_of(&[honest(), blob, honest()])).unwrap_err();
        assert!(!matches!(error, ProofError::Store(_)), "{error}");
    };
    for compressed in [false, true] {
        refused(Blob { id: Some(BlobId([9; 32])), ..blob(long(2000), compressed) });
        refused(Blob { id: Some(BlobId::of(b"")), ..blob(long(3 << 20), compressed) });
    }
    for length in [1, 1999, 2001, 2 << 30] {
        refused(Blob { length: Some(length), ..blob(long(2000), true) });
    }
    // Larger than any piece of content.
    let kind = BlobType::Data;
    refused(Blob { kind, ..blob(vec![0; DATA_BLOB_MAX as usize + 1], true) });
}

#[test]
fn a_changed_byte_is_found_wherever_it_is() {
    let honest = pack_of(&[blob(long(900), true), blob(long(300), false)]);
    for place in 0..honest.0.len() {
        let mut pack = Memory(honest.0.clone());
        pack.0[place] ^= 0x40;
        assert!(prove(&pack).is_err(), "byte {place}");
    }
    for length in 0..honest.0.len() {
        assert!(prove(&Memory(honest.0[..length].to_vec())).is_err(), "cut at {length}");
    }
    let error = Prover::new().unwrap().prove(&honest, Some(PackId([1; 32])), &key()).unwrap_err();
    assert!(matches!(error, ProofError::Name), "{error}");
}

#[test]
fn what_another_key_sealed_is_refused() {
    let pack = pack_of(&[blob(long(900), true)]);
    let other = Key::from_bytes(&[6; 64]);
    assert!(Prover::new().unwrap().prove(&pack, None, &other).is_err());
}
