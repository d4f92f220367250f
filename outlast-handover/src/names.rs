//! Names in the directory: what they tell, and what always lies there.

use std::path::{Path, PathBuf};

use outlast_types::{DropId, Timestamp, WorkloadName};
use serde::{Deserialize, Serialize};

use crate::manifest::MANIFEST_FILE;

/// The page for whoever restores.
pub const README_FILE: &str = "README.txt";
/// The sign of life.
pub const HEARTBEAT_FILE: &str = "outlast-heartbeat.json";
/// The list of all drops.
pub const LIST_FILE: &str = "outlast-handover.json";
/// The list of all drops.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    pub version: u64,
    pub handover: String,
    pub at: Timestamp,
    /// Whether all that lies on the share was looked at since the agent began.
    pub complete: bool,
    pub drops: Vec<Listed>,
}

/// A drop in the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    pub workload: WorkloadName,
    pub drop: DropId,
    /// From the directory on.
    pub path: String,
    pub appeared: Timestamp,
    pub files: u32,
    pub bytes: u64,
}

/// A moment as a part of a name: `20260131T040000Z`.
pub(crate) fn compact(at: Timestamp) -> String {
    let text = at.to_string();
    let whole = text.split(['.', 'Z']).next().unwrap_or("");
    format!("{}Z", whole.replace(['-', ':'], ""))
}

/// The moment and the id that the name of a drop's directory tells.
pub fn parse_name(name: &str) -> Option<(Timestamp, DropId)> {
    let (moment, drop) = name.split_once('.')?;
    let bytes = moment.as_bytes();
    let is_moment = bytes.len() == 16 && bytes[8] == b'T' && bytes[15] == b'Z' && moment.is_ascii();
    if !is_moment {
        return None;
    }
    let part = |from: usize, to: usize| &moment[from..to];
    let text = format!(
        "{}-{}-{}T{}:{}:{}Z",
        part(0, 4),
        part(4, 6),
        part(6, 8),
        part(9, 11),
        part(11, 13),
        part(13, 15)
    );
    Some((text.parse().ok()?, drop.parse().ok()?))
}

/// The manifest's place in a drop's directory.
pub fn manifest_in(path: &Path) -> PathBuf {
    path.join(MANIFEST_FILE)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_name_of_a_drop_tells_when_it_appeared_and_which_it_is() {
        let (at, drop) = ("2026-01-31T04:05:06.789Z", "01a2066b-8649-78cb-a8bc-a5af0e952507");
        let name = format!("{}.{drop}", compact(at.parse().unwrap()));
        assert_eq!(name, format!("20260131T040506Z.{drop}"));
        let (found, of) = parse_name(&name).unwrap();
        assert_eq!(
            (found.to_string().as_str(), of.to_string().as_str()),
            ("2026-01-31T04:05:06Z", drop)
        );
    }

    proptest! {
        #[test]
        fn no_other_name_does(name in "\\PC{0,60}") {
            prop_assert!(parse_name(&name).is_none());
        }
    }
}
