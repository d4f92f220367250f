//! A corpus from real repositories and shares.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use outlast_format::pack::{self, BlobType};
use outlast_repo::{Credential, Repository, read};
use outlast_store::{DirectoryStore, Kind, Object, Store};

use crate::corpus;
use crate::mutate::INPUT_BYTES_MAX;

/// Takes the small parts of a repository, each as the target of its kind reads it, and keeps them
/// in the corpus with `prefix` before their names; returns how many.
pub fn repository(path: &Path, password: &str, prefix: &str) -> Result<u32> {
    let store = Arc::new(DirectoryStore::open(path)?);
    let repository =
        Repository::open(Arc::clone(&store) as _, Credential::Password(password.as_bytes()))?;
    let mut harvest = Harvest { prefix, kept: 0 };
    harvest.keep("config", &repository.key().open(&store.read(&Object::Config)?)?)?;
    for (kind, target) in [(Kind::Index, "index"), (Kind::Snapshot, "snapshot")] {
        for (object, _) in store.list(kind)? {
            harvest.keep(target, &repository.read_unpacked(&object)?)?;
            let mut sealed = store.read(&object)?.to_vec();
            harvest.keep("unpacked", repository.key().open_in_place(&mut sealed)?)?;
        }
    }
    for (object, _) in store.list(Kind::Key)? {
        harvest.keep("key-file", &store.read(&object)?)?;
    }
    for (object, _) in store.list(Kind::Data)? {
        let bytes = store.read(&object)?;
        for entry in pack::read_header(&bytes, repository.key())? {
            if entry.kind == BlobType::Tree {
                harvest.keep("tree", &read::load_blob(&repository, entry.kind, entry.id)?)?;
            }
        }
        let trailer = bytes.last_chunk().context("a pack ends in its header's length")?;
        let length = pack::header_length(*trailer, bytes.len() as u64)? as usize;
        let end = bytes.len() - pack::TRAILER_LENGTH;
        let header = repository.key().open(&bytes[end - length..end])?;
        let blobs = u32::try_from(end - length).context("a pack is below 4 GiB")?;
        harvest.keep("pack-header", &[&blobs.to_le_bytes(), &header[..]].concat())?;
        harvest.keep("pack", &header)?;
    }
    Ok(harvest.kept)
}

/// Takes the files of a share's drops, and segments of trees that are no longer than an input.
pub fn share(path: &Path, prefix: &str) -> Result<u32> {
    let mut harvest = Harvest { prefix, kept: 0 };
    let mut waiting = vec![path.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(&directory)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                waiting.push(path);
                continue;
            }
            let in_receipts = directory.ends_with("receipts");
            let target = match name.as_str() {
                "open.json" => "open",
                "sealed.json" => "seal",
                _ if in_receipts => "receipt",
                _ if name.ends_with(".seg") => "tar",
                _ => continue,
            };
            harvest.keep(target, &fs::read(&path)?)?;
        }
    }
    Ok(harvest.kept)
}

struct Harvest<'a> {
    prefix: &'a str,
    kept: u32,
}

impl Harvest<'_> {
    /// Keeps an input that is short enough to be one.
    fn keep(&mut self, target: &str, input: &[u8]) -> Result<()> {
        if input.len() <= INPUT_BYTES_MAX / 4 {
            corpus::save(&corpus::directory().join(target), self.prefix, input)?;
            self.kept += 1;
        }
        Ok(())
    }
}
