//! The manifest of one drop: what lies beside it, file by file, and whence it came. It is the truth about the drop,
//! wherever the product puts it.

use std::path::Path;

use outlast_drop::hash::{Algorithm, Digest};
use outlast_drop::{Content, DropAddress, Seal, proof};
use outlast_fs::durable;
use outlast_types::{ContentHash, Day, DropId, ShareId, Timestamp, WorkloadName};
use serde::{Deserialize, Serialize};

use crate::error::HandoverError;
use crate::evidence::FileFact;
use crate::offer::DropKey;
use crate::rules::Layout;

/// The name of the manifest in a drop's directory.
pub const MANIFEST_FILE: &str = "outlast-drop.json";
/// The directory of a tree's files.
pub const TREE: &str = "tree";
const VERSION: u64 = 2;
/// What programs of before read, too.
const VERSION_OF_OTHERS: u64 = 1;
/// A longer manifest is none of ours: a million files have about 300 MB.
const MANIFEST_BYTES_MAX: u64 = 1 << 30;

/// How an entry of a tree was, where the directory shows it otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Original {
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Seconds since 1970 and nanoseconds.
    pub modified: (i64, u32),
}

/// A file of a drop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// From the drop's directory on.
    pub path: String,
    pub size: u64,
    /// Hex digits, as `sha256sum` prints them.
    pub sha256: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<Original>,
}

/// A directory or link of a tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherEntry {
    pub path: String,
    /// Where a symbolic link points to; a directory has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    pub original: Original,
}

/// What the content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContentKind {
    Stream,
    Tree,
}

/// The manifest of one drop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub version: u64,
    pub handover: String,
    pub share: ShareId,
    pub workload: WorkloadName,
    pub day: Day,
    pub drop: DropId,
    pub seal: ContentHash,
    pub layout: Layout,
    pub kind: ContentKind,
    /// What a stream is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Bytes of content.
    pub size: u64,
    /// How segments are compressed, in the layout `drop`; or the file, in the layout `plain`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<String>,
    /// How its files are encrypted: `age`, or not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<String>,
    /// When its writer sealed it, as that says itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<Timestamp>,
    /// What its writer says of itself.
    #[serde(default)]
    pub claims: serde_json::Value,
    pub files: Vec<FileEntry>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<OtherEntry>,
}

impl Manifest {
    /// Of a drop with this seal, without files yet.
    pub fn of(
        handover: &str,
        share: ShareId,
        address: &DropAddress,
        seal: &Seal,
        digest: ContentHash,
        layout: Layout,
    ) -> Self {
        let (kind, name) = match &seal.content {
            Content::Stream { name } => (ContentKind::Stream, Some(name.clone())),
            Content::Tree => (ContentKind::Tree, None),
        };
        let is_packed = layout == Layout::Drop && seal.compression.is_some();
        Self {
            version: VERSION_OF_OTHERS,
            handover: handover.to_owned(),
            share,
            workload: address.workload.clone(),
            day: address.day,
            drop: address.drop,
            seal: digest,
            layout,
            kind,
            name,
            size: seal.raw_bytes(),
            compression: is_packed.then(|| "zstd".to_owned()),
            encryption: None,
            sealed: seal.sealed,
            claims: serde_json::to_value(&seal.claims).unwrap_or_default(),
            files: Vec::new(),
            others: Vec::new(),
        }
    }

    /// Its content stays compressed: a program that does not know that must not take it for what was dropped.
    pub(crate) fn packed(&mut self) {
        (self.version, self.compression) = (VERSION, Some("zstd".to_owned()));
    }

    pub fn key(&self) -> DropKey {
        DropKey { workload: self.workload.clone(), drop: self.drop }
    }

    pub fn address(&self) -> DropAddress {
        DropAddress { workload: self.workload.clone(), day: self.day, drop: self.drop }
    }

    /// The file: an object that ends in a hash of itself.
    pub fn to_bytes(&self) -> serde_json::Result<Vec<u8>> {
        let mut body = serde_json::to_vec(self)?;
        body.pop();
        let digest = Digest::of(Algorithm::Blake3, &body).to_string();
        Ok(proof::join(body, "self", &digest))
    }

