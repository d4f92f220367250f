//! SHA-256, and the ids that are made with it.

use outlast_types::{BlobId, IndexId, KeyId, LockId, PackId, SnapshotId};
use ring::digest;

/// The SHA-256 hash of `bytes`.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    octets(&digest::digest(&digest::SHA256, bytes))
}

/// The SHA-256 hash of content that comes piece by piece.
#[derive(Clone)]
pub struct Sha256(digest::Context);

impl Sha256 {
    /// Of nothing yet.
    pub fn new() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }

    /// Takes the next piece.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash of all pieces.
    pub fn finish(self) -> [u8; 32] {
        octets(&self.0.finish())
    }
}

impl Default for Sha256 {
    fn default() -> Self {
        Self::new()
    }
}

fn octets(digest: &digest::Digest) -> [u8; 32] {
    let mut octets = [0; 32];
    octets.copy_from_slice(digest.as_ref());
    octets
}

/// An id that is the SHA-256 of what it names.
pub trait Sha256Id: From<[u8; 32]> {
    /// The id of an object with these bytes.
    fn of(bytes: &[u8]) -> Self {
        sha256(bytes).into()
    }
}

impl Sha256Id for BlobId {}
impl Sha256Id for PackId {}
impl Sha256Id for IndexId {}
impl Sha256Id for SnapshotId {}
impl Sha256Id for KeyId {}
impl Sha256Id for LockId {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_its_text() {
        let id = PackId::of(b"content");
        assert_eq!(id.to_string().parse(), Ok(id));
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(serde_json::from_str::<PackId>(&json).unwrap(), id);
        let upper = json.to_uppercase();
        assert_eq!(serde_json::from_str::<PackId>(&upper).unwrap(), id, "as Go reads it");
        assert_eq!(
            BlobId::of(b"abc").to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for bad in ["", "ab", &"g".repeat(64), &"a".repeat(65), &"é".repeat(32)] {
            assert!(bad.parse::<PackId>().is_err(), "{bad}");
            assert!(serde_json::from_value::<PackId>(bad.into()).is_err(), "{bad}");
        }
    }
}
