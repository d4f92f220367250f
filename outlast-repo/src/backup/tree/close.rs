//! Closing directories, and opening again what was closed.

use std::collections::BTreeMap;

use outlast_format::BlobId;
use outlast_format::tree::{Node, Tree};

use super::assembler::Assembler;
use super::open::{Directory, DirectoryNumber, Member, ROOT};
use crate::backup::node::{implied_directory, newest};
use crate::backup::stop::Halt;
use crate::read;

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
                (closed.take_implied(path), closed.load(self.context.repository, tree)?)
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
                Some(written) => self.store_written(*written, &nodes)?,
            };
            if number == ROOT {
                self.assembled.root = Some(tree);
                return Ok(());
            }
            if let Some(closed) = self.closed.as_mut().filter(|_| implied) {
                closed.imply(&path);
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
}
