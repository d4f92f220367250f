//! Index files: which blobs lie where in which pack.

use outlast_types::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};

use crate::pack::{BlobType, PackEntry};
use crate::{BlobId, FormatError, IndexId, PackId};

const OBJECT: &str = "index";

/// One index file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IndexFile {
    /// Indexes that this one replaces and that may be gone.
    pub supersedes: Vec<IndexId>,
    pub packs: Vec<(PackId, Vec<PackEntry>)>,
    pub notes: Notes,
}

/// Outlast's own notes in an index file, besides the list of packs: an index is what everybody
/// who writes to a repository reads first. It is the member `outlast` of the document. Stock restic
/// ignores it, and drops it when it writes the indexes anew.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Notes {
    /// The average length of chunks, in bytes, with which the writer cut content: the next one
    /// must cut alike.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunk_average: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condemned: Option<Condemned>,
}

/// Packs that nobody needed when somebody looked, and that are to be removed when a time of grace
/// is over and still nobody needs them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condemned {
    /// When they were looked at, by the clock of whoever did.
    pub since: Timestamp,
    /// Whether they are being removed right now.
    pub sweeping: bool,
    pub packs: Vec<PackId>,
    /// The index files that were there at that time. One that is not among them is younger, and
    /// what it lists is needed again.
    pub indexes: Vec<IndexId>,
}

impl IndexFile {
    /// Reads the JSON document of an index.
    pub fn parse(document: &[u8]) -> Result<Self, FormatError> {
        // Very old repositories have the bare list of packs.
        let packs;
        let mut supersedes = Vec::new();
        let mut notes = Notes::default();
        if document.first() == Some(&b'[') {
            packs = from_json(document)?;
        } else {
            let file: FileJson = from_json(document)?;
            packs = file.packs;
            supersedes = file.supersedes.unwrap_or_default();
            notes = file.outlast.unwrap_or_default();
        }
        let packs = packs
            .into_iter()
            .map(|pack: PackJson| {
                let entries = pack.blobs.into_iter().map(entry).collect::<Result<_, _>>()?;
                Ok((pack.id, entries))
            })
            .collect::<Result<_, FormatError>>()?;
        Ok(Self { supersedes, packs, notes })
    }

    /// The JSON document, as stock restic writes it.
    pub fn serialize(&self) -> Result<Vec<u8>, FormatError> {
        let file = FileJson {
            supersedes: (!self.supersedes.is_empty()).then(|| self.supersedes.clone()),
            packs: self
                .packs
                .iter()
                .map(|(id, entries)| PackJson {
                    id: *id,
                    blobs: entries.iter().map(blob_json).collect(),
                })
                .collect(),
            outlast: (self.notes != Notes::default()).then(|| self.notes.clone()),
        };
        let mut document = serde_json::to_vec(&file).map_err(|e| FormatError::json(OBJECT, &e))?;
        // Go's encoder ends every document with a line feed.
        document.push(b'\n');
        Ok(document)
    }
}

fn from_json<'a, T: Deserialize<'a>>(document: &'a [u8]) -> Result<T, FormatError> {
    serde_json::from_slice(document).map_err(|e| FormatError::json(OBJECT, &e))
}

#[derive(Serialize, Deserialize)]
struct FileJson {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    supersedes: Option<Vec<IndexId>>,
    #[serde(deserialize_with = "null_as_empty")]
    packs: Vec<PackJson>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    outlast: Option<Notes>,
}

#[derive(Serialize, Deserialize)]
struct PackJson {
    id: PackId,
    #[serde(deserialize_with = "null_as_empty")]
    blobs: Vec<BlobJson>,
}

/// Go writes an empty list as `null` when it was never made.
fn null_as_empty<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[derive(Serialize, Deserialize)]
struct BlobJson {
    id: BlobId,
    #[serde(rename = "type")]
    kind: KindJson,
    offset: u32,
    length: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    uncompressed_length: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum KindJson {
    Data,
    Tree,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(value: &u32) -> bool {
    *value == 0
}

fn entry(blob: BlobJson) -> Result<PackEntry, FormatError> {
    if blob.offset.checked_add(blob.length).is_none() {
        return Err(FormatError::Invalid { object: OBJECT, reason: "a blob lies beyond 4 GiB" });
    }
    Ok(PackEntry {
        kind: match blob.kind {
            KindJson::Data => BlobType::Data,
            KindJson::Tree => BlobType::Tree,
        },
        id: blob.id,
        offset: blob.offset,
        length: blob.length,
        uncompressed_length: (blob.uncompressed_length > 0).then_some(blob.uncompressed_length),
    })
}

fn blob_json(entry: &PackEntry) -> BlobJson {
    BlobJson {
        id: entry.id,
        kind: match entry.kind {
            BlobType::Data => KindJson::Data,
            BlobType::Tree => KindJson::Tree,
        },
        offset: entry.offset,
        length: entry.length,
        uncompressed_length: entry.uncompressed_length.unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_survives_its_document() {
        let entry = |kind, offset, uncompressed_length| PackEntry {
            kind,
            id: BlobId([7; 32]),
            offset,
            length: 40,
            uncompressed_length,
        };
        let packs = vec![
            (
                PackId([1; 32]),
                vec![entry(BlobType::Data, 0, None), entry(BlobType::Data, 40, Some(9))],
            ),
            (PackId([2; 32]), vec![entry(BlobType::Tree, u32::MAX - 40, None)]),
        ];
        let condemned = Condemned {
            since: Timestamp::EPOCH,
            sweeping: true,
            packs: vec![PackId([4; 32])],
            indexes: vec![IndexId([5; 32])],
        };
        let notes = [
            Notes::default(),
            Notes { chunk_average: Some(65536), condemned: None },
            Notes { chunk_average: None, condemned: Some(condemned) },
        ];
        for supersedes in [Vec::new(), vec![IndexId([3; 32])]] {
            for notes in notes.clone() {
                let index =
                    IndexFile { supersedes: supersedes.clone(), packs: packs.clone(), notes };
                assert_eq!(IndexFile::parse(&index.serialize().unwrap()), Ok(index));
            }
        }
    }

    #[test]
    fn old_and_empty_forms_are_read() {
        let empty = Ok(IndexFile::default());
        assert_eq!(IndexFile::parse(br#"{"supersedes":null,"packs":null}"#), empty);
        assert_eq!(IndexFile::parse(b"[]"), empty);
        assert!(IndexFile::parse(b"{}").is_err());
    }

    #[test]
    fn a_blob_beyond_any_pack_is_refused() {
        let id = "00".repeat(32);
        let blob = |field: &str| {
            let text = format!(
                r#"{{"packs":[{{"id":"{id}","blobs":[{{"id":"{id}","type":"data",{field}}}]}}]}}"#
            );
            IndexFile::parse(text.as_bytes())
        };
        assert!(blob(r#""offset":0,"length":40"#).is_ok());
        assert!(blob(r#""offset":4294967295,"length":40"#).is_err());
        assert!(blob(r#""offset":-1,"length":40"#).is_err());
        assert!(blob(r#""offset":0,"length":4294967296"#).is_err());
    }
}
