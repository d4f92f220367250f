//! Repositories made by hand, for what no honest program writes.

use std::sync::Arc;

use bytes::Bytes;
use outlast_format::config::Version;
use outlast_format::index::IndexFile;
use outlast_format::pack::{self, BlobType, PackEntry};
use outlast_format::snapshot::Snapshot;
use outlast_format::tree::{Node, NodeKind, Tree};
use outlast_format::{BlobId, PackId, Sha256Id, SnapshotId};
use outlast_repo::{Maker, Repository};
use outlast_store::memory::MemoryStore;
use outlast_store::{Object, Store};
use outlast_types::{SystemRandom, Timestamp};

/// A repository in memory and the pack that is being filled.
pub(crate) struct Forge {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) repository: Repository,
    pack: Vec<u8>,
    entries: Vec<PackEntry>,
    index: IndexFile,
}

impl Forge {
    pub(crate) fn new() -> Self {
        let store = Arc::new(MemoryStore::new());
        let maker = Maker { hostname: "h".into(), username: "u".into(), created: Timestamp::EPOCH };
        let shared: Arc<dyn Store> = Arc::clone(&store) as _;
        let repository =
            Repository::init(shared, "password", Version::V2, &maker, &SystemRandom).unwrap();
        let (pack, entries, index) = (Vec::new(), Vec::new(), IndexFile::default());
        Self { store, repository, pack, entries, index }
    }

    /// Adds a blob to the pack.
    pub(crate) fn blob(&mut self, kind: BlobType, content: &[u8]) -> BlobId {
        self.entry(kind, BlobId::of(content), content)
    }

    /// Adds `content` under an id that need not be its own.
    pub(crate) fn entry(&mut self, kind: BlobType, id: BlobId, content: &[u8]) -> BlobId {
        let offset = self.pack.len();
        self.repository.key().seal_onto(content, &SystemRandom, &mut self.pack);
        self.entries.push(PackEntry {
            kind,
            id,
            offset: u32::try_from(offset).unwrap(),
            length: u32::try_from(self.pack.len() - offset).unwrap(),
            uncompressed_length: None,
        });
        id
    }

    /// Changes what the index and the header say of the blob added last.
    pub(crate) fn lie(&mut self, lie: impl FnOnce(&mut PackEntry)) {
        lie(self.entries.last_mut().unwrap());
    }

    pub(crate) fn data(&mut self, content: &[u8]) -> BlobId {
        self.blob(BlobType::Data, content)
    }

    pub(crate) fn tree(&mut self, nodes: Vec<Node>) -> BlobId {
        self.blob(BlobType::Tree, &Tree { nodes }.serialize())
    }

    /// A file whose content are the blobs of `pieces`.
    pub(crate) fn file(&mut self, name: &[u8], pieces: &[&[u8]]) -> Node {
        let content = pieces.iter().map(|piece| self.data(piece)).collect();
        let mut node = file(name, content);
        node.size = pieces.iter().map(|piece| piece.len() as u64).sum();
        node
    }

    /// Ends the pack and begins the next.
    pub(crate) fn end_pack(&mut self) -> PackId {
        let (mut pack, entries) =
            (std::mem::take(&mut self.pack), std::mem::take(&mut self.entries));
        pack::finish(&mut pack, &entries, self.repository.key(), &SystemRandom);
        let id = PackId::of(&pack);
        self.store.create(&Object::Data(id), Bytes::from(pack)).unwrap();
        self.index.packs.push((id, entries));
        id
    }

    /// Writes the index and a snapshot of `tree`.
    pub(crate) fn finish(mut self, tree: BlobId) -> (Arc<MemoryStore>, Repository) {
        if !self.entries.is_empty() {
            self.end_pack();
        }
        self.write("index", Object::Index, &self.index.serialize().unwrap());
        self.snapshot(tree);
        (self.store, self.repository)
    }

    pub(crate) fn snapshot(&self, tree: BlobId) -> SnapshotId {
        let document = Snapshot::new(Timestamp::EPOCH, tree).serialize().unwrap();
        self.write("snapshot", Object::Snapshot, &document)
    }

    fn write<I: Sha256Id + Copy>(
        &self,
        what: &'static str,
        object: impl FnOnce(I) -> Object,
        document: &[u8],
    ) -> I {
        let (name, sealed) = self.repository.seal_unpacked(what, document, &SystemRandom).unwrap();
        self.store.create(&object(name), sealed).unwrap();
        name
    }
}

/// A file of these blobs; its size is still to be set.
pub(crate) fn file(name: &[u8], content: Vec<BlobId>) -> Node {
    let mut node = node(name, NodeKind::File);
    node.content = Some(content);
    node
}

pub(crate) fn directory(name: &[u8], subtree: BlobId) -> Node {
    let mut node = node(name, NodeKind::Directory);
    node.subtree = Some(subtree);
    node
}

pub(crate) fn symlink(name: &[u8], target: &[u8]) -> Node {
    let mut node = node(name, NodeKind::Symlink);
    node.link_target = target.to_vec();
    node
}

fn node(name: &[u8], kind: NodeKind) -> Node {
    let mut node = Node::new(name.to_vec(), kind);
    node.mode = outlast_format::go::FileMode::from_unix(node.kind.mode_bits(), 0o755);
    node.uid = own_id();
    node.gid = node.uid;
    node
}

/// Whoever runs the test, so that nothing must be given away.
fn own_id() -> u32 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").map_or(0, |metadata| metadata.uid())
}
