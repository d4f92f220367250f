//! `open.json`: what a writer says when it begins.

use std::io;

use outlast_types::{DropId, ShareId, Timestamp, WorkloadName};
use serde::{Deserialize, Deserializer, Serialize};

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
    /// What the content was taken from, by a writer that knows its subject. One in another form is
    /// left out: writers may have had a member of that name of their own.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "source_if_it_is_one"
    )]
    pub source: Option<Source>,
    /// It is a drop of before that was brought back: how old it is, nobody can tell, and it counts as suspect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brought_back: Option<BroughtBack>,
}

/// Which drop it was, and whence it comes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BroughtBack {
    /// The hand-over in which it lay.
    pub handover: String,
    pub drop: DropId,
    /// The share that it came from.
    pub share: ShareId,
    /// When its writer sealed it, as that said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<Timestamp>,
}

fn source_if_it_is_one<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Source>, D::Error> {
    Ok(serde_json::from_value(serde_json::Value::deserialize(from)?).ok())
}

/// The server or file that the content was taken from. For people who restore: which versions they
/// need, and where logs go on from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Source {
    /// The product, such as `postgres`.
    pub kind: String,
    /// How it was read, where there are several ways, such as `basebackup`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The server's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// The version of the program that read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// The server was a copy of another one, and may have been behind.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replica: bool,
    /// The place in the server's log that the content belongs to, in the words of the product.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub databases: Option<Databases>,
}

/// The databases in a drop.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Databases {
    pub count: u64,
    /// The first of them.
    #[serde(default)]
    pub first: Vec<String>,
}

/// Databases that a seal names, and the most characters of each; no product has longer names.
const DATABASES_NAMED_MAX: usize = 16;
const DATABASE_CHARS_MAX: usize = 64;

impl Databases {
    /// All of these.
    pub fn of<S: AsRef<str>>(names: &[S]) -> Self {
        Self { count: names.len() as u64, first: first_databases(names) }
    }
}

fn first_databases<S: AsRef<str>>(names: &[S]) -> Vec<String> {
    let short = |name: &S| name.as_ref().chars().take(DATABASE_CHARS_MAX).collect();
    names.iter().take(DATABASES_NAMED_MAX).map(short).collect()
}

impl Source {
    fn bounded(self) -> Self {
        let databases = self.databases.map(|databases| Databases {
            count: databases.count,
            first: first_databases(&databases.first),
        });
        Self {
            kind: bound(self.kind),
            method: self.method.map(bound),
            server: self.server.map(bound),
            client: self.client.map(bound),
            replica: self.replica,
            position: self.position.map(bound),
            databases,
        }
    }
}

/// A text as it is kept.
fn bound(text: String) -> String {
    if text.chars().count() > CLAIM_CHARS_MAX {
        text.chars().take(CLAIM_CHARS_MAX).collect()
    } else {
        text
    }
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
        Self {
            instance: self.instance.map(bound),
            release: self.release.map(bound),
            color: self.color.map(bound),
            host: self.host.map(bound),
            is_final: self.is_final,
            started: self.started,
            gaps: self.gaps.and_then(|gaps| Gaps::of(gaps.count, &gaps.first)),
            source: self.source.map(Source::bounded),
            brought_back: self
                .brought_back
                .map(|it| BroughtBack { handover: bound(it.handover), ..it }),
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
    use outlast_types::{Clock, SystemClock, SystemRandom};

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
        let long = || "\u{e9}".repeat(1 << 20);
        let source = Source {
            kind: long(),
            position: Some(long()),
            databases: Some(Databases { count: 3000, first: vec![long(); 30] }),
            ..Source::default()
        };
        let claims = Claims {
            instance: Some(long()),
            host: Some(long()),
            source: Some(source),
            ..Claims::default()
        };
        let claims = claims.bounded();
        let source = claims.source.unwrap();
        let kept = [claims.instance, claims.host, Some(source.kind), source.position];
        let is_short = |text: &String| text.chars().count() == 255 && text.capacity() < 1024;
        assert_eq!(kept.iter().flatten().filter(|text| is_short(text)).count(), 4);
        let databases = source.databases.unwrap();
        assert_eq!((databases.count, databases.first.len()), (3000, DATABASES_NAMED_MAX));
        assert!(databases.first.iter().all(|name| name.chars().count() == DATABASE_CHARS_MAX));
    }

    #[test]
    fn the_longest_claims_are_fewer_bytes_than_a_vault_records() {
        let long = || "\u{1}".repeat(1000);
        let source = Source {
            kind: long(),
            method: Some(long()),
            server: Some(long()),
            client: Some(long()),
            replica: true,
            position: Some(long()),
            databases: Some(Databases { count: u64::MAX, first: vec![long(); 30] }),
        };
        let claims = Claims {
            instance: Some(long()),
            release: Some(long()),
            color: Some(long()),
            host: Some(long()),
            is_final: true,
            started: Some(SystemClock.now()),
            gaps: Gaps::of(u64::MAX, &vec![long(); 30]),
            source: Some(source),
            brought_back: Some(BroughtBack {
                handover: long(),
                drop: DropId::new(&SystemClock, &SystemRandom),
                share: ShareId::new(&SystemRandom),
                sealed: Some(SystemClock.now()),
            }),
        };
        let bytes = serde_json::to_vec(&claims.bounded()).unwrap().len();
        assert!(bytes <= 64 << 10, "{bytes}");
    }

    #[test]
    fn a_source_is_read_back_and_one_of_a_newer_writer_keeps_what_is_known() {
        let source = Source {
            kind: "mysql".to_owned(),
            server: Some("10.11.6-MariaDB".to_owned()),
            databases: Some(Databases::of(&["shop", "crm"])),
            ..Source::default()
        };
        let text = serde_json::to_string(&source).unwrap();
        assert_eq!(serde_json::from_str::<Source>(&text).unwrap(), source);
        let newer = r#"{"kind":"redis","shards":3}"#;
        assert_eq!(serde_json::from_str::<Source>(newer).unwrap().kind, "redis");
        for foreign in [r#"{"source":"a script of ours"}"#, r#"{"source":{"kind":7}}"#] {
            assert_eq!(serde_json::from_str::<Claims>(foreign).unwrap(), Claims::default());
        }
    }

    #[test]
    fn a_stream_name_is_one_plain_file_name() {
        assert!(Content::stream("Übersicht 1.sql").is_ok());
        for bad in ["", ".", "..", "a/b", "/etc/passwd", "new\nline", "nul\0"] {
            assert!(Content::stream(bad).is_err(), "{bad:?}");
        }
    }
}
