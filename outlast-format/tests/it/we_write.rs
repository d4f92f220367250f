//! What we write, stock restic takes as its own.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use outlast_format::compress::{Compressor, LEVEL_DEFAULT};
use outlast_format::config::{Config, Version};
use outlast_format::crypto::{Key, NONCE_LENGTH};
use outlast_format::go::{FileMode, GoTime};
use outlast_format::index::IndexFile;
use outlast_format::key_file::{KdfParams, KeyFile, Maker};
use outlast_format::pack::{self, BlobType, PackEntry};
use outlast_format::snapshot::Snapshot;
use outlast_format::tree::{Node, NodeKind, Tree};
use outlast_format::{BlobId, KeyId, PackId, Sha256Id, SnapshotId, unpacked};
use outlast_types::{Clock as _, SystemClock, SystemRandom, Timestamp};

use crate::restic::{PASSWORD, Restic};
use crate::torture;

/// A new, empty repository of our making.
fn init(root: &Path, version: Version) -> Key {
    for directory in ["keys", "locks", "snapshots", "index", "data"] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    let key = Key::generate(&SystemRandom);
    let maker = Maker { hostname: "h".into(), username: "u".into(), created: SystemClock.now() };
    let file =
        KeyFile::create(PASSWORD, &key, &maker, KdfParams::default(), &SystemRandom).unwrap();
    save(root, &format!("keys/{}", KeyId::of(&file)), &file);
    let config = Config::generate(version, &SystemRandom).serialize().unwrap();
    save(root, "config", &key.seal(&config, &SystemRandom));
    key
}

fn save(root: &Path, name: &str, content: &[u8]) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::File::create(path).unwrap().write_all(content).unwrap();
}

fn save_document(root: &Path, directory: &str, document: &[u8], key: &Key, version: Version) {
    let sealed = key.seal(&unpacked::encode(document, version).unwrap(), &SystemRandom);
    save(root, &format!("{directory}/{}", SnapshotId::of(&sealed)), &sealed);
}

#[test]
fn stock_restic_backs_up_into_a_repository_that_we_made() {
    for version in [Version::V1, Version::V2] {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("repository");
        init(&root, version);
        let source = directory.path().join("source");
        fs::create_dir(&source).unwrap();
        torture::fill(&source);
        let restic = Restic::new(&root);
        assert_eq!(restic.run(&["snapshots", "--json"]).trim_ascii(), b"[]");
        restic.run(&["backup", source.to_str().unwrap()]);
        restic.run(&["check", "--read-data"]);
        let keys = String::from_utf8(restic.run(&["key", "list"])).unwrap();
        assert!(keys.contains('h') && keys.contains('u'), "{keys}");
    }
}

/// Adds one blob to a pack, compressed if the version has that.
fn add(
    pack: &mut Vec<u8>,
    entries: &mut Vec<PackEntry>,
    kind: BlobType,
    content: &[u8],
    key: &Key,
    version: Version,
) -> BlobId {
    let (id, start) = (BlobId::of(content), pack.len());
    pack.extend_from_slice(&[0; NONCE_LENGTH]);
    let uncompressed_length = match version {
        Version::V1 => {
            pack.extend_from_slice(content);
            None
        }
        Version::V2 => {
            Compressor::new(LEVEL_DEFAULT).unwrap().compress_onto(content, pack).unwrap();
            Some(u32::try_from(content.len()).unwrap())
        }
    };
    key.seal_tail(pack, start, &SystemRandom);
    entries.push(PackEntry {
        kind,
        id,
        offset: u32::try_from(start).unwrap(),
        length: u32::try_from(pack.len() - start).unwrap(),
        uncompressed_length,
    });
    id
}

fn finish(
    root: &Path,
    mut pack: Vec<u8>,
    entries: Vec<PackEntry>,
    key: &Key,
) -> (PackId, Vec<PackEntry>) {
    pack::finish(&mut pack, &entries, key, &SystemRandom);
    let id = PackId::of(&pack);
    save(root, &format!("data/{}/{id}", &id.to_string()[..2]), &pack);
    (id, entries)
}

/// A file of two blobs, beside nodes of the other kinds with names that need care.
fn nodes(content: Vec<BlobId>, size: u64) -> Vec<Node> {
    let mut nodes: Vec<_> = torture::NAMES
        .iter()
        .map(|name| {
            let mut node = Node::new(name.to_vec(), NodeKind::Symlink);
            node.link_target = b"some <where>".to_vec();
            node.modified = GoTime::utc(-1, 5);
            node
        })
        .collect();
    let mut file = Node::new(b"zz file".to_vec(), NodeKind::File);
    file.mode = FileMode::from_unix(file.kind.mode_bits(), 0o640);
    file.modified = GoTime::utc(1_790_000_000, 123);
    file.content = Some(content);
    file.size = size;
    file.xattrs = vec![(b"user.a".to_vec(), b"\xff\0".to_vec())];
    nodes.push(file);
    nodes.push(Node::new(b"zz fifo".to_vec(), NodeKind::Fifo));
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    nodes
}

#[test]
fn stock_restic_checks_and_reads_a_backup_that_we_made() {
    for version in [Version::V1, Version::V2] {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("repository");
        let key = init(&root, version);

        let (mut pack, mut entries) = (Vec::new(), Vec::new());
        let parts = [b"first part, ".repeat(1000), b"second part, ".repeat(1000)];
        let content = parts
            .iter()
            .map(|part| add(&mut pack, &mut entries, BlobType::Data, part, &key, version))
            .collect();
        let data = finish(&root, pack, entries, &key);

        let (mut pack, mut entries) = (Vec::new(), Vec::new());
        let tree = Tree { nodes: nodes(content, parts.concat().len() as u64) }.serialize();
        let tree = add(&mut pack, &mut entries, BlobType::Tree, &tree, &key, version);
        let trees = finish(&root, pack, entries, &key);

        let index = IndexFile { packs: vec![data, trees], ..IndexFile::default() };
        save_document(&root, "index", &index.serialize().unwrap(), &key, version);
        let mut snapshot = Snapshot::new(Timestamp::from_unix(1_790_000_000, 7).unwrap(), tree);
        snapshot.paths = vec!["/".into()];
        snapshot.hostname = "shop".into();
        save_document(&root, "snapshots", &snapshot.serialize().unwrap(), &key, version);

        let restic = Restic::new(&root);
        restic.run(&["check", "--read-data"]);
        assert_eq!(restic.run(&["dump", "latest", "/zz file"]), parts.concat());
        let target = directory.path().join("target");
        restic.run(&["restore", "latest", "--target", target.to_str().unwrap()]);
        for name in torture::NAMES {
            use std::os::unix::ffi::OsStrExt as _;
            let link = target.join(std::ffi::OsStr::from_bytes(name));
            assert_eq!(fs::read_link(link).unwrap().to_str(), Some("some <where>"));
        }
    }
}
