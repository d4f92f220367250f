//! The findings of a check.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::mem;

use outlast_format::pack::BlobType;
use outlast_format::{BlobId, FormatError, PackId, SnapshotId};
use outlast_fs::EntryPath;
use outlast_store::StoreError;
use outlast_types::Monitor;

use crate::RepoError;
use crate::read::{BlobError, WalkError};

/// How many affected entries a problem lists by name.
const AFFECTED_LISTED: usize = 20;

/// The outcome of a check.
#[derive(Debug)]
pub struct Report {
    pub problems: Vec<Problem>,
    /// Packs that no index lists: what an interrupted backup left behind. They are harmless.
    pub leftovers: Vec<PackId>,
    pub counts: Counts,
    /// What of the packs cannot be had.
    pub(super) losses: Losses,
}

impl Report {
    /// Whether everything that was checked is as it should be.
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }
}

/// How much was checked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub keys: u64,
    pub indexes: u64,
    pub packs: u64,
    /// Blobs that the indexes list.
    pub blobs: u64,
    pub snapshots: u64,
    /// Different trees.
    pub trees: u64,
    /// Bytes of the listed packs that are there, read or not.
    pub bytes: u64,
    /// Packs that were read from end to end; 0 unless the data was to be read.
    pub packs_read: u64,
    /// Bytes of packs that were read and verified.
    pub bytes_read: u64,
    /// Packs that were left out because an earlier, interrupted run had found nothing wrong with
    /// them.
    pub packs_resumed: u64,
    pub bytes_resumed: u64,
}

/// One thing that is wrong, and what it costs.
#[derive(Debug)]
pub struct Problem {
    pub defect: Defect,
    pub affected: Affected,
}

/// The kind of a problem.
#[derive(Debug, thiserror::Error)]
pub enum Defect {
    /// A config, key, index or snapshot that cannot be used; the error names it.
    #[error(transparent)]
    Object(RepoError),
    #[error("data/{pack} is missing; {blobs} blobs should be in it")]
    MissingPack { pack: PackId, blobs: usize },
    #[error("data/{pack} has {size} bytes and should have {expected}")]
    PackSize { pack: PackId, size: u64, expected: u64 },
    #[error("an index gives data/{pack} blobs that overlap or leave gaps")]
    PackLayout { pack: PackId },
    #[error("{damaged} of {total} blobs in data/{pack} are damaged; the first: {first}")]
    PackBlobs { pack: PackId, damaged: usize, total: usize, first: BlobError },
    #[error("the header of data/{pack} is damaged ({source}); its blobs are found by the index")]
    PackHeader { pack: PackId, source: FormatError },
    #[error("the header of data/{pack} lists other blobs than the index")]
    PackHeaderDiffers { pack: PackId },
    #[error("data/{pack} does not match its name, though every blob in it is right")]
    PackName { pack: PackId },
    #[error("data/{pack} cannot be read: {source}")]
    PackUnreadable { pack: PackId, source: StoreError },
    /// A blob that was damaged when it was needed; the error names its pack.
    #[error(transparent)]
    Blob(BlobError),
    #[error(
        "{}{count} blobs that snapshots need are in no index; the first: {first}",
        if *.at_least { "at least " } else { "" }
    )]
    UnknownBlobs { count: usize, at_least: bool, first: BlobId },
    #[error("snapshot {snapshot:.8}: {source}")]
    Tree { snapshot: SnapshotId, source: WalkError },
    #[error(
        "snapshot {snapshot:.8}: /{path} is recorded with {recorded} bytes, \
         but its content has {content}"
    )]
    FileSize { snapshot: SnapshotId, path: EntryPath, recorded: u64, content: u64 },
}

/// Entries of snapshots that a problem hits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Affected {
    /// The first 20 by name, each as `<snapshot>:/<path>`.
    pub entries: Vec<String>,
    pub total: u64,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.defect)?;
        let Affected { entries, total } = &self.affected;
        if let Some(first) = entries.first() {
            write!(f, "; it hits {first}")?;
            for entry in &entries[1..] {
                write!(f, ", {entry}")?;
            }
            if let more @ 1.. = total.saturating_sub(entries.len() as u64) {
                write!(f, " and {more} more")?;
            }
        }
        Ok(())
    }
}

/// The blobs that no index knows and that are told apart; more of them are not counted.
const UNKNOWN_BLOBS_MAX: usize = 1 << 20;

