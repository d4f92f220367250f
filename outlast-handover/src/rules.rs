//! The rules of one hand-over, as people write them.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use outlast_civil::{Hours, Zone};
use outlast_types::{Timestamp, WorkloadName, WorkloadPattern};
use serde::{Deserialize, Serialize};

use crate::age::Recipient;

/// How a drop lies in the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// Segments and seal, as they were on the share.
    Drop,
    /// A stream as one file, a tree as one tar; both decompressed.
    Plain,
    /// A stream as one file, a tree as its files.
    Unpacked,
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Drop => "drop",
            Self::Plain => "plain",
            Self::Unpacked => "unpacked",
        })
    }
}

/// A word that is no layout.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no layout: it is drop, plain or unpacked")]
pub struct InvalidLayout(String);

impl FromStr for Layout {
    type Err = InvalidLayout;

    fn from_str(text: &str) -> Result<Self, InvalidLayout> {
        let all = [Self::Drop, Self::Plain, Self::Unpacked];
        let found = all.into_iter().find(|layout| layout.to_string() == text);
        found.ok_or_else(|| InvalidLayout(text.chars().take(40).collect()))
    }
}

/// What must be true before a drop leaves the share, beside the keep rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Frees {
    /// The vault holds it, and the product has confirmed it.
    Both,
    /// The vault holds it, and it was offered to the product.
    Vaulted,
    /// The product has confirmed it, whatever the vault holds.
    Confirmed,
    /// The vault holds it and it was offered, or the product has confirmed it.
    Either,
}

impl fmt::Display for Frees {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Both => "both",
            Self::Vaulted => "vaulted",
            Self::Confirmed => "confirmed",
            Self::Either => "either",
        })
    }
}

/// A word that does not say what frees a drop.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} does not say what frees a drop: it is both, vaulted, confirmed or either")]
pub struct InvalidFrees(String);

impl FromStr for Frees {
    type Err = InvalidFrees;

    fn from_str(text: &str) -> Result<Self, InvalidFrees> {
        let all = [Self::Both, Self::Vaulted, Self::Confirmed, Self::Either];
        let found = all.into_iter().find(|frees| frees.to_string() == text);
        found.ok_or_else(|| InvalidFrees(text.chars().take(40).collect()))
    }
}

impl Frees {
    /// Whether a confirmed drop is free although no vault holds it.
    pub fn wants_no_vault(self) -> bool {
        matches!(self, Self::Confirmed | Self::Either)
    }

    /// Whether a drop that the vault holds must be confirmed all the same.
    pub fn wants_confirmation(self) -> bool {
        matches!(self, Self::Both | Self::Confirmed)
    }
}

/// One hand-over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    pub name: String,
    /// What the product reads.
    pub directory: PathBuf,
    pub workloads: Vec<WorkloadPattern>,
    pub layout: Layout,
    /// How many of the newest confirmed drops of each workload stay all the same; at least one.
    pub keep: usize,
    /// Schedules or types of which a job must have confirmed a drop before it leaves.
    pub keep_until: Vec<String>,
    /// The most bytes in the directory and on the way there.
    pub budget: Option<u64>,
    /// The largest file; larger streams and archives are cut into parts.
    pub file_max: Option<u64>,
    /// The most files of one drop; a tree with more is offered as one tar.
    pub files_max: u64,
    pub owner: Option<u32>,
    pub group: Option<u32>,
    /// Permissions of files; directories can be entered by whoever may read them.
    pub mode: u32,
    /// When the product reads without a lease.
    pub read_window: Option<Hours>,
    /// The time zone of those hours.
    #[serde(default)]
    pub zone: Zone,
    /// How long a lease lasts that nobody ends.
    pub lease: Duration,
    pub frees: Frees,
    /// Whether its drops are not shipped to the vault's repositories: the product alone has them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub instead: bool,
    /// Who alone can read what lies there; none: whoever may read files there. In the layout `plain` only,
    /// whose files have no names of a tree's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub encrypt_to: Vec<Recipient>,
    /// Whether content that is compressed on the share stays so, in the layout `plain`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub packed: bool,
}

impl Rules {
    /// Rules with defaults for all but the places.
    pub fn new(name: &str, directory: PathBuf) -> Self {
        Self {
            name: name.to_owned(),
            directory,
            workloads: Vec::new(),
            layout: Layout::Drop,
            keep: 1,
            keep_until: Vec::new(),
            budget: None,
            file_max: None,
            files_max: 1_000_000,
            owner: None,
            group: None,
            mode: 0o640,
            read_window: None,
            zone: Zone::utc(),
            lease: Duration::from_secs(24 * 3600),
            frees: Frees::Both,
            instead: false,
            encrypt_to: Vec::new(),
            packed: false,
        }
    }

    /// Whether drops of a workload are handed over: of all, where no pattern is named.
    pub fn takes(&self, workload: &WorkloadName) -> bool {
        self.workloads.is_empty() || self.workloads.iter().any(|it| it.matches(workload))
    }

    /// Whether these are hours in which the product may read without saying so.
    pub fn is_read_at(&self, now: Timestamp) -> bool {
        self.read_window.is_some_and(|hours| hours.contain(now, &self.zone))
    }

    /// The permissions of directories: whoever may read files may enter them.
    pub fn directory_mode(&self) -> u32 {
        self.mode | (self.mode & 0o444) >> 2 | 0o700
    }
}
