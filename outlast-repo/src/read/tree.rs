//! Trees: loading them, walking below them, finding a path in them.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use outlast_format::pack::BlobType;
use outlast_format::tree::{Node, NodeKind, Tree};
use outlast_format::{BlobId, PackId};
use outlast_fs::entry::show;
use outlast_fs::{EntryPath, InvalidPath};
use outlast_store::Object;

use super::blob::{self, Located};
use super::copies::Copies;
use super::fetch::Fetcher;
use super::nodes::Nodes;
use crate::read_error::{BlobError, ReadError, TreeError};
use crate::{CacheError, Index, RepoError, Repository};

/// Trees lie side by side in packs; one read brings this much of a neighbourhood.
const SEGMENT_BYTES: u64 = 1 << 20;
/// How many such neighbourhoods are kept by a reader that works alone.
const SEGMENTS_ALONE: usize = 24;

/// Loads trees, with the neighbours of each at hand for the next.
pub(crate) struct TreeReader<'r> {
    repository: &'r Repository,
    index: &'r Index,
    fetcher: Fetcher<'r>,
    segments: VecDeque<(PackId, u64, Bytes)>,
    segments_max: usize,
    pack_sizes: HashMap<PackId, u64>,
}

impl<'r> TreeReader<'r> {
    pub(crate) fn new(repository: &'r Repository) -> Result<Self, RepoError> {
        Ok(Self::sharing(&Copies::new(repository)?, SEGMENTS_ALONE)?)
    }

    /// A reader that knows of copies what others know, and keeps at most `segments_max` MiB of
    /// neighbours: several of them work side by side.
    pub(crate) fn sharing(
        copies: &Arc<Copies<'r>>,
        segments_max: usize,
    ) -> Result<Self, ReadError> {
        Ok(Self {
            repository: copies.repository(),
            index: copies.index(),
            fetcher: Fetcher::new(copies)?,
            segments: VecDeque::new(),
            segments_max,
            pack_sizes: HashMap::new(),
        })
    }

    /// The entries of the directory that `tree` is, one by one.
    pub(crate) fn open(&mut self, tree: BlobId) -> Result<Nodes, TreeError> {
        let located = blob::locate(self.index, tree, BlobType::Tree)?;
        let sealed = self.neighbourhood(&located);
        Nodes::new(tree, self.fetcher.document(&located, sealed)?)
    }

    /// The whole directory that `tree` is.
    pub(crate) fn load(&mut self, tree: BlobId) -> Result<Tree, TreeError> {
        Ok(Tree { nodes: self.open(tree)?.collect::<Result<_, _>>()? })
    }

    /// The bytes at `located`, from a part of the pack that is kept or from one that is
    /// read now; `None` when that cannot be had, in which case the blob by itself may still be.
    fn neighbourhood(&mut self, located: &Located) -> Option<Bytes> {
        let within = |start: u64, bytes: &Bytes| {
            let from = usize::try_from(located.start().checked_sub(start)?).ok()?;
            let to = from.checked_add(located.entry.length as usize)?;
            (to <= bytes.len()).then(|| bytes.slice(from..to))
        };
        let kept = self.segments.iter().filter(|(pack, ..)| *pack == located.pack);
        if let Some(sealed) = kept.filter_map(|(_, start, bytes)| within(*start, bytes)).next() {
            return Some(sealed);
        }
        // A large one has no room for neighbours, and is not kept beside those of others.
        if u64::from(located.entry.length) > SEGMENT_BYTES {
            return None;
        }
        let start = located.start() / SEGMENT_BYTES * SEGMENT_BYTES;
        let end = located.end().max(start + SEGMENT_BYTES).min(self.pack_size(located.pack)?);
        let length = usize::try_from(end.checked_sub(start)?).ok()?;
        if located.end() > end {
            return None;
        }
        let store = self.repository.store();
        let bytes = store.read_range(&Object::Data(located.pack), start, length).ok()?;
        let sealed = within(start, &bytes);
        if self.segments.len() >= self.segments_max {
            self.segments.pop_front();
        }
        self.segments.push_back((located.pack, start, bytes));
        sealed
    }

