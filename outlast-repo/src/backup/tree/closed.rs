//! Closing directories, and opening again what was closed.
//!
//! A source that comes back finds a closed directory in the tree that was stored for it. As long as
//! that is on its way to the store, a copy of the blob is at hand; later, the oldest copies make
//! room and the tree is loaded as any reader of the repository would.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use outlast_format::compress::Decompressor;
use outlast_format::pack::BlobType;
use outlast_format::tree::{Node, Tree};
use outlast_format::{BlobId, FormatError, Sha256Id};

use super::{Assembler, Directory, DirectoryNumber, Member, ROOT};
use crate::backup::Context;
use crate::backup::node::{implied_directory, newest};
use crate::backup::stop::Halt;
use crate::packer::SealedBlob;
use crate::{Index, RepoError, read};

/// Copies beyond these bytes go when the index has their trees. Those that it has not lie in packs
/// under way as well, which are bounded, too.
pub(super) const COPIES_BYTES_MAX: usize = 8 << 20;

/// What is known of closed directories beside their trees.
#[derive(Debug, Default)]
pub(super) struct ClosedTrees {
    copies: HashMap<BlobId, Copy>,
    /// Oldest first, which is the order in which packs come into the index.
    order: VecDeque<BlobId>,
    bytes: usize,
    /// Hashes of the paths of directories that no entry described.
    implied: HashSet<[u8; 16]>,
}

/// A sealed tree, as it lies in its pack.
#[derive(Debug)]
struct Copy {
    sealed: Vec<u8>,
    uncompressed_length: Option<u32>,
}

impl ClosedTrees {
    pub(super) fn keep(&mut self, blob: &SealedBlob, index: &Index) -> Result<(), RepoError> {
        self.bytes += blob.bytes.len();
        self.order.push_back(blob.id);
        let (sealed, uncompressed_length) = (blob.bytes.to_vec(), blob.uncompressed_length);
        self.copies.insert(blob.id, Copy { sealed, uncompressed_length });
        while self.bytes > COPIES_BYTES_MAX {
            let Some(oldest) = self.order.front() else { break };
            if !index.has(BlobType::Tree, oldest)? {
                break;
            }
            if let Some(copy) = self.copies.remove(oldest) {
                self.bytes -= copy.sealed.len();
            }
            self.order.pop_front();
        }
        Ok(())
    }

    fn load(&self, context: &Context<'_>, tree: BlobId) -> Result<Tree, Halt> {
        let Some(copy) = self.copies.get(&tree) else {
            return Ok(read::load_tree(context.repository, tree)?);
        };
        let unpack = || -> Result<Tree, FormatError> {
            let mut document = context.repository.key().open(&copy.sealed)?;
            if let Some(length) = copy.uncompressed_length {
                let packed = std::mem::take(&mut document);
                Decompressor::new()?.decompress_onto(&packed, length as usize, &mut document)?;
            }
            Tree::parse(&document)
        };
        unpack().map_err(|source| RepoError::Encode { what: "tree from its copy", source }.into())
    }
}

fn path_hash(path: &[u8]) -> [u8; 16] {
    let mut hash = [0; 16];
    hash.copy_from_slice(&blake3::hash(path).as_bytes()[..16]);
    hash
}

impl Assembler<'_> {
    /// The members of a closed directory, and whether no entry described it.
    pub(super) fn reopen(
        &mut self,
        path: &[u8],
        tree: Option<BlobId>,
    ) -> Result<(bool, BTreeMap<Vec<u8>, Member>), Halt> {
        let Some(tree) = tree else { return Ok((false, BTreeMap::new())) };
        let (implied, tree) = match &mut self.closed {
            Some(closed) => {
                (closed.implied.remove(&path_hash(path)), closed.load(self.context, tree)?)
            }
            // Against its word; no harm, if the tree is in the store already.
            None => (false, read::load_tree(self.context.repository, tree)?),
        };
        let members = tree.nodes.into_iter();
        let members =
            members.map(|node| (node.name.clone(), Member::Ready(Box::new(node)))).collect();
        Ok((implied, members))
    }

    pub(super) fn leave(&mut self, number: DirectoryNumber) -> Result<(), Halt> {
        if let Some(directory) = self.directories.get_mut(&number) {
            directory.left = true;
        }
        self.settle(number)
    }

    /// Closes the directory, and those above it, if nothing is to come any more.
    pub(super) fn settle(&mut self, mut number: DirectoryNumber) -> Result<(), Halt> {
        let done = |directory: &Directory| directory.left && directory.waiting == 0;
        while self.directories.get(&number).is_some_and(done) {
            let path = self.path_of(number);
            let Some(directory) = self.directories.remove(&number) else { break };
            let nodes: Vec<Node> = directory
                .members
                .into_values()
                .filter_map(|member| match member {
                    Member::Ready(node) => Some(*node),
                    // Nothing waits, so there are none.
                    Member::Pending(_) | Member::Open(_) => None,
                })
                .collect();
            let implied = directory.node.is_none();
            let identity = self.context.owner;
            let written = directory.written;
            let mut node = directory.node.unwrap_or_else(|| {
                let times = newest(nodes.iter()).into_iter();
                let times = times.chain(written.as_ref().and_then(|written| written.newest));
                let newest = times.max_by_key(|time| (time.seconds, time.nanos));
                implied_directory(directory.name.clone(), identity.0, identity.1, newest)
            });
            let tree = match written {
                None => self.store(&Tree { nodes }.serialize())?,
                Some(written) => self.store_written(written, &nodes)?,
            };
            if number == ROOT {
                self.assembled.root = Some(tree);
                return Ok(());
            }
            if let Some(closed) = self.closed.as_mut().filter(|_| implied) {
                closed.implied.insert(path_hash(&path));
            }
            node.subtree = Some(tree);
            let parent = directory.parent;
            if let Some(parent) = self.directories.get_mut(&parent) {
                parent.members.insert(directory.name, Member::Ready(Box::new(node)));
                parent.waiting -= 1;
            }
            self.write_early(parent)?;
            number = parent;
        }
        Ok(())
    }

    fn store(&mut self, document: &[u8]) -> Result<BlobId, Halt> {
        let id = BlobId::of(document);
        if self.context.recognizer.claim(BlobType::Tree, id)? {
            let blob = self.sealer.seal(BlobType::Tree, id, document)?;
            if let Some(closed) = &mut self.closed {
                closed.keep(&blob, self.context.index)?;
            }
            self.packing.add(self.context, &blob)?;
        }
        Ok(id)
    }
}
