//! Indexes: what they say of packs is what the packs say of themselves, and nothing else.

use outlast_format::index::IndexFile;
use outlast_format::pack::PackEntry;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Admission, INDEX_DOCUMENT_MAX, Place, damaged};
use crate::core::error::VaultError;

/// An index as stock restic and we write it. Nothing unknown is taken: other programs compare names
/// of members in other ways than we do (Go's JSON ignores case), and what they read must not differ
/// from what was judged.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Shape {
    #[serde(rename = "supersedes")]
    _supersedes: Option<IgnoredAny>,
    #[serde(rename = "packs")]
    _packs: Option<Vec<PackShape>>,
    /// Ours alone, so newer programs may add to it.
    #[serde(rename = "outlast")]
    _outlast: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PackShape {
    #[serde(rename = "id")]
    _id: IgnoredAny,
    #[serde(rename = "blobs")]
    _blobs: Option<Vec<BlobShape>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BlobShape {
    #[serde(rename = "id")]
    _id: IgnoredAny,
    #[serde(rename = "type")]
    _kind: IgnoredAny,
    #[serde(rename = "offset")]
    _offset: IgnoredAny,
    #[serde(rename = "length")]
    _length: IgnoredAny,
    #[serde(rename = "uncompressed_length")]
    _uncompressed_length: Option<IgnoredAny>,
}

impl Admission {
    /// Judges an index as it was sent.
    pub(crate) fn judge_index(&self, place: &Place<'_>, sealed: &[u8]) -> Result<(), VaultError> {
        let _permit = self.document()?;
        let file = read(&place.open(sealed, INDEX_DOCUMENT_MAX)?)?;
        let packs = file.packs.iter().map(|(pack, _)| *pack);
        let mut proved = self.look_up(place, packs)?;
        for (pack, mut listed) in file.packs {
            let mut entries = self.entries(place, pack, &mut proved)?;
            listed.sort_unstable_by_key(order);
            entries.sort_unstable_by_key(order);
            if listed != entries {
                return Err(VaultError::Unacceptable {
                    reason: format!("what it says of data/{pack} is not what lies there"),
                    hint: "its sender made it wrong: ask who has that host's identity",
                });
            }
        }
        Ok(())
    }
}

fn order(entry: &PackEntry) -> (u32, u32) {
    (entry.offset, entry.length)
}

/// What an index lists, if it does nothing but list.
fn read(document: &[u8]) -> Result<IndexFile, VaultError> {
    let strange = |error: serde_json::Error| VaultError::Unacceptable {
        reason: format!("it is not written as indexes are: {error}"),
        hint: "only members that restic's design document names are taken",
    };
    let _shape: Shape = serde_json::from_slice(document).map_err(strange)?;
    let file = IndexFile::parse(document).map_err(damaged)?;
    let what = if file.notes.condemned.is_some() {
        "condemns packs"
    } else if !file.supersedes.is_empty() {
        "takes the place of others"
    } else {
        return Ok(file);
    };
    Err(VaultError::Unacceptable {
        reason: format!("it {what}; only the vault itself removes anything"),
        hint: "prune on the vault's own host, in the repository's directory",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_that_others_would_read_in_another_way_is_not_taken() {
        let id = "00".repeat(32);
        let blob = format!(r#"{{"id":"{id}","type":"data","offset":0,"length":40}}"#);
        let pack = format!(r#"{{"id":"{id}","blobs":[{blob}]}}"#);
        let good = format!(r#"{{"packs":[{pack}],"outlast":{{"chunk_average":65536,"new":1}}}}"#);
        assert_eq!(read(good.as_bytes()).unwrap().packs.len(), 1);
        read(br#"{"packs":null,"supersedes":[]}"#).unwrap();
        for bad in [
            good.replace("\"packs\"", "\"Packs\":[],\"packs\""),
            good.replace("\"packs\"", "\"packs\":[],\"packs\""),
            good.replace("\"packs\"", "\"pack\u{17f}\":[],\"packs\""),
            good.replace("\"blobs\"", "\"BLOBS\":[],\"blobs\""),
            good.replace("\"offset\"", "\"Offset\":7,\"offset\""),
            good.replace("\"length\"", "\"uncompressed_Length\":7,\"length\""),
            good.replace("\"packs\"", &format!("\"supersedes\":[\"{id}\"],\"packs\"")),
            good.replace(
                "\"new\":1",
                r#""condemned":{"since":"2020-01-01T00:00:00Z","sweeping":false,"packs":[],"indexes":[]}"#,
            ),
            format!("[{pack}]"),
            "{}".to_owned(),
            String::new(),
        ] {
            let refusal = read(bad.as_bytes()).unwrap_err();
            assert!(matches!(refusal, VaultError::Unacceptable { .. }), "{bad}: {refusal}");
        }
    }
}