    fn pack_size(&mut self, pack: PackId) -> Option<u64> {
        if let Some(&size) = self.pack_sizes.get(&pack) {
            return Some(size);
        }
        let size = self.repository.store().size(&Object::Data(pack)).ok()?;
        self.pack_sizes.insert(pack, size);
        Some(size)
    }
}

/// An entry that a walk came to.
#[derive(Debug)]
pub struct Found {
    /// From the top of the walk; every name in it is safe to join to a directory.
    pub path: EntryPath,
    pub node: Node,
}

/// Why a walk could not come to some entries; it goes on with the others.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WalkError {
    #[error("/{directory} and everything in it cannot be read: {source}")]
    Directory { directory: String, tree: BlobId, source: Box<TreeError> },
    #[error("entries of /{directory} cannot be read: {source}")]
    Entries { directory: String, source: Box<TreeError> },
    #[error("an entry of /{directory} is refused: {source}")]
    Name { directory: String, source: InvalidPath },
    #[error("/{path} is there twice; the second is refused")]
    Twice { path: EntryPath },
    #[error("/{path} is a directory without content: its tree is not named")]
    NoTree { path: EntryPath },
}

impl WalkError {
    /// The failure to look anything up, if that is what it is: it says nothing about the snapshot,
    /// and the walk is not worth going on.
    pub(crate) fn cache_failure(&self) -> Option<&CacheError> {
        match self {
            Self::Directory { source, .. } => match &**source {
                TreeError::Blob(BlobError::Cache(error)) => Some(error),
                _ => None,
            },
            _ => None,
        }
    }
}

/// Everything below a tree, depth first: a directory comes before what is in it, names in the
/// order of the tree. Memory is bounded by the trees on the way down, each packed if it is large,
/// of which a path's length allows about 2000.
///
/// The trees come from a repository, which may be hostile: names that could leave a directory and
/// names that come twice are refused, each with an error that names them, and the walk goes on.
pub struct TreeWalk<'r> {
    reader: TreeReader<'r>,
    levels: Vec<Level>,
    /// The directory that comes next, unless the caller skips it.
    ahead: Option<(Option<EntryPath>, BlobId)>,
}

impl<'r> TreeWalk<'r> {
    /// A walk over everything below `tree`, which itself is not an entry.
    pub fn new(repository: &'r Repository, tree: BlobId) -> Result<Self, RepoError> {
        let reader = TreeReader::new(repository)?;
        Ok(Self { reader, levels: Vec::new(), ahead: Some((None, tree)) })
    }

    /// Does not go into the directory that came last. Returns the tree that is skipped, if the
    /// last entry was a directory.
    pub fn skip_directory(&mut self) -> Option<BlobId> {
        self.ahead.take().map(|(_, tree)| tree)
    }

    fn enter(&mut self, path: Option<EntryPath>, tree: BlobId) -> Result<(), WalkError> {
        self.levels.push(Level::open(&mut self.reader, path, tree)?);
        Ok(())
    }
}

impl Iterator for TreeWalk<'_> {
    type Item = Result<Found, WalkError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some((path, tree)) = self.ahead.take()
            && let Err(error) = self.enter(path, tree)
        {
            return Some(Err(error));
        }
        loop {
            let Some(step) = self.levels.last_mut()?.next() else {
                self.levels.pop();
                continue;
            };
            if let Ok(found) = &step
                && found.node.kind == NodeKind::Directory
            {
                self.ahead = found.node.subtree.map(|tree| (Some(found.path.clone()), tree));
            }
            return Some(step);
        }
    }
}

/// The entries of one directory. A directory among them has a subtree.
pub(crate) struct Level {
    path: Option<EntryPath>,
    nodes: Nodes,
    last: Vec<u8>,
    /// Names so far, if the tree is not sorted as it should be: those may come twice.
    seen: Option<HashSet<Vec<u8>>>,
}

