//! Which snapshots a check's findings touch, each by itself: a check tells of a damaged tree that a thousand
//! snapshots share once, and whoever wants something back asks about all thousand.

use std::collections::{BTreeSet, HashMap};

use outlast_format::pack::BlobType;
use outlast_format::tree::NodeKind;
use outlast_format::{BlobId, SnapshotId};
use outlast_store::Object;

use super::report::{Defect, Report};
use crate::read::tree::TreeReader;
use crate::read::{self, BlobError, Snapshots, TreeError};
use crate::{Index, RepoError, Repository};

/// The snapshots of a repository, by whether all of each can be had.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Touched {
    /// Something of each of these cannot be had, as far as the check looked.
    pub hit: BTreeSet<SnapshotId>,
    pub whole: BTreeSet<SnapshotId>,
}

/// Looks through all snapshots for what `report` says cannot be had. Each tree is looked at once, whoever
/// shares it; memory is in proportion to their number, so this is for when something is wrong.
pub fn touched(repository: &Repository, report: &Report) -> Result<Touched, RepoError> {
    let Snapshots { list, .. } = read::snapshots(repository)?;
    let reader = TreeReader::new(repository)?;
    let mut look = Look { index: repository.index()?, reader, report, known: HashMap::new() };
    let mut touched = Touched::default();
    for problem in &report.problems {
        touched.hit.extend(unreadable(&problem.defect));
    }
    for (id, snapshot) in list {
        match look.is_hit(snapshot.tree)? {
            true => touched.hit.insert(id),
            false => touched.whole.insert(id),
        };
    }
    Ok(touched)
}

/// The snapshot that cannot be read itself, or not what is in it.
fn unreadable(defect: &Defect) -> Option<SnapshotId> {
    match defect {
        Defect::Object(
            RepoError::Damaged { object: Object::Snapshot(id), .. }
            | RepoError::HashMismatch { object: Object::Snapshot(id), .. },
        ) => Some(*id),
        _ => None,
    }
}

struct Look<'r> {
    index: &'r Index,
    reader: TreeReader<'r>,
    report: &'r Report,
    /// Of each tree that was looked through, whether something below it cannot be had.
    known: HashMap<BlobId, bool>,
}

/// A tree that is being looked through.
struct Frame {
    tree: BlobId,
    subtrees: Vec<BlobId>,
    is_hit: bool,
}

impl Look<'_> {
    fn is_hit(&mut self, root: BlobId) -> Result<bool, RepoError> {
        if let Some(known) = self.known.get(&root) {
            return Ok(*known);
        }
        let mut path = vec![self.enter(root)?];
        while let Some(frame) = path.last_mut() {
            match frame.subtrees.pop() {
                Some(below) => match self.known.get(&below) {
                    Some(is_hit) => frame.is_hit |= is_hit,
                    None => path.push(self.enter(below)?),
                },
                None => {
                    let Some(Frame { tree, is_hit, .. }) = path.pop() else { break };
                    self.known.insert(tree, is_hit);
                    if let Some(above) = path.last_mut() {
                        above.is_hit |= is_hit;
                    }
                }
            }
        }
        Ok(self.known.get(&root).copied().unwrap_or(true))
    }

    /// Looks at what a tree names itself.
    fn enter(&mut self, tree: BlobId) -> Result<Frame, RepoError> {
        let mut frame = Frame { tree, subtrees: Vec::new(), is_hit: false };
        let entries = match self.reader.load(tree) {
            Ok(entries) => entries,
            Err(TreeError::Blob(BlobError::Cache(error))) => return Err(error.into()),
            Err(_) => return Ok(Frame { is_hit: true, ..frame }),
        };
        frame.is_hit = self.is_lost(BlobType::Tree, tree)?;
        for node in entries.nodes {
            match (node.kind, node.subtree) {
                (NodeKind::Directory, Some(subtree)) => frame.subtrees.push(subtree),
                (NodeKind::Directory, None) => frame.is_hit = true,
                _ => {}
            }
            for blob in node.content.into_iter().flatten() {
                frame.is_hit = frame.is_hit || self.is_lost(BlobType::Data, blob)?;
            }
        }
        Ok(frame)
    }

    /// Whether no copy of a blob can be had.
    fn is_lost(&self, kind: BlobType, blob: BlobId) -> Result<bool, RepoError> {
        let places = self.index.locations(kind, &blob)?;
        let losses = &self.report.losses;
        Ok(places.iter().all(|place| losses.of(place.pack, kind, blob).is_some()))
    }
}
