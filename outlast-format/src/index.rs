//! Index files: which blobs lie where in which pack.

use serde::{Deserialize, Serialize};

use crate::pack::{BlobType, PackEntry};
use crate::{BlobId, FormatError, IndexId, PackId};

const OBJECT: &str = "index";

/// One index file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IndexFile {
    /// Indexes that this one replaces and that may be gone.
    pub supersedes: Vec<IndexId>,
    pub packs: Vec<(PackId, Vec<PackEntry>)>,
}

impl IndexFile {
    /// Reads the JSON document of an index.
    pub fn parse(document: &[u8]) -> Result<Self, FormatError> {
        // Very old repositories have the bare list of packs.
        let packs;
        let mut supersedes = Vec::new();
        if document.first() == Some(&b'[') {
            packs = from_json(document)?;
        } else {
            let file: FileJson = from_json(document)?;
            packs = file.packs;
            supersedes = file.supersedes.unwrap_or_default();
        }
        let packs = packs
            .into_iter()
            .map(|pack: PackJson| {
                let entries = pack.blobs.into_iter().map(entry).collect::<Result<_, _>>()?;
                Ok((pack.id, entries))
            })
            .collect::<Result<_, FormatError>>()?;
        Ok(Self { supersedes, packs })
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
        };
        serde_json::to_vec(&file).map_err(|e| FormatError::json(OBJECT, &e))
    }
}

fn from_json<'a, T: Deserialize<'a>>(document: &'a [u8]) -> Result<T, FormatError> {
    serde_json::from_slice(document).map_err(|e| FormatError::json(OBJECT, &e))
}

#[derive(Serialize, Deserialize)]
struct FileJson {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    supersedes: Option<Vec<IndexId>>,
    packs: Vec<PackJson>,
}

#[derive(Serialize, Deserialize)]
struct PackJson {
    id: PackId,
    blobs: Vec<BlobJson>,
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
