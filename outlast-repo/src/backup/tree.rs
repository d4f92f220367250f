//! The assembler: builds trees bottom-up from entries in any order and chunks in any order.
//!
//! A directory is *open* while entries may come for it and its files are still being stored. When
//! the source has gone elsewhere and everything in it is known, it is *closed*: its document is
//! written and only its node is left. Sources that come back to a closed directory (tar files that
//! were appended to, hard links) open it again, from the tree that was stored ([`closed`]).
//!
//! **Memory**, whatever the number of files: the open directories with about 700 bytes for each of
//! their members, up to a few thousand of them, and the compressed form of what was [`written`] before
//! that (all of them, if a source comes back to a long directory in another order); up to [`closed::COPIES_BYTES_MAX`] and the trees under way of closed ones for
//! sources that may come back, and the files whose further names are still to come, of which
//! [`links`] keeps a bounded number.

mod assembler;
mod close;
mod closed;
mod linked;
mod links;
mod open;
mod written;

use crossbeam_channel::Receiver;
use outlast_format::BlobId;
use outlast_format::tree::{Node, NodeKind};
use outlast_fs::{Entry, EntryPath, Kind};

pub(super) use self::assembler::{Assembled, Assembler};

use self::open::{Directory, DirectoryNumber, Member, PendingFile, ROOT};
use super::block::{Event, FileNumber, IdentifiedChunk, ReadEvent};
use super::node::{node_of, number_linked};
use super::stop::Halt;