impl Level {
    /// The directory at `path`, which is `tree`.
    pub(crate) fn open(
        reader: &mut TreeReader<'_>,
        path: Option<EntryPath>,
        tree: BlobId,
    ) -> Result<Self, WalkError> {
        let nodes = reader.open(tree).map_err(|source| WalkError::Directory {
            directory: shown(path.as_ref()),
            tree,
            source: Box::new(source),
        })?;
        Ok(Self { path, nodes, last: Vec::new(), seen: None })
    }

    /// Whether an entry of that name came before. In a tree that is sorted none can have.
    fn is_twice(&mut self, name: &[u8]) -> bool {
        if self.seen.is_none() && self.last[..] < *name {
            self.last.clear();
            self.last.extend_from_slice(name);
            return false;
        }
        if self.seen.is_none() {
            let before = self.nodes.taken() - 1;
            let earlier = self.nodes.afresh().into_iter().flatten().take(before);
            self.seen = Some(earlier.filter_map(|node| Some(node.ok()?.name)).collect());
        }
        self.seen.as_mut().is_some_and(|seen| !seen.insert(name.to_vec()))
    }

    fn take(&mut self, node: Node) -> Result<Found, WalkError> {
        let path = match &self.path {
            None => EntryPath::from_names(vec![node.name.clone()]),
            Some(directory) => directory.join(&node.name),
        }
        .map_err(|source| WalkError::Name { directory: shown(self.path.as_ref()), source })?;
        if self.is_twice(&node.name) {
            return Err(WalkError::Twice { path });
        }
        if node.kind == NodeKind::Directory && node.subtree.is_none() {
            return Err(WalkError::NoTree { path });
        }
        Ok(Found { path, node })
    }
}

impl Iterator for Level {
    type Item = Result<Found, WalkError>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(match self.nodes.next()? {
            Ok(node) => self.take(node),
            Err(source) => {
                let (directory, source) = (shown(self.path.as_ref()), Box::new(source));
                Err(WalkError::Entries { directory, source })
            }
        })
    }
}

fn shown(path: Option<&EntryPath>) -> String {
    path.map_or_else(String::new, ToString::to_string)
}

/// Shows every entry below `tree` to `visit`, in the order of [`TreeWalk`]; what cannot be read
/// comes as an error between the others.
pub fn ls(
    repository: &Repository,
    tree: BlobId,
    mut visit: impl FnMut(Result<Found, WalkError>),
) -> Result<(), RepoError> {
    TreeWalk::new(repository, tree)?.for_each(&mut visit);
    Ok(())
}

/// One directory, loaded and verified.
pub fn load_tree(repository: &Repository, tree: BlobId) -> Result<Tree, RepoError> {
    TreeReader::new(repository)?.load(tree).map_err(|source| ReadError::Tree { source }.into())
}

/// The entry at `path` below `tree`.
pub fn find(repository: &Repository, tree: BlobId, path: &EntryPath) -> Result<Node, RepoError> {
    let mut reader = TreeReader::new(repository)?;
    let mut tree = tree;
    let mut names = path.names().iter().peekable();
    while let Some(name) = names.next() {
        let failed = |source| ReadError::Tree { source };
        let mut found = None;
        for node in reader.open(tree).map_err(failed)? {
            let node = node.map_err(failed)?;
            if node.name == *name {
                found = Some(node);
                break;
            }
        }
        let Some(node) = found else {
            return Err(ReadError::NoSuchPath { path: path.clone(), missing: show(name) }.into());
        };
        if names.peek().is_none() {
            return Ok(node);
        }
        tree = match (node.kind, node.subtree) {
            (NodeKind::Directory, Some(subtree)) => subtree,
            _ => {
                let name = show(name);
                return Err(ReadError::NotADirectory { path: path.clone(), name }.into());
            }
        };
    }
    // A path has at least one name, so the loop has answered.
    Err(ReadError::NoSuchPath { path: path.clone(), missing: String::new() }.into())
}