/// Which problem stands for which pack or blob that cannot be had.
#[derive(Debug, Default)]
pub(super) struct Losses {
    /// Packs none of whose blobs can be had, by the number of their problem.
    packs: HashMap<PackId, usize>,
    blobs: HashMap<(PackId, BlobType, BlobId), usize>,
}

impl Losses {
    /// The problem that took away a blob that lies in `pack`.
    pub(super) fn of(&self, pack: PackId, kind: BlobType, blob: BlobId) -> Option<usize> {
        self.packs.get(&pack).or_else(|| self.blobs.get(&(pack, kind, blob))).copied()
    }
}

/// Collects a report.
pub(super) struct Builder<'m> {
    monitor: &'m dyn Monitor,
    problems: Vec<Problem>,
    leftovers: Vec<PackId>,
    counts: Counts,
    losses: Losses,
    /// The problem of the blobs that no index knows, and which those are.
    unknown: Option<usize>,
    unknown_blobs: HashSet<(BlobType, BlobId)>,
}

impl<'m> Builder<'m> {
    pub(super) fn new(monitor: &'m dyn Monitor) -> Self {
        Self {
            monitor,
            problems: Vec::new(),
            leftovers: Vec::new(),
            counts: Counts::default(),
            losses: Losses::default(),
            unknown: None,
            unknown_blobs: HashSet::new(),
        }
    }

    pub(super) fn counts(&mut self) -> &mut Counts {
        &mut self.counts
    }

    pub(super) fn leftover(&mut self, pack: PackId) {
        self.leftovers.push(pack);
    }

    /// Adds a problem that hits no entry by itself.
    pub(super) fn add(&mut self, defect: Defect) -> usize {
        self.problems.push(Problem { defect, affected: Affected::default() });
        self.problems.len() - 1
    }

    /// Adds a problem that takes a whole pack away.
    pub(super) fn lose_pack(&mut self, pack: PackId, defect: Defect) {
        let number = self.add(defect);
        self.losses.packs.entry(pack).or_insert(number);
    }

    /// Adds a problem that takes single blobs away.
    pub(super) fn lose_blobs(
        &mut self,
        pack: PackId,
        blobs: Vec<(BlobType, BlobId)>,
        defect: Defect,
    ) {
        let number = self.add(defect);
        for (kind, blob) in blobs {
            self.losses.blobs.entry((pack, kind, blob)).or_insert(number);
        }
    }

    /// The losses, now that all packs have been looked at.
    pub(super) fn take_losses(&mut self) -> Losses {
        mem::take(&mut self.losses)
    }

    /// Keeps them for whoever asks what they touch.
    pub(super) fn keep_losses(&mut self, losses: Losses) {
        self.losses = losses;
    }

    /// The one problem for all blobs that no index knows.
    pub(super) fn unknown_blob(&mut self, kind: BlobType, blob: BlobId) -> usize {
        let number = match self.unknown {
            Some(number) => number,
            None => {
                let none = Defect::UnknownBlobs { count: 0, at_least: false, first: blob };
                let number = self.add(none);
                self.unknown = Some(number);
                number
            }
        };
        let full = self.unknown_blobs.len() >= UNKNOWN_BLOBS_MAX;
        let new = !full && self.unknown_blobs.insert((kind, blob));
        if let Defect::UnknownBlobs { count, at_least, first } = &mut self.problems[number].defect {
            *count = self.unknown_blobs.len();
            *at_least |= full && !self.unknown_blobs.contains(&(kind, blob));
            // Trees are looked at in any order; the report does not depend on it.
            if new {
                *first = blob.min(*first);
            }
        }
        number
    }

    /// Notes that a problem hits an entry.
    pub(super) fn hit(&mut self, number: usize, snapshot: SnapshotId, path: &str) {
        let Affected { entries, total } = &mut self.problems[number].affected;
        *total += 1;
        // The first ones by name, in whatever order they come.
        let entry = format!("{snapshot:.8}:/{path}");
        let place = entries.partition_point(|listed| *listed < entry);
        if place < AFFECTED_LISTED {
            entries.truncate(AFFECTED_LISTED - 1);
            entries.insert(place, entry);
        }
    }

    /// Tells the monitor about every problem, now that all is known about it.
    pub(super) fn finish(self) -> Report {
        for problem in &self.problems {
            self.monitor.problem(&problem.to_string());
        }
        let Self { problems, leftovers, counts, losses, .. } = self;
        Report { problems, leftovers, counts, losses }
    }
}
