//! What a writer that stopped left behind: who it was, as it called itself, and how far it came.

use std::io::{self, Read};

use crate::files::Directory;
use crate::layout::{DropAddress, DropFile, segment_name};
use crate::open::OpenRecord;
use crate::share::Share;

/// Names that are looked at: beyond, nobody wants to know it exactly.
const NAMES_MAX: usize = 20_000;
/// How a compressed segment begins.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// What is left of a drop that was not sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// Who wrote it, if it said so.
    pub instance: Option<String>,
    /// Bytes of content that it wrote; `None` if they are compressed, so that nothing follows from them.
    pub bytes: Option<u64>,
}

/// What is left of a drop; `None` if nothing is, or nobody said that it begins.
pub fn left(share: &Share, address: &DropAddress) -> io::Result<Option<Left>> {
    let directory = match share.directory()?.descend(&address.components()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        directory => directory?,
    };
    let Some(record) = OpenRecord::read(&directory)? else { return Ok(None) };
    Ok(Some(Left { instance: record.claims.instance, bytes: written(&directory)? }))
}

fn written(directory: &Directory) -> io::Result<Option<u64>> {
    if is_compressed(directory)? {
        return Ok(None);
    }
    let mut bytes: u64 = 0;
    let (names, _) = directory.names_up_to(NAMES_MAX)?;
    for name in names.iter().filter(|name| DropFile::of(name) == DropFile::Segment) {
        bytes = bytes.saturating_add(directory.facts(name)?.size);
    }
    Ok(Some(bytes))
}

fn is_compressed(directory: &Directory) -> io::Result<bool> {
    let mut file = match directory.file(segment_name(0).as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        file => file?.0,
    };
    let mut magic = [0; ZSTD_MAGIC.len()];
    match file.read_exact(&mut magic) {
        Ok(()) => Ok(magic == ZSTD_MAGIC),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
