//! Long directories: members that are ready are written before their directory is closed, so that
//! memory does not follow the number of files in one directory.
//!
//! A source that gives names in their order never asks for a written member again. For one that does,
//! what was written is read back, and stays.

use outlast_format::FormatError;
use outlast_format::go::GoTime;
use outlast_format::tree::{Node, TreeWriter, WrittenTree};

use crate::RepoError;
use crate::backup::node::newest;
use crate::backup::stop::Halt;

/// The first members of a directory, written.
#[derive(Debug)]
pub(super) struct Written {
    tree: TreeWriter,
    /// The last name.
    last: Vec<u8>,
    pub(super) newest: Option<GoTime>,
}

impl From<FormatError> for Halt {
    fn from(source: FormatError) -> Self {
        RepoError::Encode { what: "tree of a long directory", source }.into()
    }
}

impl Written {
    /// Nothing yet, with `room` before the content of the tree; compressed at this level, if at all.
    pub(super) fn begin(level: Option<i32>, room: usize) -> Result<Self, FormatError> {
        let tree = TreeWriter::new(level, room)?;
        Ok(Self { tree, last: Vec::new(), newest: None })
    }

    /// Whether a member of this name may have been written: names come in their order.
    pub(super) fn may_have(&self, name: &[u8]) -> bool {
        self.last.as_slice() >= name
    }

    /// Gives the members back.
    pub(super) fn into_nodes(self) -> Result<Vec<Node>, FormatError> {
        self.tree.into_nodes()
    }

    /// The whole tree, with the `rest` of the members.
    pub(super) fn finish(mut self, rest: &[Node]) -> Result<WrittenTree, FormatError> {
        for node in rest {
            self.tree.push(node)?;
        }
        self.tree.finish()
    }

    pub(super) fn push(&mut self, node: &Node, name: Vec<u8>) -> Result<(), Halt> {
        self.tree.push(node)?;
        self.last = name;
        self.newest = newest([node].into_iter())
            .into_iter()
            .chain(self.newest)
            .max_by_key(|time| (time.seconds, time.nanos));
        Ok(())
    }
}
