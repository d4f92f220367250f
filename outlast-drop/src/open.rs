//! `open.json`: what a writer says when it begins.

use std::io;

use outlast_types::{DropId, ShareId, Timestamp, WorkloadName};
use serde::{Deserialize, Serialize};

use crate::files::Directory;
use crate::layout::OPEN_FILE;

/// The version of `open.json`, `sealed.json` and receipts that this crate writes.
pub const FORMAT_VERSION: u64 = 1;

/// `open.json` is small; more is not read.
const OPEN_BYTES_MAX: u64 = 64 << 10;
const STREAM_NAME_MAX: usize = 255;
/// The most characters that are kept of each claim. A host's name has at most 255 characters, and so has all else that
/// one program or person calls another.
const CLAIM_CHARS_MAX: usize = 255;

/// The content of a drop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// One stream, such as a database dump, with the file name that it has when it is read back.
    Stream { name: String },
    /// A file tree, as tar.
    Tree,
}

/// Why a text cannot name a stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{name:?} cannot name a stream: it must be one plain file name of 1 to 255 bytes without '/' or control characters"
)]
pub struct InvalidStreamName {
    name: String,
}

impl Content {
    /// A stream called `name`, if that is one plain file name.
    pub fn stream(name: &str) -> Result<Self, InvalidStreamName> {
        let plain = !name.is_empty()
            && name.len() <= STREAM_NAME_MAX
            && name != "."
            && name != ".."
            && !name.chars().any(|c| c == '/' || c.is_control());
        if plain {
            Ok(Self::Stream { name: name.to_owned() })
        } else {
            Err(InvalidStreamName { name: name.chars().take(80).collect() })
        }
    }

    /// The words `kind` and `name` of the files on the share.
    pub(crate) fn to_words(&self) -> (&'static str, Option<&str>) {
        match self {
            Self::Stream { name } => ("stream", Some(name)),
            Self::Tree => ("tree", None),
        }
    }

    pub(crate) fn from_words(kind: &str, name: Option<&str>) -> Result<Self, String> {
        match (kind, name) {
            ("stream", Some(name)) => Self::stream(name).map_err(|error| error.to_string()),
            ("stream", None) => Err("a stream has no \"name\"".to_owned()),
            ("tree", None) => Ok(Self::Tree),
            ("tree", Some(_)) => Err("a tree has a \"name\"".to_owned()),
            _ => Err("\"kind\" is neither \"stream\" nor \"tree\"".to_owned()),
        }
    }
}

/// The words of a writer about itself. Recorded, shown, never believed (I4).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Claims {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub color: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The instance's last drop before it goes.
    #[serde(default, rename = "final")]
    pub is_final: bool,
    /// When the writer began, by its own clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// The things that the writer could not read, in a seal. Without it, the drop is whole as far as its
    /// writer knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gaps: Option<Gaps>,
}

/// The gaps in a drop that was sealed all the same, because the rest is worth having.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Gaps {
    pub count: u64,
    /// The first of them, in words.
    #[serde(default)]
    pub first: Vec<String>,
}

/// Gaps that a seal names.
const GAPS_NAMED_MAX: usize = 10;

impl Gaps {
    /// `count` gaps, of which `problems` tell the first ones; `None` if there are none.
    pub fn of(count: u64, problems: &[String]) -> Option<Self> {
        let short = |problem: &String| problem.chars().take(CLAIM_CHARS_MAX).collect();
        let first = problems.iter().take(GAPS_NAMED_MAX).map(short).collect();
        (count > 0).then_some(Self { count, first })
    }
}

impl Claims {
    /// The claims as they are kept: a writer may say what it likes, but not fill our memory with it.
    #[must_use]
    pub fn bounded(self) -> Self {
        let bound = |text: Option<String>| match text {
            Some(text) if text.chars().count() > CLAIM_CHARS_MAX => {
                Some(text.chars().take(CLAIM_CHARS_MAX).collect())
            }
            text => text,
        };
        Self {
            instance: bound(self.instance),
            release: bound(self.release),
            color: bound(self.color),
            host: bound(self.host),
            is_final: self.is_final,
            started: self.started,
            gaps: self.gaps.and_then(|gaps| Gaps::of(gaps.count, &gaps.first)),
        }
    }
}

