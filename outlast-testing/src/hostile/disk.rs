//! The server's side: a tree in memory that knows what of it is durable.

use std::collections::BTreeMap;

use rustix::io::Errno;

use super::plan::Habits;
use super::wire::{Answer, Ask, Attributes, Caller};

pub(super) const ROOT: u64 = 1;
const SET_MODE: u32 = 1;
const SET_USER: u32 = 2;
const SET_GROUP: u32 = 4;
const SET_SIZE: u32 = 8;

#[derive(Debug, Clone)]
struct Node {
    kind: Kind,
    mode: u32,
    caller: Caller,
    /// Grows with every change of anything: no two changes have one time.
    changed: u64,
    opened: u32,
    /// A crash took something of it that its writer has not heard of.
    has_lost: bool,
    /// The directory, and the name there, under which it waits for its last user.
    silly: Option<(u64, Vec<u8>)>,
}

#[derive(Debug, Clone)]
enum Kind {
    Directory { names: BTreeMap<Vec<u8>, u64>, durable: BTreeMap<Vec<u8>, u64> },
    File { data: Vec<u8>, durable: Vec<u8> },
}

/// The whole tree.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    nodes: BTreeMap<u64, Node>,
    next: u64,
    ticks: u64,
    habits: Habits,
    random: u64,
}

type Answered = Result<Answer, Errno>;

impl Disk {
    pub(super) fn new(habits: Habits, seed: u64) -> Self {
        let (names, durable) = (BTreeMap::new(), BTreeMap::new());
        let root = Node {
            kind: Kind::Directory { names, durable },
            mode: 0o40755,
            caller: Caller::default(),
            changed: 0,
            opened: 0,
            has_lost: false,
            silly: None,
        };
        Self { nodes: BTreeMap::from([(ROOT, root)]), next: 2, ticks: 0, habits, random: seed }
    }

    /// Does what a client asks for.
    pub(super) fn answer(&mut self, ask: &Ask, caller: Caller) -> Answered {
        match ask {
            Ask::Look { parent, name } => {
                let node = self.find(*parent, name)?;
                self.entry(node)
            }
            Ask::Stat { node } => self.attributes(*node).map(Answer::Attributes),
            Ask::Change { node, valid, mode, user, group, size } => {
                self.change(*node, *valid, (*mode, *user, *group), *size)
            }
            Ask::MakeDirectory { parent, name, mode } => {
                let (names, durable) = (BTreeMap::new(), BTreeMap::new());
                let mode = 0o40000 | mode & 0o7777;
                self.make(*parent, name, Kind::Directory { names, durable }, mode, caller)
            }
            Ask::Create { parent, name, mode, is_exclusive } => {
                match self.find(*parent, name) {
                    Ok(_) if *is_exclusive => return Err(Errno::EXIST),
                    Ok(node) => return self.created(node),
                    Err(_) => {}
                }
                let kind = Kind::File { data: Vec::new(), durable: Vec::new() };
                self.make(*parent, name, kind, 0o100_000 | mode & 0o7777, caller)?;
                self.created(self.next - 1)
            }
            Ask::Remove { parent, name } => self.remove(*parent, name),
            Ask::RemoveDirectory { parent, name } => self.remove_directory(*parent, name),
            Ask::Rename { parent, name, to, new, is_new } => {
                self.rename((*parent, name), (*to, new), *is_new)
            }
            Ask::Open { node } => {
                self.node_mut(*node)?.opened += 1;
                Ok(Answer::Opened)
            }
            Ask::Release { node } => {
                self.release(*node);
                Ok(Answer::Done)
            }
            Ask::Read { node, offset, size } => self.read(*node, *offset, *size),
            Ask::Write { node, offset, data } => self.write(*node, *offset, data),
            Ask::Sync { node } => self.sync(*node),
            Ask::List { node } => self.list(*node),
            Ask::Nothing => Ok(Answer::Done),
        }
    }

    /// What `client` knows of the nodes that `ask` has touched becomes what is.
    pub(super) fn refresh(&self, client: &mut Self, ask: &Ask) {
        let mut refresh = |number: &u64| {
            match self.nodes.get(number) {
                Some(node) => client.nodes.insert(*number, node.clone()),
                None => client.nodes.remove(number),
            };
        };
        match ask {
            Ask::MakeDirectory { parent, name, .. } | Ask::Create { parent, name, .. } => {
                refresh(parent);
                if let Ok(node) = self.find(*parent, name) {
                    refresh(&node);
                }
            }
            Ask::Remove { parent, .. } | Ask::RemoveDirectory { parent, .. } => refresh(parent),
            Ask::Rename { parent, to, .. } => {
                refresh(parent);
                refresh(to);
            }
            Ask::Change { node, .. } | Ask::Write { node, .. } | Ask::Sync { node } => {
                refresh(node)
            }
            // Close-to-open: who opens a file asks the server for it.
            Ask::Open { node } if self.nodes.get(node).is_none_or(|node| node.is_file()) => {
                refresh(node);
            }
            _ => {}
        }
    }

