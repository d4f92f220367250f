//! Names on the share, and where a drop lives.

use std::fmt;
use std::path::PathBuf;

use outlast_types::{Day, DropId, WorkloadName};

/// Marks the root of a share.
pub const SHARE_FILE: &str = "outlast-share.json";
/// The directory that holds all workloads.
pub const WORKLOADS: &str = "w";
/// The directory of the agent's marks, beside that of all workloads.
pub const AGENT: &str = "agent";
/// The agent's word about files that are to be adopted.
pub const ADOPTING_FILE: &str = "adopting.json";
/// The directory in which writers tell of which workload there is news.
pub const BELL: &str = "bell";
/// The directory in which instances tell of which workload they want a backup back.
pub const FETCH: &str = "fetch";
/// The directory of the requests for a workload's backups.
pub const REQUESTS: &str = "requests";
/// The directory of the answers to them.
pub const ANSWERS: &str = "answers";
/// The directory of a workload's drops, by day.
pub const DROPS: &str = "drops";
/// The directory of a workload's receipts.
pub const RECEIPTS: &str = "receipts";
/// The directory of a workload's leases.
pub const LEASES: &str = "leases";
/// What people declare of a workload, in its directory; none of the protocol's.
pub const DECLARATION: &str = "workload.toml";
/// The agent's word to writers that there is no room.
pub const NOTICE_FILE: &str = "notice.json";
/// The writer's words when it begins.
pub const OPEN_FILE: &str = "open.json";
/// The commit.
pub const SEAL_FILE: &str = "sealed.json";
/// Begins the name of every sign of life, `beat.<n>`.
pub const BEAT_PREFIX: &str = "beat.";
/// Whether a name at the root of a share is one of ours, also where a file server does not tell cases apart.
pub fn is_ours_at_root(name: &[u8]) -> bool {
    let ours = [WORKLOADS, BELL, AGENT, FETCH, SHARE_FILE];
    ours.iter().any(|ours| ours.as_bytes().eq_ignore_ascii_case(name))
}

/// Where one drop lives on its share.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DropAddress {
    pub workload: WorkloadName,
    /// The day as the writer's clock had it: a place, not a truth about time.
    pub day: Day,
    pub drop: DropId,
}

impl DropAddress {
    /// The directories from the root of the share down to the drop.
    pub fn components(&self) -> [String; 5] {
        [
            WORKLOADS.to_owned(),
            self.workload.to_string(),
            DROPS.to_owned(),
            self.day.to_string(),
            self.drop.to_string(),
        ]
    }

    /// The path from the root of the share.
    pub fn path(&self) -> PathBuf {
        self.components().iter().collect()
    }
}

impl fmt::Display for DropAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.components().join("/"))
    }
}

/// The most names in a drop's directory beside its segments and what file servers leave for each of
/// them: a writer that removes none of its beats makes that many in a month.
pub const FILES_MAX: usize = 150_000;

/// The most names in the directory of a drop with this many segments, if `others` may be beside them.
pub fn names_max(segments: usize, others: usize) -> usize {
    segments.saturating_mul(2).saturating_add(others)
}

/// The name of segment number `index`, counted from 0: `0001.seg`, …, `9999.seg`, `10000.seg`.
pub fn segment_name(index: usize) -> String {
    format!("{:04}.seg", index.saturating_add(1))
}

/// The kind of a name in a drop's directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropFile {
    Open,
    Seal,
    Beat,
    Segment,
    /// Nothing of ours: what operating systems, file servers and tools leave wherever they look.
    Foreign,
}

impl DropFile {
    /// Classifies a name.
    pub fn of(name: &[u8]) -> Self {
        let digits = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
        match name {
            b"open.json" => Self::Open,
            b"sealed.json" => Self::Seal,
            _ if name.strip_prefix(BEAT_PREFIX.as_bytes()).is_some_and(digits) => Self::Beat,
            _ if name.strip_suffix(b".seg").is_some_and(|n| n.len() >= 4 && digits(n)) => {
                Self::Segment
            }
            _ => Self::Foreign,
        }
    }
}

/// Names that file systems, Windows and Macs leave in any directory that they see.
const FOREIGN: [&[u8]; 8] = [
    b"lost+found",
    b"Thumbs.db",
    b"ehthumbs.db",
    b"desktop.ini",
    b"System Volume Information",
    b"RECYCLER",
    b"Network Trash Folder",
    b"TheVolumeSettingsFolder",
];

/// Whether `name` is certainly nobody's drop, day or workload, but what operating systems, file
/// servers and tools leave wherever they look: `.DS_Store`, `@eaDir`, `.nfs*`, `#recycle`,
/// `~snapshot`, `$RECYCLE.BIN`, a temporary file of rsync. Names of ours begin with a letter or a
/// digit; theirs mostly with something else. Nobody is told of them.
pub fn is_foreign(name: &[u8]) -> bool {
    let is_ours = name.first().is_some_and(u8::is_ascii_alphanumeric);
    !is_ours || FOREIGN.iter().any(|known| known.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_a_drop_are_told_apart() {
        for (name, file) in [
            ("open.json", DropFile::Open),
            ("sealed.json", DropFile::Seal),
            ("beat.17", DropFile::Beat),
            ("beat.", DropFile::Foreign),
            ("0001.seg", DropFile::Segment),
            ("12345.seg", DropFile::Segment),
            ("1.seg", DropFile::Foreign),
            (".nfs0000000012", DropFile::Foreign),
            ("notes.txt", DropFile::Foreign),
        ] {
            assert_eq!(DropFile::of(name.as_bytes()), file, "{name}");
        }
        assert_eq!(segment_name(0), "0001.seg");
        assert_eq!(segment_name(9999), "10000.seg");
    }

    #[test]
    fn what_systems_leave_everywhere_is_foreign_and_a_name_that_may_be_meant_is_not() {
        for name in [
            "@eaDir",
            ".DS_Store",
            "._shop",
            "Thumbs.db",
            "DESKTOP.INI",
            ".nfs0012",
            "#recycle",
            ".fuse_hidden0001",
            ".snapshot",
            "~snapshot",
            ".~lock.shop#",
            ".shop.Xy12Ab",
            "$RECYCLE.BIN",
            "lost+found",
            "System Volume Information",
            "caf\u{e9}".trim_start_matches("caf"),
        ] {
            assert!(is_foreign(name.as_bytes()), "{name}");
        }
        for name in ["shop", "Shop DB", "not-a-day", "2026-01-31", "0"] {
            assert!(!is_foreign(name.as_bytes()), "{name}");
        }
    }
}
