//! Long directories: members that are ready are written before their directory is closed, so that
//! memory does not follow the number of files in one directory.
//!
//! A source that gives names in their order never asks for a written member again. For one that does,
//! what was written is read back, and stays.

use outlast_format::BlobId;
use outlast_format::crypto::NONCE_LENGTH;
use outlast_format::go::GoTime;
use outlast_format::pack::BlobType;
use outlast_format::tree::{Node, TreeWriter};

use super::{Assembler, DirectoryNumber, Member};
use crate::RepoError;
use crate::backup::node::newest;
use crate::backup::stop::Halt;
use crate::packer::SealedBlob;

/// Members of one directory from which on those that are ready are written. Shorter documents are
/// compressed only if the tree is new.
const MEMBERS_MAX: usize = 2048;

/// The first members of a directory, written.
#[derive(Debug)]
pub(super) struct Written {
    tree: TreeWriter,
    /// The last name.
    last: Vec<u8>,
    pub(super) newest: Option<GoTime>,
}

impl From<outlast_format::FormatError> for Halt {
    fn from(source: outlast_format::FormatError) -> Self {
        RepoError::Encode { what: "tree of a long directory", source }.into()
    }
}

impl Assembler<'_> {
    /// Writes the first members of a directory, if it has many.
    pub(super) fn write_early(&mut self, number: DirectoryNumber) -> Result<(), Halt> {
        let level = self.sealer.tree_level();
        let Some(directory) = self.directories.get_mut(&number) else { return Ok(()) };
        if directory.members.len() < MEMBERS_MAX || directory.comes_back {
            return Ok(());
        }
        while let Some(first) = directory.members.first_entry() {
            if !matches!(first.get(), Member::Ready(_)) {
                break;
            }
            let (name, Member::Ready(node)) = first.remove_entry() else { break };
            let written = match &mut directory.written {
                Some(written) => written,
                empty => {
                    let tree = TreeWriter::new(level, NONCE_LENGTH)?;
                    empty.insert(Box::new(Written { tree, last: Vec::new(), newest: None }))
                }
            };
            written.push(&node, name)?;
        }
        Ok(())
    }

    /// Makes sure that the member `name` of a directory is in memory, if there is one.
    pub(super) fn at_hand(&mut self, number: DirectoryNumber, name: &[u8]) -> Result<(), Halt> {
        let Some(directory) = self.directories.get_mut(&number) else { return Ok(()) };
        if directory.written.as_ref().is_none_or(|written| &written.last[..] < name) {
            return Ok(());
        }
        directory.comes_back = true;
        let Some(written) = directory.written.take() else { return Ok(()) };
        for node in written.tree.into_nodes()? {
            directory.members.insert(node.name.clone(), Member::Ready(Box::new(node)));
        }
        Ok(())
    }

    /// Ends a tree of which a part was written, and stores it.
    pub(super) fn store_written(
        &mut self,
        mut written: Box<Written>,
        rest: &[Node],
    ) -> Result<BlobId, Halt> {
        for node in rest {
            written.tree.push(node)?;
        }
        let mut tree = written.tree.finish()?;
        let (kind, id) = (BlobType::Tree, tree.id);
        if !self.context.recognizer.claim(kind, id)? {
            return Ok(id);
        }
        self.context.repository.key().seal_tail(&mut tree.bytes, 0, self.context.random);
        self.context.counters.added(kind, tree.length as usize, tree.bytes.len());
        let uncompressed_length = tree.is_compressed.then_some(tree.length);
        if let Some(closed) = &mut self.closed {
            let blob = SealedBlob { kind, id, bytes: &tree.bytes, uncompressed_length };
            closed.keep(&blob, self.context.index)?;
        }
        self.packing.add_owned(self.context, kind, id, tree.bytes, uncompressed_length)?;
        Ok(id)
    }
}

impl Written {
    fn push(&mut self, node: &Node, name: Vec<u8>) -> Result<(), Halt> {
        self.tree.push(node)?;
        self.last = name;
        self.newest = newest([node].into_iter())
            .into_iter()
            .chain(self.newest)
            .max_by_key(|time| (time.seconds, time.nanos));
        Ok(())
    }
}