    /// Reads the manifest in a drop's directory.
    pub fn read(directory: &Path) -> Result<Self, HandoverError> {
        let path = directory.join(MANIFEST_FILE);
        let read = durable::read_bounded(&path, MANIFEST_BYTES_MAX);
        let bytes = read.map_err(HandoverError::io("read", &path))?;
        Self::parse(&bytes).map_err(|reason| HandoverError::Form { path, reason })
    }

    /// Reads a manifest; why it is none.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let proven = proof::split(bytes, "self").ok_or("it is cut off")?;
        let digest: Digest = proven.proof.parse().map_err(|_| "it does not end in its hash")?;
        if Digest::of(digest.algorithm(), proven.body) != digest {
            return Err("it was changed: its hash is another".to_owned());
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if manifest.version > VERSION {
            return Err(format!(
                "it was written by a newer program (version {})",
                manifest.version
            ));
        }
        let paths = manifest
            .files
            .iter()
            .map(|it| &it.path)
            .chain(manifest.others.iter().map(|it| &it.path));
        let bad = paths.into_iter().find(|path| !is_inside(path));
        bad.map_or(Ok(()), |path| Err(format!("{path:?} leads out of it")))?;
        Ok(manifest)
    }

    /// All files with their size and time, as a product sees them below `path`, the manifest itself last.
    pub fn facts(&self, path: &str, stamp: Timestamp, own_size: u64) -> Vec<FileFact> {
        let modified = stamp.unix_seconds();
        let fact = |name: &str, size| FileFact { path: format!("{path}/{name}"), size, modified };
        let files = self.files.iter().map(|file| fact(&file.path, file.size));
        files.chain([fact(MANIFEST_FILE, own_size)]).collect()
    }
}

/// Whether a path stays below the directory from which it starts.
fn is_inside(path: &str) -> bool {
    !path.is_empty() && path.split('/').all(|name| !matches!(name, "" | "." | ".."))
}

/// Whether a name can be that of a file that goes to tape.
pub fn is_portable(name: &str) -> bool {
    name.len() <= 255 && !name.chars().any(|c| c.is_control() || c == ':')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn manifest(path: &str) -> Manifest {
        Manifest {
            version: VERSION,
            handover: "nbu".to_owned(),
            share: "6f1c1d6e-8f0a-4c6b-9d53-0d6f1a0f7b11".parse().unwrap(),
            workload: WorkloadName::new("shop").unwrap(),
            day: Timestamp::EPOCH.day(),
            drop: "01a2066b-8649-78cb-a8bc-a5af0e952507".parse().unwrap(),
            seal: ContentHash([7; 32]),
            layout: Layout::Plain,
            kind: ContentKind::Stream,
            name: Some("shop.sql".to_owned()),
            size: 5,
            compression: None,
            encryption: None,
            sealed: None,
            claims: serde_json::Value::Null,
            files: vec![FileEntry {
                path: path.to_owned(),
                size: 5,
                sha256: "00".repeat(32),
                original: None,
            }],
            others: Vec::new(),
        }
    }

    #[test]
    fn a_manifest_that_is_cut_off_newer_or_leads_out_of_its_drop_is_none() {
        let good = manifest("tree/a b");
        let bytes = good.to_bytes().unwrap();
        assert_eq!(Manifest::parse(&bytes), Ok(good.clone()));
        for length in 0..bytes.len() {
            assert!(Manifest::parse(&bytes[..length]).is_err(), "{length}");
        }
        for path in ["../a", "/etc/passwd", "a/../../b", "", "a//b", "."] {
            let bytes = manifest(path).to_bytes().unwrap();
            assert!(Manifest::parse(&bytes).unwrap_err().contains("leads out"), "{path}");
        }
        let newer = Manifest { version: VERSION + 1, ..good };
        let refused = Manifest::parse(&newer.to_bytes().unwrap()).unwrap_err();
        assert!(refused.contains("newer"), "{refused}");
    }

    proptest! {
        #[test]
        fn a_manifest_of_which_a_byte_was_changed_is_refused(at in 0_usize..200, byte in any::<u8>()) {
            let mut bytes = manifest("a").to_bytes().unwrap();
            let is_same = bytes[at] == byte;
            bytes[at] = byte;
            prop_assert_eq!(Manifest::parse(&bytes).is_ok(), is_same);
        }

        #[test]
        fn garbage_is_no_manifest(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(Manifest::parse(&bytes).is_err());
        }
    }
}
