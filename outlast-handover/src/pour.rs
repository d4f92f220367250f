//! Pouring out the content of a drop that was brought back as it was dropped: a dump's bytes, or a tree as one tar.

use std::fs::File;
use std::io::{self, Read, Write};

use outlast_drop::tar::write_tree;
use outlast_drop::{ReadOptions, SealedDrop};
use outlast_fs::{Entry, EntrySource, Kind, SourceError};
use outlast_types::Silent;

use crate::age::Identities;
use crate::error::HandoverError;
use crate::manifest::{ContentKind, Original};
use crate::restore::{below_tree, content, entry_path, metadata};
use crate::rules::Layout;
use crate::verify::Found;

const BUFFER_BYTES: usize = 1 << 20;

/// Whether its content can be read at all, with these keys.
pub fn check(found: &Found, keys: Option<&Identities>) -> Result<(), HandoverError> {
    match (found.manifest.layout, found.manifest.kind) {
        (Layout::Drop, _) | (Layout::Unpacked, ContentKind::Tree) => Ok(()),
        _ => content(found, keys).map(drop),
    }
}

/// Writes the content of a drop whose files were verified.
pub fn pour(
    found: &Found,
    keys: Option<&Identities>,
    into: &mut dyn Write,
) -> Result<(), HandoverError> {
    let Found { path, manifest } = found;
    match (manifest.layout, manifest.kind) {
        (Layout::Drop, _) => {
            let sealed = SealedDrop::open_copy(path, manifest.share, &manifest.address())?;
            if sealed.seal().sealed_to.is_some() {
                let reason = format!("drop {} is encrypted for an agent's key", manifest.drop);
                return Err(HandoverError::NotOffered { reason });
            }
            copy(&mut sealed.content(ReadOptions::default()), found, into)
        }
        (Layout::Unpacked, ContentKind::Tree) => {
            let mut files = Files { found, others: 0, files: 0, open: None };
            let summary = write_tree(&mut files, into, &Silent)
                .map_err(|error| form(found, error.to_string()))?;
            match summary.problems.first() {
                Some(problem) => Err(form(found, problem.clone())),
                None => Ok(()),
            }
        }
        _ => copy(&mut content(found, keys)?, found, into),
    }
}

fn form(found: &Found, reason: String) -> HandoverError {
    HandoverError::Form { path: found.path.clone(), reason }
}

fn copy(from: &mut dyn Read, found: &Found, into: &mut dyn Write) -> Result<(), HandoverError> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let length = match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(HandoverError::io("read", &found.path)(error)),
        };
        let written = into.write_all(&buffer[..length]);
        written.map_err(HandoverError::io("write the content of", &found.path))?;
    }
}

/// The files of a tree with the times, owners and permissions that they had.
struct Files<'a> {
    found: &'a Found,
    others: usize,
    files: usize,
    open: Option<File>,
}

impl Files<'_> {
    fn entry(
        &self,
        path: &str,
        kind: Kind,
        original: Option<&Original>,
    ) -> io::Result<Option<Entry>> {
        let Some(path) = below_tree(path) else { return Ok(None) };
        let path = entry_path(&path, &self.found.path).map_err(io::Error::other)?;
        let metadata = original.map(metadata).unwrap_or_default();
        Ok(Some(Entry { path, kind, metadata }))
    }

    fn next(&mut self) -> io::Result<Option<Entry>> {
        let manifest = &self.found.manifest;
        while let Some(other) = manifest.others.get(self.others) {
            self.others += 1;
            let kind = match &other.target {
                Some(to) => Kind::Symlink { target: to.clone().into_bytes() },
                None => Kind::Directory,
            };
            if let Some(entry) = self.entry(&other.path, kind, Some(&other.original))? {
                return Ok(Some(entry));
            }
        }
        while let Some(file) = manifest.files.get(self.files) {
            self.files += 1;
            let kind = Kind::File { size: file.size };
            if let Some(entry) = self.entry(&file.path, kind, file.original.as_ref())? {
                self.open = Some(File::open(self.found.path.join(&file.path))?);
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }
}

impl EntrySource for Files<'_> {
    fn next_entry(&mut self) -> Result<Option<Entry>, SourceError> {
        self.open = None;
        let origin = self.found.path.display().to_string();
        self.next().map_err(|source| SourceError::Ended { origin, source })
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.open {
            Some(file) => file.read(buffer),
            None => Ok(0),
        }
    }
}
