//! Gives a repository a large index, to measure memory with: `large_index DIR PASSWORD BLOBS`.
//!
//! The repository in DIR must be there. Its new index files list packs with random blobs; the packs
//! are files of the right size that are all hole, so that they take no room. Nothing refers to the
//! blobs: the repository can be backed up to, restored from, and checked without `--read-data`.

use std::error::Error;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use outlast_format::index::{IndexFile, Notes};
use outlast_format::pack::{self, BlobType, PackEntry};
use outlast_format::{BlobId, PackId};
use outlast_repo::{Credential, Repository};
use outlast_store::{DirectoryStore, Object};
use outlast_types::{Random, SystemRandom};

/// As a data pack of 16 MiB has them, of chunks of 64 KiB that are compressed 2.4 to 1.
const BLOBS_IN_PACK: u64 = 600;
/// As stock restic has them.
const BLOBS_IN_INDEX: u64 = 50_000;
const LENGTH: u32 = 27_000;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory, password, blobs] = arguments.as_slice() else {
        return Err("usage: large_index DIR PASSWORD BLOBS".into());
    };
    let directory = Path::new(directory);
    let store = Arc::new(DirectoryStore::open(directory)?);
    let repository = Repository::open(store, Credential::Password(password.as_bytes()))?;
    let mut left: u64 = blobs.parse()?;
    while left > 0 {
        let mut in_index = left.min(BLOBS_IN_INDEX);
        left -= in_index;
        let mut packs = Vec::new();
        while in_index > 0 {
            let count = in_index.min(BLOBS_IN_PACK);
            in_index -= count;
            packs.push(make_pack(directory, u32::try_from(count)?)?);
        }
        let notes = Notes { chunk_average: Some(64 << 10), condemned: None };
        let file = IndexFile { supersedes: Vec::new(), packs, notes };
        let (name, sealed) =
            repository.seal_unpacked("index", &file.serialize()?, &SystemRandom)?;
        repository.store().create(&Object::Index(name), sealed)?;
    }
    Ok(())
}

/// A pack of `count` random blobs, as a file of holes.
fn make_pack(directory: &Path, count: u32) -> Result<(PackId, Vec<PackEntry>), Box<dyn Error>> {
    let entries: Vec<PackEntry> = (0..count)
        .map(|number| PackEntry {
            kind: BlobType::Data,
            id: BlobId(random_bytes()),
            offset: number * LENGTH,
            length: LENGTH,
            uncompressed_length: Some(64 << 10),
        })
        .collect();
    let id = PackId(random_bytes());
    let size = pack::length_of(&entries).ok_or("the blobs leave gaps")?;
    let name = id.to_string();
    let parent = directory.join("data").join(&name[..2]);
    fs::create_dir_all(&parent)?;
    File::create_new(parent.join(&name))?.set_len(size)?;
    Ok((id, entries))
}

fn random_bytes() -> [u8; 32] {
    let mut bytes = [0; 32];
    SystemRandom.fill(&mut bytes);
    bytes
}
