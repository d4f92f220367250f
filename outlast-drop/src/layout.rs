//! Names on the share, and where a drop lives.

use std::fmt;
use std::path::PathBuf;

use outlast_types::{Day, DropId, WorkloadName};

/// Marks the root of a share.
pub const SHARE_FILE: &str = "outlast-share.json";
/// The directory that holds all workloads.
pub const WORKLOADS: &str = "w";
/// The directory of a workload's drops, by day.
pub const DROPS: &str = "drops";
/// The directory of a workload's receipts.
pub const RECEIPTS: &str = "receipts";
/// What the writer says when it begins.
pub const OPEN_FILE: &str = "open.json";
/// The commit.
pub const SEAL_FILE: &str = "sealed.json";
/// Begins the name of every sign of life, `beat.<n>`.
pub const BEAT_PREFIX: &str = "beat.";
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

/// The name of segment number `index`, counted from 0: `0001.seg`, …, `9999.seg`, `10000.seg`.
pub fn segment_name(index: usize) -> String {
    format!("{:04}.seg", index.saturating_add(1))
}

/// What a name in a drop's directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropFile {
    Open,
    Seal,
    Beat,
    Segment,
    /// Left by the network file system or the kernel while a deleted file is still open.
    Silly,
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
            _ if is_silly(name) => Self::Silly,
            _ => Self::Foreign,
        }
    }
}

/// Whether `name` is a leftover that NFS or FUSE shows while a deleted file is still open, or a
/// file server's own snapshot directory: nobody's, and gone by itself.
pub fn is_silly(name: &[u8]) -> bool {
    name.starts_with(b".nfs") || name.starts_with(b".fuse_hidden") || name == b".snapshot"
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
            (".nfs0000000012", DropFile::Silly),
            ("notes.txt", DropFile::Foreign),
        ] {
            assert_eq!(DropFile::of(name.as_bytes()), file, "{name}");
        }
        assert_eq!(segment_name(0), "0001.seg");
        assert_eq!(segment_name(9999), "10000.seg");
    }
}
