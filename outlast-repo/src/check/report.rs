//! What a check found.

use std::collections::{HashMap, HashSet};
use std::fmt;

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
    /// Bytes of packs that were read and verified; 0 unless the data was to be read.
    pub bytes_read: u64,
}

/// One thing that is wrong, and what it costs.
#[derive(Debug)]
pub struct Problem {
    pub defect: Defect,
    pub affected: Affected,
}

/// What a problem is.
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
    #[error("{count} blobs that snapshots need are in no index; the first: {first}")]
    UnknownBlobs { count: usize, first: BlobId },
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
    /// The first 20, each as `<snapshot>:/<path>`.
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

/// Collects a report and knows which problem stands for which pack or blob.
pub(super) struct Builder<'m> {
    monitor: &'m dyn Monitor,
    problems: Vec<Problem>,
    leftovers: Vec<PackId>,
    counts: Counts,
    /// Packs none of whose blobs can be had, by the number of their problem.
    lost_packs: HashMap<PackId, usize>,
    lost_blobs: HashMap<(PackId, BlobType, BlobId), usize>,
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
            lost_packs: HashMap::new(),
            lost_blobs: HashMap::new(),
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
        self.lost_packs.entry(pack).or_insert(number);
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
            self.lost_blobs.entry((pack, kind, blob)).or_insert(number);
        }
    }

    /// The problem that took away a blob that lies in `pack`.
    pub(super) fn loss_of(&self, pack: PackId, kind: BlobType, blob: BlobId) -> Option<usize> {
        self.lost_packs.get(&pack).or_else(|| self.lost_blobs.get(&(pack, kind, blob))).copied()
    }

    /// The one problem for all blobs that no index knows.
    pub(super) fn unknown_blob(&mut self, kind: BlobType, blob: BlobId) -> usize {
        let number = match self.unknown {
            Some(number) => number,
            None => {
                let number = self.add(Defect::UnknownBlobs { count: 0, first: blob });
                self.unknown = Some(number);
                number
            }
        };
        if self.unknown_blobs.insert((kind, blob))
            && let Defect::UnknownBlobs { count, .. } = &mut self.problems[number].defect
        {
            *count += 1;
        }
        number
    }

    /// Notes that a problem hits an entry.
    pub(super) fn hit(&mut self, number: usize, snapshot: SnapshotId, path: &str) {
        let affected = &mut self.problems[number].affected;
        affected.total += 1;
        if affected.entries.len() < AFFECTED_LISTED {
            affected.entries.push(format!("{snapshot:.8}:/{path}"));
        }
    }

    /// Tells the monitor about every problem, now that all is known about it.
    pub(super) fn finish(self) -> Report {
        for problem in &self.problems {
            self.monitor.problem(&problem.to_string());
        }
        Report { problems: self.problems, leftovers: self.leftovers, counts: self.counts }
    }
}
