//! Hard links: further names of files that came earlier, wherever those are by now.

use outlast_format::tree::{Node, NodeKind};
use outlast_fs::EntryPath;

use super::assembler::Assembler;
use super::linked::Linked;
use super::open::{DirectoryNumber, Member, ROOT};
use crate::backup::node::number_linked;
use crate::backup::stop::Halt;

/// The most files that are remembered for their further names: 12 MiB, unless they are in very many
/// pieces. A source that never comes back to a directory bounds them itself, see
/// [`Walk`](outlast_fs::walk::Walk); for others this is a shortcut to what their directories tell.
const LINKED_MAX: usize = 16 << 10;

impl Assembler<'_> {
    /// Remembers the file at `path` for names that come later.
    pub(super) fn remember(&mut self, path: Vec<u8>, node: Node, missing: u64) {
        if self.closed.is_some() {
            if self.linked.len() >= LINKED_MAX {
                self.linked.clear();
            }
        } else if missing == 0 {
            return;
        }
        self.linked.insert(path, Linked { node, missing });
    }

    /// Gives the file at `target` the further name `path`, in an open directory.
    pub(super) fn hard_link(
        &mut self,
        directory: DirectoryNumber,
        path: &EntryPath,
        target: &EntryPath,
    ) -> Result<(), Halt> {
        let name = path.name().to_vec();
        let key = target.to_bytes();
        if let Some(linked) = self.linked.get_mut(&key) {
            linked.missing = linked.missing.saturating_sub(1);
            let done = linked.missing == 0 && self.closed.is_none();
            let node = Node { name: name.clone(), ..linked.node.clone() };
            if done {
                self.linked.remove(&key);
            }
            return self.put(directory, name, Member::Ready(Box::new(node)), path);
        }
        // The way to the target; what was closed is opened for a moment.
        let mut opened = Vec::new();
        let mut current = Some(ROOT);
        let names = target.names();
        for name in &names[..names.len() - 1] {
            let Some(number) = current else { break };
            self.at_hand(number, name)?;
            let known = self.directories.get(&number).and_then(|d| d.members.get(name));
            current = match known {
                Some(Member::Open(number)) => Some(*number),
                Some(_) => {
                    let number = self.open(number, name)?;
                    opened.extend(number);
                    number
                }
                None => None,
            };
        }
        if let Some(number) = current {
            self.at_hand(number, target.name())?;
        }
        let member = current.and_then(|number| self.directories.get_mut(&number));
        match member.and_then(|directory| directory.members.get_mut(target.name())) {
            Some(Member::Ready(node)) if node.kind != NodeKind::Directory => {
                number_linked(node, target);
                let node = (**node).clone();
                self.remember(key, node.clone(), node.links.saturating_sub(2));
                let node = Node { name: name.clone(), ..node };
                self.put(directory, name, Member::Ready(Box::new(node)), path)?;
            }
            Some(Member::Pending(file)) => {
                let file = *file;
                if let Some(pending) = self.files.get_mut(&file) {
                    number_linked(&mut pending.node, target);
                    pending.missing = pending.missing.saturating_sub(1);
                    pending.places.push((directory, name.clone()));
                }
                self.put(directory, name, Member::Pending(file), path)?;
            }
            _ => self.problem(format!(
                "{path} was left out: it is a hard link to {target}, which is not in the backup"
            )),
        }
        for directory in opened.into_iter().rev() {
            self.leave(directory)?;
        }
        Ok(())
    }
}
