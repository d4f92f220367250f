//! `sealed.json`: the commit of a drop.
//!
//! Pure: bytes in, values out. Whether the segments are as the seal says is for
//! [`reader`](crate::reader) to find out.

use outlast_types::{ContentHash, DropId, Sha256Hash, Timestamp, WorkloadName};
use serde::{Deserialize, Serialize};

use crate::hash::{Algorithm, Digest};
use crate::layout::{DropAddress, segment_name};
use crate::open::{Claims, Content, FORMAT_VERSION};
use crate::proof;
use crate::rejection::Rejection;
use crate::sealing::SealedTo;

/// A longer seal is refused unread.
pub const SEAL_BYTES_MAX: u64 = 16 << 20;
/// More segments are refused; with segments of 256 MiB that is 25 TB.
pub const SEGMENTS_MAX: usize = 100_000;
/// A segment that decompresses to more is refused: no segment of ours does, and a bomb would.
pub const SEGMENT_RAW_MAX: u64 = 64 << 30;

/// The kind of drops that is reserved for write-ahead logs and binlogs.
const RESERVED_KIND: &str = "log";

/// How segments are compressed, each for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// One or more zstd frames.
    Zstd,
}

/// One segment of a drop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The file name: `0001.seg` and so on, without gaps.
    pub name: String,
    /// Bytes on the share.
    pub size: u64,
    /// Bytes of content; the same as `size` without compression.
    pub raw_size: u64,
    /// The hash of the bytes on the share.
    pub digest: Digest,
}

/// The content of `sealed.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    pub drop: DropId,
    pub workload: WorkloadName,
    pub content: Content,
    pub claims: Claims,
    /// When the writer sealed, by its own clock: a claim.
    pub sealed: Option<Timestamp>,
    pub compression: Option<Compression>,
    /// The only reader who can open the content, if it is encrypted: behind the compression.
    pub sealed_to: Option<SealedTo>,
    pub segments: Vec<Segment>,
}

/// The part of a seal that is kept once it was read: enough to decide what becomes of its drop, and small
/// whatever the number of segments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealSummary {
    /// The BLAKE3 of the whole file: names this seal, and so its content, and no other.
    pub digest: ContentHash,
    /// The instance that wrote the drop, as it says itself.
    pub instance: Option<String>,
    /// And of which release.
    pub release: Option<String>,
    /// Bytes of all segments on the share.
    pub stored_bytes: u64,
    /// Bytes of content.
    pub raw_bytes: u64,
    /// Whether it is one of before, brought back from a backup product.
    pub is_brought_back: bool,
}

#[derive(Serialize, Deserialize)]
struct SealJson {
    version: u64,
    drop: DropId,
    workload: WorkloadName,
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default)]
    claims: Claims,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sealed: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    compression: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sealed_to: Option<SealedToJson>,
    size: u64,
    segments: Vec<SegmentJson>,
}

