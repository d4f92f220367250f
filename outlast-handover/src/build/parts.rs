//! One long content in files of bounded size.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use outlast_drop::hash::{Algorithm, Hasher};

use crate::error::HandoverError;
use crate::manifest::FileEntry;
use crate::stage::create;

/// Writes content into one file, or into parts that `cat` puts together again.
pub(super) struct Parts {
    directory: PathBuf,
    name: String,
    /// The most bytes of one part, if it must be cut.
    part_max: Option<u64>,
    current: Option<Current>,
    files: Vec<FileEntry>,
}

struct Current {
    name: String,
    file: File,
    size: u64,
    hasher: Hasher,
}

impl Parts {
    pub(super) fn new(directory: &Path, name: &str, size: u64, file_max: Option<u64>) -> Self {
        let part_max = file_max.filter(|max| size > *max && *max > 0);
        // Room for the number behind it.
        let name: String =
            if part_max.is_some() && name.len() > 240 { "content".into() } else { name.into() };
        Self { directory: directory.to_owned(), name, part_max, current: None, files: Vec::new() }
    }

    /// The files.
    pub(super) fn finish(mut self) -> io::Result<Vec<FileEntry>> {
        if self.current.is_none() && self.files.is_empty() {
            self.begin()?;
        }
        self.end()?;
        Ok(self.files)
    }

    fn begin(&mut self) -> io::Result<()> {
        let name = match self.part_max {
            Some(_) => format!("{}.part{:05}", self.name, self.files.len() + 1),
            None => self.name.clone(),
        };
        let file = create(&self.directory.join(&name)).map_err(|error| match error {
            HandoverError::Io { source, .. } => source,
            other => io::Error::other(other),
        })?;
        let hasher = Hasher::new(Algorithm::Sha256);
        self.current = Some(Current { name, file, size: 0, hasher });
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        let Some(Current { name, size, hasher, .. }) = self.current.take() else { return Ok(()) };
        let sha256 = hasher.finish().digits().as_str().to_owned();
        self.files.push(FileEntry { path: name, size, sha256, original: None });
        Ok(())
    }
}

impl Write for Parts {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let max = self.part_max.unwrap_or(u64::MAX);
        if self.current.as_ref().is_some_and(|current| current.size >= max) {
            self.end()?;
        }
        if self.current.is_none() {
            self.begin()?;
        }
        let Some(current) = &mut self.current else { return Ok(0) };
        let room = usize::try_from(max - current.size).unwrap_or(usize::MAX);
        let length = current.file.write(&buffer[..buffer.len().min(room)])?;
        current.hasher.update(&buffer[..length]);
        current.size += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