impl Assembler<'_> {
    /// Takes events until all who send them are done, then closes the root.
    pub(super) fn run(mut self, events: &Receiver<Event>) -> Result<Assembled, Halt> {
        while let Some(event) = self.context.stop.receive(events)? {
            match event {
                Event::Read(events) => {
                    for event in events {
                        self.hear(event)?;
                    }
                }
                Event::Chunks(chunks) => {
                    for chunk in chunks {
                        self.chunk(chunk)?;
                    }
                }
            }
        }
        while let Some(directory) = self.stack.pop() {
            self.leave(directory)?;
        }
        Ok(self.assembled)
    }

    fn hear(&mut self, event: ReadEvent) -> Result<(), Halt> {
        match event {
            ReadEvent::Entry { entry, file } => self.entry(*entry, file),
            ReadEvent::FileEnd { file, size } => {
                if let Some(pending) = self.files.get_mut(&file) {
                    pending.size = Some(size);
                }
                self.complete(file)
            }
            ReadEvent::FileFailed { file, reason } => self.fail_file(file, reason),
            ReadEvent::Problem(problem) => {
                self.problem(problem);
                Ok(())
            }
        }
    }

    // ----- entries

    fn entry(&mut self, entry: Entry, file: Option<FileNumber>) -> Result<(), Halt> {
        let Entry { path, kind, metadata } = entry;
        match kind {
            Kind::Directory => {
                let Some(directory) = self.enter(path.names(), &path)? else { return Ok(()) };
                let node = node_of(path.name().to_vec(), kind, metadata);
                if let Some(directory) = self.directories.get_mut(&directory) {
                    directory.node = node;
                }
                Ok(())
            }
            Kind::HardLink { target } if target == path => {
                self.problem(format!("{path} was left out: it is a hard link to itself"));
                Ok(())
            }
            Kind::HardLink { target } => {
                let Some(directory) = self.enter_parent(&path)? else { return Ok(()) };
                self.hard_link(directory, &path, &target)
            }
            _ => {
                let Some(directory) = self.enter_parent(&path)? else { return Ok(()) };
                let name = path.name().to_vec();
                let links = metadata.links;
                let Some(mut node) = node_of(name.clone(), kind, metadata) else { return Ok(()) };
                if links > 1 && node.inode == 0 && self.closed.is_none() {
                    number_linked(&mut node, &path);
                }
                if !self.linked.is_empty() {
                    self.linked.remove(&path.to_bytes());
                }
                let Some(file) = file else {
                    if links > 1 && self.closed.is_none() {
                        number_linked(&mut node, &path);
                        self.remember(path.to_bytes(), node.clone(), links - 1);
                    }
                    let member = Member::Ready(Box::new(node));
                    return self.put(directory, name, member, &path);
                };
                let places = vec![(directory, name.clone())];
                let (chunks, stored, size) = (Vec::new(), 0, None);
                let missing = node.links.saturating_sub(1);
                self.assembled.files += 1;
                let pending =
                    PendingFile { node, path: path.clone(), places, missing, chunks, stored, size };
                self.files.insert(file, pending);
                self.put(directory, name, Member::Pending(file), &path)
            }
        }
    }

    fn enter_parent(&mut self, path: &EntryPath) -> Result<Option<DirectoryNumber>, Halt> {
        let names = path.names();
        self.enter(&names[..names.len() - 1], path)
    }

    /// Goes to the directory `names`, opening it and leaving others as needed. `None` if something
    /// that is no directory is in the way, which is a problem of the entry at `path`.
    fn enter(
        &mut self,
        names: &[Vec<u8>],
        path: &EntryPath,
    ) -> Result<Option<DirectoryNumber>, Halt> {
        let on_stack = |assembler: &Self, depth: usize| {
            let open = assembler.stack.get(depth + 1);
            open.and_then(|number| assembler.directories.get(number))
                .is_some_and(|directory| directory.name == names[depth])
        };
        let mut depth = 0;
        while depth < names.len() && on_stack(self, depth) {
            depth += 1;
        }
        while self.stack.len() > depth + 1 {
            if let Some(directory) = self.stack.pop() {
                self.leave(directory)?;
            }
        }
        let mut current = self.stack.last().copied().unwrap_or(ROOT);
        for name in &names[depth..] {
            match self.open(current, name)? {
                Some(number) => current = number,
                None => {
                    let name = outlast_fs::entry::show(name);
                    self.problem(format!(
                        "{path} was left out: {name}, in which it lies, is not a directory"
                    ));
                    return Ok(None);
                }
            }
            self.stack.push(current);
        }
        Ok(Some(current))
    }

    /// Opens the directory `name` in `parent`, which may be new, open or closed; `None` if that is
    /// something else.
    fn open(
        &mut self,
        parent: DirectoryNumber,
        name: &[u8],
    ) -> Result<Option<DirectoryNumber>, Halt> {
        self.at_hand(parent, name)?;
        let mut directory = Directory { parent, name: name.to_vec(), ..Directory::default() };
        let member = self.directories.get(&parent).and_then(|parent| parent.members.get(name));
        match member {
            Some(Member::Open(number)) => {
                let number = *number;
                if let Some(directory) = self.directories.get_mut(&number) {
                    directory.left = false;
                }
                return Ok(Some(number));
            }
            Some(Member::Ready(node)) if node.kind == NodeKind::Directory => {
                let node = (**node).clone();
                let mut path = self.path_of(parent);
                path.extend_from_slice(name);
                path.push(b'/');
                let (implied, members) = self.reopen(&path, node.subtree)?;
                directory.node = (!implied).then_some(node);
                directory.members = members;
            }
            Some(_) => return Ok(None),
            None => self.assembled.directories += 1,
        }
        let number = self.next;
        self.next += 1;
        self.directories.insert(number, directory);
        if let Some(parent) = self.directories.get_mut(&parent) {
            parent.members.insert(name.to_vec(), Member::Open(number));
            parent.waiting += 1;
        }
        Ok(Some(number))
    }

    /// Makes `member` the one called `name` in an open directory. As when a tar file is extracted,
    /// the last of one name wins, but nothing takes the place of a directory.
    fn put(
        &mut self,
        number: DirectoryNumber,
        name: Vec<u8>,
        member: Member,
        path: &EntryPath,
    ) -> Result<(), Halt> {
        self.at_hand(number, &name)?;
        let Some(directory) = self.directories.get_mut(&number) else { return Ok(()) };
        let taken = match directory.members.get(&name) {
            Some(Member::Open(_)) => true,
            Some(Member::Ready(node)) => node.kind == NodeKind::Directory,
            Some(Member::Pending(earlier)) => {
                let earlier = *earlier;
                directory.waiting -= 1;
                if let Some(pending) = self.files.get_mut(&earlier) {
                    pending.places.retain(|place| *place != (number, name.clone()));
                }
                false
            }
            None => false,
        };
        let pending = match member {
            Member::Pending(file) => Some(file),
            _ => None,
        };
        if taken {
            if let Some(pending) = pending.and_then(|file| self.files.get_mut(&file)) {
                pending.places.retain(|place| *place != (number, name.clone()));
            }
            self.problem(format!("{path} was left out: a directory of that name came earlier"));
            return Ok(());
        }
        directory.waiting += usize::from(pending.is_some());
        directory.members.insert(name, member);
        self.write_early(number)
    }

    // ----- content

    fn chunk(&mut self, chunk: IdentifiedChunk) -> Result<(), Halt> {
        // A file that failed or was replaced is not waited for any more.
        let Some(file) = self.files.get_mut(&chunk.file) else { return Ok(()) };
        let end = chunk.number + chunk.times;
        if file.chunks.len() < end {
            file.chunks.resize(end, BlobId([0; 32]));
        }
        file.chunks[chunk.number..end].fill(chunk.id);
        file.stored += chunk.length as u64 * chunk.times as u64;
        self.complete(chunk.file)
    }

    /// Puts the file's node in its places, if all of its content is known.
    fn complete(&mut self, number: FileNumber) -> Result<(), Halt> {
        let known = |file: &PendingFile| file.size == Some(file.stored);
        if !self.files.get(&number).is_some_and(known) {
            return Ok(());
        }
        let Some(file) = self.files.remove(&number) else { return Ok(()) };
        self.assembled.bytes += file.stored;
        let mut node = file.node;
        node.size = file.stored;
        node.content = Some(file.chunks);
        let replaced = !file.places.iter().any(|(_, name)| name == file.path.name());
        if node.links > 1 && !replaced {
            self.remember(file.path.to_bytes(), node.clone(), file.missing);
        }
        let mut places = file.places;
        let last = places.pop();
        for (directory, name) in places {
            let node = Node { name: name.clone(), ..node.clone() };
            self.ready(directory, name, Some(node))?;
        }
        // Mostly the only one, which takes the node without a copy.
        let Some((directory, name)) = last else { return Ok(()) };
        node.name.clone_from(&name);
        self.ready(directory, name, Some(node))
    }

    fn fail_file(&mut self, number: FileNumber, reason: String) -> Result<(), Halt> {
        self.problem(reason);
        let Some(file) = self.files.remove(&number) else { return Ok(()) };
        self.assembled.files -= 1;
        for (directory, name) in file.places {
            self.ready(directory, name, None)?;
        }
        Ok(())
    }

    /// A member that was waited for has come, or will never come.
    fn ready(
        &mut self,
        number: DirectoryNumber,
        name: Vec<u8>,
        node: Option<Node>,
    ) -> Result<(), Halt> {
        if let Some(directory) = self.directories.get_mut(&number) {
            match node {
                Some(node) => directory.members.insert(name, Member::Ready(Box::new(node))),
                None => directory.members.remove(&name),
            };
            directory.waiting -= 1;
        }
        self.settle(number)
    }
}