/// With it, `compression` is `"sealed"`: a reader that knows nothing of sealing must not take what it
/// finds for the content.
#[derive(Serialize, Deserialize)]
struct SealedToJson {
    #[serde(flatten)]
    to: SealedTo,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    compression: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct SegmentJson {
    name: String,
    size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    raw_size: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    blake3: Option<ContentHash>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha256: Option<Sha256Hash>,
}

/// Only the version is read first, so that a seal from the future is refused for that reason
/// and not for some member that means something else there.
#[derive(Deserialize)]
struct VersionJson {
    version: u64,
}

impl Seal {
    /// Bytes of all segments on the share.
    pub fn stored_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.size).sum()
    }

    /// Bytes of content.
    pub fn raw_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.raw_size).sum()
    }

    /// The digest of a seal's file, which receipts and bills of lading name it by.
    pub fn digest_of(bytes: &[u8]) -> ContentHash {
        ContentHash(*blake3::hash(bytes).as_bytes())
    }

    /// The part of the seal that is kept once it is judged; `digest` is that of its file.
    pub fn summary(&self, digest: ContentHash) -> SealSummary {
        SealSummary {
            digest,
            instance: self.claims.instance.clone(),
            release: self.claims.release.clone(),
            stored_bytes: self.stored_bytes(),
            raw_bytes: self.raw_bytes(),
            is_brought_back: self.claims.brought_back.is_some(),
        }
    }

    /// Reads and verifies the bytes of a seal.
    pub fn parse(bytes: &[u8]) -> Result<Self, Rejection> {
        if bytes.len() as u64 > SEAL_BYTES_MAX {
            return Err(Rejection::SealTooLong { max: SEAL_BYTES_MAX });
        }
        let proven = proof::split(bytes, "self").ok_or(Rejection::TornSeal)?;
        let claimed: Digest =
            proven.proof.parse().map_err(|error| malformed(&format_args!("\"self\": {error}")))?;
        let found = Digest::of(claimed.algorithm(), proven.body);
        if found != claimed {
            return Err(Rejection::WrongSelfHash { found });
        }
        let VersionJson { version } =
            serde_json::from_slice(bytes).map_err(|error| malformed(&error))?;
        if version != FORMAT_VERSION {
            return Err(Rejection::UnknownVersion { version, supported: FORMAT_VERSION });
        }
        let json: SealJson = serde_json::from_slice(bytes).map_err(|error| malformed(&error))?;
        Self::from_json(json)
    }

    fn from_json(json: SealJson) -> Result<Self, Rejection> {
        if json.kind == RESERVED_KIND {
            return Err(Rejection::ReservedKind { kind: json.kind });
        }
        let content = Content::from_words(&json.kind, json.name.as_deref())
            .map_err(|reason| malformed(&reason))?;
        let (compression, sealed_to) = match (json.compression.as_deref(), json.sealed_to) {
            (Some("sealed"), Some(sealed)) if sealed.to.is_bounded() => {
                (compression(sealed.compression.as_deref())?, Some(sealed.to))
            }
            (Some("sealed"), _) | (_, Some(_)) => {
                return Err(malformed(&"\"sealed_to\" and \"compression\" do not go together"));
            }
            (outer, None) => (compression(outer)?, None),
        };
        let has_raw_sizes = compression.is_some() || sealed_to.is_some();
        if json.segments.len() > SEGMENTS_MAX {
            return Err(malformed(&format_args!("it has more than {SEGMENTS_MAX} segments")));
        }
        let segments: Vec<Segment> = json
            .segments
            .into_iter()
            .enumerate()
            .map(|(index, segment)| segment.check(index, has_raw_sizes))
            .collect::<Result<_, _>>()?;
        let total = segments.iter().try_fold(0_u64, |sum, segment| sum.checked_add(segment.size));
        if total != Some(json.size) {
            return Err(malformed(&"\"size\" is not the sum of the segments"));
        }
        Ok(Self {
            drop: json.drop,
            workload: json.workload,
            content,
            claims: json.claims.bounded(),
            sealed: json.sealed,
            compression,
            sealed_to,
            segments,
        })
    }

    /// The bytes of the file.
    pub fn to_bytes(&self) -> serde_json::Result<Vec<u8>> {
        let (kind, name) = self.content.to_words();
        let compressed = self.compression.map(|Compression::Zstd| "zstd".to_owned());
        let (compression, sealed_to) = match self.sealed_to.clone() {
            None => (compressed, None),
            Some(to) => {
                (Some("sealed".to_owned()), Some(SealedToJson { to, compression: compressed }))
            }
        };
        let has_raw_sizes = compression.is_some();
        let json = SealJson {
            version: FORMAT_VERSION,
            drop: self.drop,
            workload: self.workload.clone(),
            kind: kind.to_owned(),
            name: name.map(str::to_owned),
            claims: self.claims.clone(),
            sealed: self.sealed,
            compression,
            sealed_to,
            size: self.stored_bytes(),
            segments: self.segments.iter().map(|s| s.to_json(has_raw_sizes)).collect(),
        };
        let mut body = serde_json::to_vec(&json)?;
        // The brace comes back behind the proof.
        body.pop();
        let digest = Digest::of(Algorithm::Blake3, &body);
        Ok(proof::join(body, "self", &digest.to_string()))
    }

    /// Whether the seal belongs to the directory that it was found in.
    pub fn check_place(&self, address: &DropAddress) -> Result<(), Rejection> {
        let wrong = |what, claimed: String, actual: String| {
            Err(Rejection::WrongPlace { what, claimed, actual })
        };
        if self.drop != address.drop {
            return wrong("drop", self.drop.to_string(), address.drop.to_string());
        }
        if self.workload != address.workload {
            return wrong("workload", self.workload.to_string(), address.workload.to_string());
        }
        Ok(())
    }
}

impl SegmentJson {
    fn check(self, index: usize, has_raw_sizes: bool) -> Result<Segment, Rejection> {
        if self.name != segment_name(index) {
            let shown: String = self.name.chars().take(80).collect();
            let expected = segment_name(index);
            return Err(malformed(&format_args!(
                "segment {shown:?} comes where {expected} must be"
            )));
        }
        let name = self.name;
        let digest = match (self.blake3, self.sha256) {
            (Some(hash), None) => Digest::Blake3(hash),
            (None, Some(hash)) => Digest::Sha256(hash),
            _ => {
                let reason =
                    format_args!("{name} has not exactly one of \"blake3\" and \"sha256\"");
                return Err(malformed(&reason));
            }
        };
        let raw_size = match (has_raw_sizes, self.raw_size) {
            (true, Some(raw_size)) if raw_size <= SEGMENT_RAW_MAX => raw_size,
            (true, Some(_)) => {
                let reason = format_args!("{name} has a \"raw_size\" above {SEGMENT_RAW_MAX}");
                return Err(malformed(&reason));
            }
            (true, None) => {
                return Err(malformed(&format_args!(
                    "{name} is compressed, but has no \"raw_size\""
                )));
            }
            (false, raw_size) if raw_size.is_none_or(|raw_size| raw_size == self.size) => self.size,
            (false, _) => {
                let reason = format_args!("{name} is not compressed, but \"raw_size\" differs");
                return Err(malformed(&reason));
            }
        };
        Ok(Segment { name, size: self.size, raw_size, digest })
    }
}

impl Segment {
    fn to_json(&self, has_raw_sizes: bool) -> SegmentJson {
        let (blake3, sha256) = match self.digest {
            Digest::Blake3(hash) => (Some(hash), None),
            Digest::Sha256(hash) => (None, Some(hash)),
        };
        let raw_size = has_raw_sizes.then_some(self.raw_size);
        SegmentJson { name: self.name.clone(), size: self.size, raw_size, blake3, sha256 }
    }
}

fn compression(word: Option<&str>) -> Result<Option<Compression>, Rejection> {
    match word {
        None => Ok(None),
        Some("zstd") => Ok(Some(Compression::Zstd)),
        Some(_) => Err(malformed(&"\"compression\" is not \"zstd\"")),
    }
}

fn malformed(reason: &dyn std::fmt::Display) -> Rejection {
    // Parts of the seal may be echoed in it; receipts and logs need no more than the beginning.
    Rejection::MalformedSeal { reason: reason.to_string().chars().take(300).collect() }
}

#[cfg(test)]
mod tests;