    /// Everything that was not synced is lost, or not, or torn.
    pub(super) fn crash(&mut self) {
        let mut random = self.random;
        let mut draw = || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            random >> 33
        };
        for node in self.nodes.values_mut() {
            // Nobody has anything open on the server that comes back.
            node.opened = 0;
            match &mut node.kind {
                Kind::File { data, durable } if data != durable => {
                    let more = data.len().saturating_sub(durable.len()) as u64;
                    let kept = durable.len() + usize::try_from(draw() % (more + 1)).unwrap_or(0);
                    node.has_lost = kept < data.len();
                    data.truncate(kept);
                    durable.clone_from(data);
                }
                Kind::Directory { names, durable } if names != durable => {
                    let mut kept = durable.clone();
                    kept.retain(|name, _| names.contains_key(name) || draw() % 2 == 0);
                    for (name, node) in names.iter() {
                        if durable.get(name) != Some(node) && draw() % 2 == 0 {
                            kept.insert(name.clone(), *node);
                        }
                    }
                    names.clone_from(&kept);
                    *durable = kept;
                }
                _ => {}
            }
        }
        self.random = random;
        self.ticks += 1;
    }

    fn node(&self, number: u64) -> Result<&Node, Errno> {
        self.nodes.get(&number).ok_or(Errno::STALE)
    }

    fn node_mut(&mut self, number: u64) -> Result<&mut Node, Errno> {
        self.nodes.get_mut(&number).ok_or(Errno::STALE)
    }

    fn names(&self, number: u64) -> Result<&BTreeMap<Vec<u8>, u64>, Errno> {
        match &self.node(number)?.kind {
            Kind::Directory { names, .. } => Ok(names),
            Kind::File { .. } => Err(Errno::NOTDIR),
        }
    }

    fn names_mut(&mut self, number: u64) -> Result<&mut BTreeMap<Vec<u8>, u64>, Errno> {
        self.ticks += 1;
        let ticks = self.ticks;
        let node = self.node_mut(number)?;
        node.changed = ticks;
        match &mut node.kind {
            Kind::Directory { names, .. } => Ok(names),
            Kind::File { .. } => Err(Errno::NOTDIR),
        }
    }

    fn find(&self, parent: u64, name: &[u8]) -> Result<u64, Errno> {
        let names = self.names(parent)?;
        let found = if self.habits.ignores_case {
            names.iter().find(|(there, _)| there.eq_ignore_ascii_case(name)).map(|(_, node)| node)
        } else {
            names.get(name)
        };
        let number = *found.ok_or(Errno::NOENT)?;
        // A client that remembers a name may have forgotten what it was.
        self.node(number).map(|_| number)
    }

    fn attributes(&self, number: u64) -> Result<Attributes, Errno> {
        let node = self.node(number)?;
        let size = match &node.kind {
            Kind::File { data, .. } => data.len() as u64,
            Kind::Directory { .. } => 4096,
        };
        let (mode, caller, changed) = (node.mode, node.caller, node.changed);
        Ok(Attributes { node: number, size, mode, caller, changed })
    }

    fn entry(&self, number: u64) -> Answered {
        self.attributes(number).map(Answer::Entry)
    }

    fn created(&mut self, number: u64) -> Answered {
        self.node_mut(number)?.opened += 1;
        self.attributes(number).map(Answer::Created)
    }

    fn make(
        &mut self,
        parent: u64,
        name: &[u8],
        kind: Kind,
        mode: u32,
        caller: Caller,
    ) -> Answered {
        if self.find(parent, name).is_ok() {
            return Err(Errno::EXIST);
        }
        let number = self.next;
        self.names_mut(parent)?.insert(name.to_owned(), number);
        self.next += 1;
        let changed = self.ticks;
        let node = Node { kind, mode, caller, changed, opened: 0, has_lost: false, silly: None };
        self.nodes.insert(number, node);
        self.entry(number)
    }

    fn remove(&mut self, parent: u64, name: &[u8]) -> Answered {
        let number = self.find(parent, name)?;
        let node = self.node(number)?;
        if !node.is_file() {
            return Err(Errno::ISDIR);
        }
        let is_open = node.opened > 0;
        if is_open && self.habits.keeps_open_files {
            return Err(Errno::BUSY);
        }
        self.names_mut(parent)?.retain(|_, node| *node != number);
        if !is_open {
            self.nodes.remove(&number);
        } else if self.habits.leaves_silly_names {
            let silly = format!(".nfs{number:08x}").into_bytes();
            self.names_mut(parent)?.insert(silly.clone(), number);
            self.node_mut(number)?.silly = Some((parent, silly));
        }
        Ok(Answer::Done)
    }

    fn release(&mut self, number: u64) {
        let Some(node) = self.nodes.get_mut(&number) else { return };
        node.opened = node.opened.saturating_sub(1);
        if node.opened > 0 {
            return;
        }
        if let Some((parent, name)) = node.silly.take() {
            let _ = self.names_mut(parent).map(|names| names.remove(&name));
            self.nodes.remove(&number);
        }
    }

    fn remove_directory(&mut self, parent: u64, name: &[u8]) -> Answered {
        let number = self.find(parent, name)?;
        if !self.names(number)?.is_empty() {
            return Err(Errno::NOTEMPTY);
        }
        self.names_mut(parent)?.retain(|_, node| *node != number);
        self.nodes.remove(&number);
        Ok(Answer::Done)
    }

    /// A crash before both directories are synced may leave the file under either name, both, or none,
    /// and under the new one what had it before.
    fn rename(&mut self, from: (u64, &[u8]), to: (u64, &[u8]), is_new: bool) -> Answered {
        let number = self.find(from.0, from.1)?;
        let replaced = self.find(to.0, to.1).ok();
        if replaced == Some(number) {
            return Ok(Answer::Done);
        }
        if replaced.is_some() && is_new {
            return Err(Errno::EXIST);
        }
        self.names_mut(from.0)?.retain(|_, node| *node != number);
        self.names_mut(to.0)?.insert(to.1.to_owned(), number);
        Ok(Answer::Done)
    }

    fn change(
        &mut self,
        number: u64,
        valid: u32,
        (mode, user, group): (u32, u32, u32),
        size: u64,
    ) -> Answered {
        let node = self.node_mut(number)?;
        if valid & SET_MODE != 0 {
            node.mode = node.mode & 0o170_000 | mode & 0o7777;
        }
        if valid & SET_USER != 0 {
            node.caller.user = user;
        }
        if valid & SET_GROUP != 0 {
            node.caller.group = group;
        }
        if valid & SET_SIZE != 0
            && let Kind::File { data, .. } = &mut node.kind
        {
            data.resize(usize::try_from(size).map_err(|_| Errno::FBIG)?, 0);
        }
        self.attributes(number).map(Answer::Attributes)
    }

    fn read(&self, number: u64, offset: u64, size: u32) -> Answered {
        let Kind::File { data, .. } = &self.node(number)?.kind else { return Err(Errno::ISDIR) };
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(data.len());
        let to = from.saturating_add(usize::try_from(size).unwrap_or(0)).min(data.len());
        Ok(Answer::Data(data[from..to].to_vec()))
    }

    fn write(&mut self, number: u64, offset: u64, bytes: &[u8]) -> Answered {
        self.ticks += 1;
        let ticks = self.ticks;
        let node = self.node_mut(number)?;
        node.changed = ticks;
        let Kind::File { data, .. } = &mut node.kind else { return Err(Errno::ISDIR) };
        let from = usize::try_from(offset).map_err(|_| Errno::FBIG)?;
        let to = from + bytes.len();
        if data.len() < to {
            data.resize(to, 0);
        }
        data[from..to].copy_from_slice(bytes);
        Ok(Answer::Written(u32::try_from(bytes.len()).unwrap_or(0)))
    }

    fn sync(&mut self, number: u64) -> Answered {
        let node = self.node_mut(number)?;
        // An NFS client knows from the server's verifier that it has to write again, or tells.
        if node.has_lost {
            return Err(Errno::IO);
        }
        match &mut node.kind {
            Kind::File { data, durable } => durable.clone_from(data),
            Kind::Directory { names, durable } => durable.clone_from(names),
        }
        Ok(Answer::Done)
    }

    fn list(&self, number: u64) -> Answered {
        let names = self.names(number)?.iter();
        let is_directory = |node: &u64| self.nodes.get(node).is_some_and(|node| !node.is_file());
        let listed = names.map(|(name, node)| (*node, name.clone(), is_directory(node)));
        Ok(Answer::Names(listed.collect()))
    }
}

impl Node {
    fn is_file(&self) -> bool {
        matches!(self.kind, Kind::File { .. })
    }
}
