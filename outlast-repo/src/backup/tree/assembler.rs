//! The trees under way: what of them is in memory, what is written, and where they go.

use std::collections::HashMap;

use outlast_format::crypto::NONCE_LENGTH;
use outlast_format::pack::BlobType;
use outlast_format::tree::Node;
use outlast_format::{BlobId, Sha256Id};

use super::closed::ClosedTrees;
use super::linked::Linked;
use super::open::{Directory, DirectoryNumber, Member, PendingFile, ROOT};
use super::written::Written;
use crate::backup::block::FileNumber;
use crate::backup::context::Context;
use crate::backup::engine::Bench;
use crate::backup::packing::Packing;
use crate::backup::sealer::Sealer;
use crate::backup::stop::Halt;
use crate::packer::SealedBlob;

/// The most problems that are kept as text; the rest is counted.
const PROBLEMS_MAX: usize = 1000;
/// Members of one directory from which on those that are ready are written. Shorter documents are
/// compressed only if the tree is new.
const MEMBERS_MAX: usize = 2048;

/// The result of the assembler.
#[derive(Debug, Default)]
pub(in crate::backup) struct Assembled {
    pub(in crate::backup) root: Option<BlobId>,
    pub(in crate::backup) files: u64,
    pub(in crate::backup) directories: u64,
    /// Bytes of all files.
    pub(in crate::backup) bytes: u64,
    pub(in crate::backup) problems: Vec<String>,
    /// All, also those that are not kept as text.
    pub(in crate::backup) problem_count: u64,
}

pub(in crate::backup) struct Assembler<'a> {
    pub(super) context: &'a Context<'a>,
    pub(super) packing: &'a Packing,
    pub(super) sealer: Sealer<'a>,
    /// Its own: trees are small, and most of the assembler's work is another.
    bench: Bench,
    pub(super) directories: HashMap<DirectoryNumber, Directory>,
    pub(super) next: DirectoryNumber,
    /// The open directories that the source is in, from the root down.
    pub(super) stack: Vec<DirectoryNumber>,
    pub(super) files: HashMap<FileNumber, PendingFile>,
    /// `None` if the source never comes back to a directory that it left.
    pub(super) closed: Option<ClosedTrees>,
    /// Files known to have several names, by the path that links name.
    pub(super) linked: HashMap<Vec<u8>, Linked>,
    pub(super) assembled: Assembled,
}

impl<'a> Assembler<'a> {
    /// An assembler for a source that `comes_back` to directories which it left, or does not.
    pub(in crate::backup) fn new(
        context: &'a Context<'a>,
        packing: &'a Packing,
        comes_back: bool,
    ) -> Self {
        Self {
            context,
            packing,
            sealer: Sealer::new(context),
            bench: Bench::default(),
            directories: HashMap::from([(ROOT, Directory::default())]),
            next: ROOT + 1,
            stack: vec![ROOT],
            files: HashMap::new(),
            closed: comes_back.then(ClosedTrees::default),
            linked: HashMap::new(),
            assembled: Assembled::default(),
        }
    }

    pub(super) fn problem(&mut self, problem: String) {
        self.context.monitor.problem(&problem);
        self.assembled.problem_count += 1;
        if self.assembled.problems.len() < PROBLEMS_MAX {
            self.assembled.problems.push(problem);
        }
    }

    /// Names from the root down, each followed by `/`.
    pub(super) fn path_of(&self, mut number: DirectoryNumber) -> Vec<u8> {
        let mut names = Vec::new();
        while let Some(directory) = self.directories.get(&number).filter(|_| number != ROOT) {
            names.push(&directory.name);
            number = directory.parent;
        }
        names.iter().rev().flat_map(|name| name.iter().copied().chain([b'/'])).collect()
    }

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
                empty => empty.insert(Box::new(Written::begin(level, NONCE_LENGTH)?)),
            };
            written.push(&node, name)?;
        }
        Ok(())
    }

    /// Makes sure that the member `name` of a directory is in memory, if there is one.
    pub(super) fn at_hand(&mut self, number: DirectoryNumber, name: &[u8]) -> Result<(), Halt> {
        let Some(directory) = self.directories.get_mut(&number) else { return Ok(()) };
        if directory.written.as_ref().is_none_or(|written| !written.may_have(name)) {
            return Ok(());
        }
        directory.comes_back = true;
        let Some(written) = directory.written.take() else { return Ok(()) };
        for node in written.into_nodes()? {
            directory.members.insert(node.name.clone(), Member::Ready(Box::new(node)));
        }
        Ok(())
    }

    /// Ends a tree of which a part was written, and stores it.
    pub(super) fn store_written(
        &mut self,
        written: Written,
        rest: &[Node],
    ) -> Result<BlobId, Halt> {
        let mut tree = written.finish(rest)?;
        let (kind, id) = (BlobType::Tree, tree.id);
        if !self.context.known_blobs.claim(kind, id)? {
            return Ok(id);
        }
        self.context.repository.key().seal_tail(&mut tree.bytes, 0, self.context.random);
        self.context.counters.added(kind, tree.length as usize, tree.bytes.len());
        let uncompressed_length = tree.is_compressed.then_some(tree.length);
        if let Some(closed) = &mut self.closed {
            let blob = SealedBlob { kind, id, bytes: &tree.bytes, uncompressed_length };
            closed.keep(&blob, self.context.index)?;
        }
        self.packing.add_tree(self.context, id, tree.bytes, uncompressed_length)?;
        Ok(id)
    }

    /// Stores a tree, if it is new.
    pub(super) fn store(&mut self, document: &[u8]) -> Result<BlobId, Halt> {
        let id = BlobId::of(document);
        if self.context.known_blobs.claim(BlobType::Tree, id)? {
            let room = self.packing.room(self.context, document.len())?;
            let blob = self.sealer.seal(&mut self.bench, BlobType::Tree, id, document)?;
            if let Some(closed) = &mut self.closed {
                closed.keep(&blob, self.context.index)?;
            }
            self.packing.add(self.context, &blob, room)?;
        }
        Ok(id)
    }
}
