//! A repository on disk, read with nothing but this crate.

use std::fs;
use std::path::{Path, PathBuf};

use outlast_format::compress::Decompressor;
use outlast_format::config::Config;
use outlast_format::crypto::Key;
use outlast_format::index::IndexFile;
use outlast_format::key_file::KeyFile;
use outlast_format::pack::{self, BlobType, PackEntry};
use outlast_format::snapshot::Snapshot;
use outlast_format::{BlobId, FormatError, PackId, Sha256Id, unpacked};

pub(crate) struct Repository {
    pub(crate) root: PathBuf,
    pub(crate) key: Key,
    pub(crate) config: Config,
}

impl Repository {
    pub(crate) fn open(root: &Path, password: &str) -> Self {
        let keys = files(&root.join("keys"));
        let key = KeyFile::open(&fs::read(&keys[0]).unwrap(), password).unwrap();
        let config = fs::read(root.join("config")).unwrap();
        let config = Config::parse(&key.open(&config).unwrap()).unwrap();
        Self { root: root.to_owned(), key, config }
    }

    pub(crate) fn packs(&self) -> Vec<PathBuf> {
        let directories = fs::read_dir(self.root.join("data")).unwrap();
        let mut packs: Vec<_> =
            directories.flat_map(|directory| files(&directory.unwrap().path())).collect();
        packs.sort();
        packs
    }

    /// Names and documents of all unpacked objects in `snapshots` or `index`.
    pub(crate) fn documents(&self, directory: &str) -> Vec<(String, Vec<u8>)> {
        let read = |path: &PathBuf| {
            let bytes = fs::read(path).unwrap();
            assert_eq!(BlobId::of(&bytes).to_string(), name(path));
            (name(path), unpacked::decode(self.key.open(&bytes).unwrap()).unwrap())
        };
        files(&self.root.join(directory)).iter().map(read).collect()
    }

    pub(crate) fn snapshots(&self) -> Vec<Snapshot> {
        let documents = self.documents("snapshots");
        documents.iter().map(|(_, document)| Snapshot::parse(document).unwrap()).collect()
    }

    /// Every blob in every pack, checked against its id; also that the index says the same as the
    /// packs' headers.
    pub(crate) fn blobs(&self) -> Vec<(PackEntry, Vec<u8>)> {
        let mut indexed: Vec<_> = self
            .documents("index")
            .iter()
            .flat_map(|(_, document)| IndexFile::parse(document).unwrap().packs)
            .collect();
        indexed.sort_by_key(|(id, _)| *id);
        let mut blobs = Vec::new();
        let mut listed = Vec::new();
        for path in self.packs() {
            let bytes = fs::read(&path).unwrap();
            let id = PackId::of(&bytes);
            assert_eq!(id.to_string(), name(&path));
            let entries = pack::read_header(&bytes, &self.key).unwrap();
            for entry in &entries {
                let blob = read_blob(&bytes, entry, &self.key).unwrap();
                assert_eq!(BlobId::of(&blob), entry.id);
                assert_eq!(blob.len(), entry.plaintext_length() as usize);
                blobs.push((*entry, blob));
            }
            listed.push((id, entries));
        }
        for (_, entries) in &mut indexed {
            entries.sort_by_key(|entry| entry.offset);
        }
        assert_eq!(indexed, listed);
        blobs
    }

    pub(crate) fn trees(&self) -> Vec<Vec<u8>> {
        let trees = self.blobs().into_iter().filter(|(entry, _)| entry.kind == BlobType::Tree);
        trees.map(|(_, blob)| blob).collect()
    }
}

pub(crate) fn read_blob(pack: &[u8], entry: &PackEntry, key: &Key) -> Result<Vec<u8>, FormatError> {
    let sealed = &pack[entry.offset as usize..][..entry.length as usize];
    let content = key.open(sealed)?;
    let Some(length) = entry.uncompressed_length else { return Ok(content) };
    let mut plaintext = Vec::new();
    Decompressor::new()?.decompress_onto(&content, length as usize, &mut plaintext)?;
    Ok(plaintext)
}

pub(crate) fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    // Golden objects have what they hold in the clear beside them.
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_none()).collect();
    files.sort();
    files
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}
