//! What is known of one drop in the directory.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::file_set::FileSet;
use crate::job::JobKey;
use crate::offer::{Offer, Release};

/// A receipt on the share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    HandedOver,
    Confirmed,
    /// The same, with the vault's own word that it was told so.
    Countersigned,
    /// What said that it was confirmed was taken back: that is not so any more.
    TakenBack,
}

/// An offer, and what jobs have of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tracked {
    pub offer: Offer,
    /// Which of its files a job has, as its evidence says.
    #[serde(serialize_with = "as_pairs", deserialize_with = "of_pairs")]
    pub held: BTreeMap<JobKey, FileSet>,
    /// The receipts that lie on the share.
    #[serde(default)]
    pub told: BTreeSet<Told>,
    /// Somebody's word that it may leave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released: Option<Release>,
}

/// As a list of pairs, which is the same in every format.
fn as_pairs<S: serde::Serializer>(
    map: &BTreeMap<JobKey, FileSet>,
    to: S,
) -> Result<S::Ok, S::Error> {
    map.iter().collect::<Vec<_>>().serialize(to)
}

fn of_pairs<'de, D: serde::Deserializer<'de>>(
    from: D,
) -> Result<BTreeMap<JobKey, FileSet>, D::Error> {
    Ok(Vec::<(JobKey, FileSet)>::deserialize(from)?.into_iter().collect())
}
