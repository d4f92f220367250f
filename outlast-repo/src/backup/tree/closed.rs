//! The trees of closed directories, as long as somebody may come back to them.
//!
//! A source that comes back finds a closed directory in the tree that was stored for it. As long as
//! that is on its way to the store, a copy of the blob is at hand; later, the oldest copies make
//! room and the tree is loaded as any reader of the repository would.

use std::collections::{HashMap, HashSet, VecDeque};

use outlast_format::compress::Decompressor;
use outlast_format::pack::BlobType;
use outlast_format::tree::Tree;
use outlast_format::{BlobId, FormatError};

use crate::backup::stop::Halt;
use crate::packer::SealedBlob;
use crate::{Index, RepoError, Repository, read};

/// Copies beyond these bytes go when the index has their trees. Those that it has not lie in packs
/// under way as well, which are bounded, too.
pub(super) const COPIES_BYTES_MAX: usize = 8 << 20;

/// Copies of the trees of closed directories, and which of those no entry described.
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

    /// Notes that no entry described the directory at `path`.
    pub(super) fn imply(&mut self, path: &[u8]) {
        self.implied.insert(path_hash(path));
    }

    /// Whether that was noted; it is forgotten.
    pub(super) fn take_implied(&mut self, path: &[u8]) -> bool {
        self.implied.remove(&path_hash(path))
    }

    /// The tree of a closed directory.
    pub(super) fn load(&self, repository: &Repository, tree: BlobId) -> Result<Tree, Halt> {
        let Some(copy) = self.copies.get(&tree) else {
            return Ok(read::load_tree(repository, tree)?);
        };
        let unpack = || -> Result<Tree, FormatError> {
            let mut document = repository.key().open(&copy.sealed)?;
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
