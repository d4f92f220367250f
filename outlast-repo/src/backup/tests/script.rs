//! A source that says what a test tells it to say.

use std::collections::{BTreeMap, VecDeque};
use std::io;

use outlast_format::BlobId;
use outlast_format::pack::BlobType;
use outlast_format::tree::Node;
use outlast_fs::{Entry, EntryPath, EntrySource, FileTime, Kind, Metadata, SourceError};

use crate::{Repository, read};

#[derive(Debug, Clone)]
enum Item {
    Entry(Entry, Vec<u8>),
    /// Content that fails after these bytes.
    Failing(Entry, Vec<u8>),
    Problem(String),
    End(String),
}

/// Entries in the order in which they were added.
#[derive(Debug, Clone)]
pub(super) struct Script {
    items: VecDeque<Item>,
    content: Option<(Vec<u8>, usize, bool)>,
    /// The most bytes that one read gives.
    pub(super) step: usize,
}

fn path(text: &str) -> EntryPath {
    EntryPath::parse(text.as_bytes()).unwrap()
}

fn entry(text: &str, kind: Kind) -> Entry {
    let modified = FileTime { seconds: 1_500_000_000 + text.len() as i64, nanos: 7 };
    let metadata = Metadata { mode: 0o644, modified, ..Metadata::default() };
    Entry { path: path(text), kind, metadata }
}

impl Script {
    pub(super) fn new() -> Self {
        Self { items: VecDeque::new(), content: None, step: usize::MAX }
    }

    pub(super) fn add(&mut self, entry: Entry, content: &[u8]) -> &mut Self {
        self.items.push_back(Item::Entry(entry, content.to_vec()));
        self
    }

    pub(super) fn file(&mut self, path: &str, content: &[u8]) -> &mut Self {
        self.add(entry(path, Kind::File { size: content.len() as u64 }), content)
    }

    /// A file of which the source knows device and inode.
    pub(super) fn numbered(&mut self, path: &str, content: &[u8], inode: u64) -> &mut Self {
        let mut entry = entry(path, Kind::File { size: content.len() as u64 });
        (entry.metadata.device, entry.metadata.inode, entry.metadata.links) = (1, inode, 2);
        self.add(entry, content)
    }

    pub(super) fn failing(&mut self, path: &str, content: &[u8]) -> &mut Self {
        let entry = entry(path, Kind::File { size: 0 });
        self.items.push_back(Item::Failing(entry, content.to_vec()));
        self
    }

    pub(super) fn directory(&mut self, path: &str, mode: u32) -> &mut Self {
        let mut entry = entry(path, Kind::Directory);
        entry.metadata.mode = mode;
        self.add(entry, &[])
    }

    pub(super) fn symlink(&mut self, path: &str, target: &str) -> &mut Self {
        self.add(entry(path, Kind::Symlink { target: target.into() }), &[])
    }

    pub(super) fn link(&mut self, path: &str, target: &str) -> &mut Self {
        let target = self::path(target);
        self.add(entry(path, Kind::HardLink { target }), &[])
    }

    pub(super) fn problem(&mut self, path: &str) -> &mut Self {
        self.items.push_back(Item::Problem(path.into()));
        self
    }

    pub(super) fn end_badly(&mut self, origin: &str) -> &mut Self {
        self.items.push_back(Item::End(origin.into()));
        self
    }
}

impl EntrySource for Script {
    fn next_entry(&mut self) -> Result<Option<Entry>, SourceError> {
        let fault = || io::Error::other("scripted fault");
        match self.items.pop_front() {
            None => Ok(None),
            Some(Item::Entry(entry, content)) => {
                self.content = Some((content, 0, false));
                Ok(Some(entry))
            }
            Some(Item::Failing(entry, content)) => {
                self.content = Some((content, 0, true));
                Ok(Some(entry))
            }
            Some(Item::Problem(path)) => Err(SourceError::Entry { path, source: fault() }),
            Some(Item::End(origin)) => Err(SourceError::Ended { origin, source: fault() }),
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some((content, position, fails)) = &mut self.content else { return Ok(0) };
        let rest = &content[*position..];
        if rest.is_empty() && *fails {
            return Err(io::Error::other("scripted fault"));
        }
        let length = rest.len().min(buffer.len()).min(self.step);
        buffer[..length].copy_from_slice(&rest[..length]);
        *position += length;
        Ok(length)
    }
}

/// Bytes that neither compress nor repeat, different for each seed.
pub(super) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// Every node below `tree` by its path, with its content.
pub(super) fn contents(repository: &Repository, tree: BlobId) -> BTreeMap<String, (Node, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut trees = vec![(String::new(), tree)];
    while let Some((prefix, tree)) = trees.pop() {
        let nodes = read::load_tree(repository, tree).unwrap().nodes;
        assert!(nodes.is_sorted_by(|a, b| a.name < b.name));
        for node in nodes {
            let path = format!("{prefix}{}", String::from_utf8(node.name.clone()).unwrap());
            trees.extend(node.subtree.map(|subtree| (format!("{path}/"), subtree)));
            let content: Vec<u8> = node
                .content
                .iter()
                .flatten()
                .flat_map(|id| read::load_blob(repository, BlobType::Data, *id).unwrap())
                .collect();
            assert_eq!(content.len() as u64, node.size, "{path}");
            found.insert(path, (node, content));
        }
    }
    found
}