/// The content of `open.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenRecord {
    pub share: Option<ShareId>,
    pub drop: DropId,
    pub workload: WorkloadName,
    pub content: Content,
    pub claims: Claims,
    /// Set when the writer gave up: with the exit status of its command, if that was the cause.
    pub failed: Option<Option<i32>>,
}

/// The JSON form; members that we do not know are allowed, so that newer writers can add some.
#[derive(Serialize, Deserialize)]
struct OpenJson {
    version: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    share: Option<ShareId>,
    drop: DropId,
    workload: WorkloadName,
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default)]
    claims: Claims,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    state: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exit_status: Option<i32>,
}

impl OpenRecord {
    /// The bytes of the file.
    pub fn to_bytes(&self) -> io::Result<Vec<u8>> {
        let (kind, name) = self.content.to_words();
        let json = OpenJson {
            version: FORMAT_VERSION,
            share: self.share,
            drop: self.drop,
            workload: self.workload.clone(),
            kind: kind.to_owned(),
            name: name.map(str::to_owned),
            claims: self.claims.clone(),
            state: self.failed.map(|_| "failed".to_owned()),
            exit_status: self.failed.flatten(),
        };
        let mut bytes = serde_json::to_vec(&json)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Reads the bytes of the file; `None` if they are not (yet) a whole one that we understand.
    /// Nothing depends on it, so there is no need to say why.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let json: OpenJson = serde_json::from_slice(bytes).ok()?;
        let content = Content::from_words(&json.kind, json.name.as_deref()).ok()?;
        let failed = json.state.is_some_and(|state| state == "failed").then_some(json.exit_status);
        (json.version == FORMAT_VERSION).then_some(Self {
            share: json.share,
            drop: json.drop,
            workload: json.workload,
            content,
            claims: json.claims.bounded(),
            failed,
        })
    }

    /// Reads `open.json` in a drop's directory. Errors of the file system are reported;
    /// absence and nonsense are `None`.
    pub fn read(directory: &Directory) -> io::Result<Option<Self>> {
        match directory.read_bounded(OPEN_FILE, OPEN_BYTES_MAX) {
            Ok(bytes) => Ok(Self::parse(&bytes)),
            Err(error) if crate::files::is_later(&error) => Err(error),
            Err(_) => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use outlast_types::{SystemClock, SystemRandom};

    use super::*;

    #[test]
    fn open_json_survives_its_text() {
        let record = OpenRecord {
            share: None,
            drop: DropId::new(&SystemClock, &SystemRandom),
            workload: WorkloadName::new("shop-db").unwrap(),
            content: Content::stream("shop.sql").unwrap(),
            claims: Claims { color: Some("blue".to_owned()), is_final: true, ..Claims::default() },
            failed: Some(Some(3)),
        };
        let bytes = record.to_bytes().unwrap();
        assert_eq!(OpenRecord::parse(&bytes), Some(record));
        assert_eq!(OpenRecord::parse(&bytes[..bytes.len() / 2]), None);
    }

    #[test]
    fn a_claim_of_any_length_is_kept_short() {
        let long = Some("\u{e9}".repeat(1 << 20));
        let claims = Claims { instance: long.clone(), host: long, ..Claims::default() }.bounded();
        let kept = [claims.instance, claims.host].map(|text| text.unwrap());
        assert!(kept.iter().all(|text| text.chars().count() == 255 && text.capacity() < 1024));
    }

    #[test]
    fn a_stream_name_is_one_plain_file_name() {
        assert!(Content::stream("Übersicht 1.sql").is_ok());
        for bad in ["", ".", "..", "a/b", "/etc/passwd", "new\nline", "nul\0"] {
            assert!(Content::stream(bad).is_err(), "{bad:?}");
        }
    }
}
