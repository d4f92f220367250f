//! Hard links: further names of files that came earlier, wherever those are by now.

use outlast_format::tree::{Node, NodeKind};
use outlast_fs::EntryPath;

use super::{Assembler, DirectoryNumber, Member, ROOT};
use crate::backup::node::mark_linked;
use crate::backup::stop::Halt;

impl Assembler<'_> {
    /// Gives the file at `target` the further name `path`, in an open directory.
    pub(super) fn hard_link(
        &mut self,
        directory: DirectoryNumber,
        path: &EntryPath,
        target: &EntryPath,
    ) -> Result<(), Halt> {
        let name = path.name().to_vec();
        if let Some(node) = self.linked.get(&target.to_bytes()) {
            let node = Node { name: name.clone(), ..node.clone() };
            return self.put(directory, name, Member::Ready(Box::new(node)), path);
        }
        // The way to the target; what was closed is opened for a moment.
        let mut opened = Vec::new();
        let mut current = Some(ROOT);
        let names = target.names();
        for name in &names[..names.len() - 1] {
            let Some(number) = current else { break };
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
        let member = current.and_then(|number| self.directories.get_mut(&number));
        match member.and_then(|directory| directory.members.get_mut(target.name())) {
            Some(Member::Ready(node)) if node.kind != NodeKind::Directory => {
                mark_linked(node, target);
                let node = (**node).clone();
                self.linked.insert(target.to_bytes(), node.clone());
                let node = Node { name: name.clone(), ..node };
                self.put(directory, name, Member::Ready(Box::new(node)), path)?;
            }
            Some(Member::Pending(file)) => {
                let file = *file;
                if let Some(pending) = self.files.get_mut(&file) {
                    mark_linked(&mut pending.node, target);
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
