//! What is kept of a directory whose document was written.

use outlast_format::compress::{Compressor, Decompressor};
use outlast_format::tree::Tree;

use crate::RepoError;
use crate::backup::stop::Halt;

/// Levels beyond the first save little on text that is half hashes.
const LEVEL: i32 = 1;

/// A compressed copy of a tree.
#[derive(Debug)]
pub(super) struct Closed {
    /// Whether no entry described the directory.
    pub(super) implied: bool,
    document: Vec<u8>,
    document_length: usize,
}

impl Closed {
    pub(super) fn pack(document: &[u8], implied: bool) -> Result<Self, Halt> {
        let failed = |source| RepoError::Encode { what: "copy of a tree", source };
        let mut packed = Vec::new();
        Compressor::new(LEVEL)
            .and_then(|mut compressor| compressor.compress_onto(document, &mut packed))
            .map_err(failed)?;
        packed.shrink_to_fit();
        Ok(Self { implied, document: packed, document_length: document.len() })
    }

    pub(super) fn unpack(&self) -> Result<Tree, Halt> {
        let mut document = Vec::new();
        let tree = Decompressor::new()
            .and_then(|mut decompressor| {
                let length = self.document_length;
                decompressor.decompress_onto(&self.document, length, &mut document)
            })
            .and_then(|()| Tree::parse(&document));
        tree.map_err(|source| RepoError::Encode { what: "tree from its copy", source }.into())
    }
}
