//! The nodes of one tree, read from memory that holds it packed if it is large.

use bytes::Bytes;
use outlast_format::tree::{Node, NodeReader};
use outlast_format::{BlobId, FormatError};

use crate::read_error::TreeError;

/// The most entries that one directory may have.
const NODES_MAX: usize = 4 << 20;

/// A tree that was verified. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) enum Document {
    Plain(Bytes),
    /// As it is stored. A directory of a million files has hundreds of MiB of text, and a tenth of
    /// that packed.
    Packed(Bytes),
}

impl Document {
    fn nodes(&self) -> Result<NodeReader, FormatError> {
        match self {
            Self::Plain(text) => Ok(NodeReader::plain(text.clone())),
            Self::Packed(packed) => NodeReader::packed(std::io::Cursor::new(packed.clone())),
        }
    }
}

/// The nodes of a tree, in its order. What is wrong with one is an error in its place.
pub(crate) struct Nodes {
    tree: BlobId,
    document: Document,
    reader: NodeReader,
    count: usize,
}

impl Nodes {
    pub(crate) fn new(tree: BlobId, document: Document) -> Result<Self, TreeError> {
        let reader = document.nodes().map_err(|source| TreeError::Format { tree, source })?;
        Ok(Self { tree, document, reader, count: 0 })
    }

    /// The same from the beginning.
    pub(crate) fn afresh(&self) -> Result<Self, TreeError> {
        Self::new(self.tree, self.document.clone())
    }

    /// How many have come.
    pub(crate) fn taken(&self) -> usize {
        self.count
    }
}

impl Iterator for Nodes {
    type Item = Result<Node, TreeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.count > NODES_MAX {
            return None;
        }
        let read = self.reader.next()?;
        self.count += 1;
        if self.count > NODES_MAX {
            return Some(Err(TreeError::TooManyNodes { tree: self.tree, limit: NODES_MAX }));
        }
        Some(read.map_err(|source| TreeError::Format { tree: self.tree, source }))
    }
}
