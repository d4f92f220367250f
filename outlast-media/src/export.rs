//! Seeding: what waits in a spool goes to a disk that travels, and from there to the vault.
//!
//! The disk holds one file for each object, under the workload, the drop for which it came, and its kind:
//! `shop-db/<drop>/data/<name>`, with `-` where no drop was named. All of it is ciphertext, as in the spool.
//! What is there may be anything: whoever imports believes nothing, and the vault judges each object as it
//! judges what comes over the wire.

use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use outlast_fs::durable::{self, Staged};
use outlast_spool::{Item, What};
use outlast_store::{Kind, Object};
use outlast_types::{DropId, WorkloadName, hex};

use crate::error::MediaError;

/// An object is copied in pieces of so many bytes.
const PIECE_BYTES: usize = 1 << 20;
/// Where no drop was named.
const NO_DROP: &str = "-";

/// What an export did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Exported {
    pub copied: u64,
    /// Of those that were copied.
    pub bytes: u64,
    pub there: u64,
    /// Those that are not what their names say.
    pub damaged: u64,
}

/// One object on such a disk.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seed {
    pub workload: WorkloadName,
    /// Packs come before indexes.
    pub object: Object,
    pub drop: Option<DropId>,
    pub path: PathBuf,
}

/// Where the spool of a media server's directory is.
pub fn spool_of(directory: &Path) -> PathBuf {
    directory.join("spool")
}

/// Copies what waits in a spool, which may be in use, to a directory.
pub fn export(spool: &Path, to: &Path) -> Result<Exported, MediaError> {
    let mut exported = Exported::default();
    for (item, path) in outlast_spool::listed(spool)? {
        let target = place_of(to, &item);
        if std::fs::metadata(&target).is_ok_and(|there| there.len() == item.size) {
            exported.there += 1;
            continue;
        }
        match copy(&item, &path, &target) {
            Ok(true) => {
                exported.copied += 1;
                exported.bytes += item.size;
            }
            Ok(false) => exported.damaged += 1,
            // It was forwarded meanwhile.
            Err(MediaError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(exported)
}

/// What is on such a disk: of each workload, packs before indexes.
pub fn seeds(from: &Path) -> Result<Vec<Seed>, MediaError> {
    let mut found = Vec::new();
    for (workload, at) in named(from, true, |name| WorkloadName::new(name).ok())? {
        let drop_of = |name: &str| match name {
            NO_DROP => Some(None),
            name => name.parse().ok().map(Some),
        };
        for (drop, at) in named(&at, true, drop_of)? {
            let kind_of = |name: &str| Kind::from_directory(name);
            for (kind, at) in named(&at, true, kind_of)? {
                if !matches!(kind, Kind::Data | Kind::Index) {
                    continue;
                }
                for (object, path) in named(&at, false, |name| Object::parse(kind, name).ok())? {
                    found.push(Seed { workload: workload.clone(), object, drop, path });
                }
            }
        }
    }
    let order =
        |seed: &Seed| (seed.workload.clone(), seed.object.kind() == Kind::Index, seed.object);
    found.sort_by_key(order);
    Ok(found)
}

/// The directories, or files, that lie in a directory under a name that can be read.
fn named<T>(
    directory: &Path,
    are_directories: bool,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Vec<(T, PathBuf)>, MediaError> {
    let failed = || MediaError::io("list", directory);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed())? {
        let entry = entry.map_err(failed())?;
        let (name, kind) = (entry.file_name(), entry.file_type().map_err(failed())?);
        let is_meant = if are_directories { kind.is_dir() } else { kind.is_file() };
        if let Some(read) = name.to_str().filter(|_| is_meant).and_then(&read) {
            found.push((read, directory.join(name)));
        }
    }
    Ok(found)
}

fn place_of(to: &Path, item: &Item) -> PathBuf {
    let drop = item.shipment.map_or_else(|| NO_DROP.to_owned(), |drop| drop.to_string());
    let kind = match item.key.what {
        What::Pack(_) => Kind::Data,
        What::Index(_) => Kind::Index,
    };
    let name = hex::encode(&item.key.what.hash());
    to.join(item.key.workload.as_str()).join(drop).join(kind.directory()).join(name)
}

/// Copies an object, durably; whether it is what its name says.
fn copy(item: &Item, from: &Path, to: &Path) -> Result<bool, MediaError> {
    let mut content = std::fs::File::open(from).map_err(MediaError::io("read", from))?;
    if let Some(parent) = to.parent() {
        durable::create_directories(parent, 0o700).map_err(MediaError::io("make", parent))?;
    }
    let staged = Staged::create(to, 0o600).map_err(MediaError::io("write", to))?;
    let mut hash = outlast_format::Sha256::new();
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = content.read(&mut piece).map_err(MediaError::io("read", from))?;
        if read == 0 {
            break;
        }
        hash.update(&piece[..read]);
        staged.file().write_all(&piece[..read]).map_err(MediaError::io("write", to))?;
    }
    if hash.finish() != item.key.what.hash() {
        return Ok(false);
    }
    staged.publish().map_err(MediaError::io("write", to))?;
    Ok(true)
}
