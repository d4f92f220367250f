//! What a tree reaches: every blob below it, but for what other trees have at the same place.
//!
//! For whoever is about to rely on a tree that somebody else made. A daily backup has mostly the trees of
//! the day before: a subtree that a known tree has under the same path is closed, and so nothing below it
//! is met. One that moved is walked again, which costs time and nothing else.
//!
//! Memory: one bit for each blob of the index, so that a tree that is found in many places is entered once;
//! the ids of trees that wait; and one node at a time.

use std::cmp::Ordering;

use outlast_format::BlobId;
use outlast_format::pack::BlobType;
use outlast_format::tree::{Node, NodeKind};

use crate::inventory::BitSet;
use crate::read::nodes::Nodes;
use crate::read::tree::TreeReader;
use crate::read::{BlobError, ReadError, TreeError};
use crate::{RepoError, Repository};

/// Trees that wait with what is known at their place. Of more than so many nothing is known.
const PLACED_MAX: usize = 64 << 10;

/// What is met on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Met {
    /// A blob is needed. Of a tree, whoever is told says whether it is to be entered.
    Blob { kind: BlobType, id: BlobId },
    /// A tree that should be there cannot be read as what it is called.
    Lost { tree: BlobId },
}

/// Why not all that a tree reaches could be met.
#[derive(Debug, thiserror::Error)]
pub enum ReachError {
    #[error(transparent)]
    Repository(#[from] RepoError),
    /// A tree is what it is called, and no tree.
    #[error("{0}")]
    NoTree(TreeError),
    #[error("a directory in tree {tree} has no tree of its own")]
    NoSubtree { tree: BlobId },
}

/// A tree to be entered, and the trees that `known` ones have at the same place.
struct Place {
    tree: BlobId,
    known: Vec<BlobId>,
}

/// Shows to `meet` all that `tree` reaches and none of the `known` trees has at the same place.
pub fn reach(
    repository: &Repository,
    tree: BlobId,
    known: &[BlobId],
    meet: &mut dyn FnMut(Met) -> Result<bool, RepoError>,
) -> Result<(), ReachError> {
    let entered = BitSet::new(repository.index()?.ordinals());
    let reader = TreeReader::new(repository)?;
    let mut walk =
        Walk { repository, reader, entered, placed: Vec::new(), waiting: Vec::new(), meet };
    walk.plan(tree, known.to_vec())?;
    while let Some(place) = walk.next() {
        walk.enter(&place)?;
    }
    Ok(())
}

struct Walk<'r, 'm> {
    repository: &'r Repository,
    reader: TreeReader<'r>,
    /// By the numbers of the index.
    entered: BitSet,
    placed: Vec<Place>,
    waiting: Vec<BlobId>,
    meet: &'m mut dyn FnMut(Met) -> Result<bool, RepoError>,
}

impl Walk<'_, '_> {
    fn next(&mut self) -> Option<Place> {
        let placed = self.placed.pop();
        placed.or_else(|| Some(Place { tree: self.waiting.pop()?, known: Vec::new() }))
    }

    /// Meets a tree, and enters it later, once.
    fn plan(&mut self, tree: BlobId, known: Vec<BlobId>) -> Result<(), ReachError> {
        if known.contains(&tree) {
            return Ok(());
        }
        let number = self.repository.index()?.ordinal(BlobType::Tree, &tree);
        let number = number.map_err(RepoError::from)?;
        // What no index knows has no number: it is met, and nobody can enter it.
        if number.is_some_and(|number| !self.entered.insert(number)) {
            return Ok(());
        }
        if !(self.meet)(Met::Blob { kind: BlobType::Tree, id: tree })? || number.is_none() {
            return Ok(());
        }
        if !known.is_empty() && self.placed.len() < PLACED_MAX {
            self.placed.push(Place { tree, known });
        } else {
            self.waiting.push(tree);
        }
        Ok(())
    }

    fn enter(&mut self, place: &Place) -> Result<(), ReachError> {
        let tree = place.tree;
        let nodes = match self.reader.open(tree) {
            Ok(nodes) => nodes,
            Err(error) => return self.failed(tree, error),
        };
        // What is known at this place serves to know what need not be looked at; without it, all is.
        let known = place.known.iter().filter_map(|known| Beside::open(&mut self.reader, *known));
        let mut known: Vec<Beside> = known.collect();
        for node in nodes {
            let node = match node {
                Ok(node) => node,
                Err(error) => return self.failed(tree, error),
            };
            for &id in node.content.iter().flatten() {
                (self.meet)(Met::Blob { kind: BlobType::Data, id })?;
            }
            match node.subtree {
                Some(subtree) => {
                    let beside = known.iter_mut();
                    let beside = beside.filter_map(|beside| beside.subtree_of(&node.name));
                    self.plan(subtree, beside.collect())?;
                }
                None if node.kind == NodeKind::Directory => {
                    return Err(ReachError::NoSubtree { tree });
                }
                None => {}
            }
        }
        Ok(())
    }

    /// What it means that a tree could not be read to its end.
    fn failed(&mut self, tree: BlobId, error: TreeError) -> Result<(), ReachError> {
        match error {
            TreeError::Blob(BlobError::Cache(error)) => Err(RepoError::from(error).into()),
            TreeError::Blob(BlobError::Unreadable { ref source, .. }) if source.is_passing() => {
                Err(RepoError::from(ReadError::Tree { source: error }).into())
            }
            TreeError::Blob(_) => {
                (self.meet)(Met::Lost { tree })?;
                Ok(())
            }
            error @ (TreeError::Format { .. } | TreeError::TooManyNodes { .. }) => {
                Err(ReachError::NoTree(error))
            }
        }
    }
}

/// A known tree beside the one that is read, in the same order.
struct Beside {
    nodes: Nodes,
    next: Option<Node>,
}

impl Beside {
    /// `None` if it cannot be read, which says nothing about the other one.
    fn open(reader: &mut TreeReader<'_>, tree: BlobId) -> Option<Self> {
        let mut beside = Self { nodes: reader.open(tree).ok()?, next: None };
        beside.advance();
        Some(beside)
    }

    fn advance(&mut self) {
        self.next = self.nodes.next().and_then(Result::ok);
    }

    /// The subtree of the entry of this name. Names are asked for in the order of trees; of others,
    /// nothing is known.
    fn subtree_of(&mut self, name: &[u8]) -> Option<BlobId> {
        loop {
            let next = self.next.as_ref()?;
            match next.name[..].cmp(name) {
                Ordering::Less => self.advance(),
                Ordering::Equal => return next.subtree,
                Ordering::Greater => return None,
            }
        }
    }
}
