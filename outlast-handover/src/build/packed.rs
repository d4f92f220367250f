//! Content as it is compressed on the share: its segments, one behind the other, are one file that `zstd -d` reads.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use outlast_drop::hash::{Algorithm, Hasher};

use crate::error::HandoverError;
use crate::manifest::FileEntry;

const BUFFER_BYTES: usize = 1 << 20;
/// What such a file is called, behind its name.
pub(super) const SUFFIX: &str = ".zst";
/// What segments are called, behind their number.
const SEGMENT: &str = ".seg";

/// The staged copy of a drop.
pub(super) struct Copied<'a> {
    pub(super) raw: &'a Path,
    pub(super) files: &'a [FileEntry],
}

impl Copied<'_> {
    fn segments(&self) -> Vec<&FileEntry> {
        let mut segments: Vec<&FileEntry> =
            self.files.iter().filter(|file| file.path.ends_with(SEGMENT)).collect();
        // In the order of their numbers, of which the first may have fewer digits.
        segments.sort_by_key(|file| (file.path.len(), file.path.clone()));
        segments
    }

    /// Bytes of all segments.
    pub(super) fn size(&self) -> u64 {
        self.segments().iter().map(|file| file.size).sum()
    }

    /// Writes the segments, which were proved: as they were copied, and nothing else.
    pub(super) fn write(
        &self,
        sink: &mut (dyn Write + Send),
        is_stopped: &(dyn Fn() -> bool + Sync),
    ) -> Result<(), HandoverError> {
        let mut buffer = vec![0; BUFFER_BYTES];
        for segment in self.segments() {
            let path = self.raw.join(&segment.path);
            let mut file = File::open(&path).map_err(HandoverError::io("open", &path))?;
            let mut hasher = Hasher::new(Algorithm::Sha256);
            loop {
                if is_stopped() {
                    return Err(HandoverError::Stopped);
                }
                let length = match file.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(length) => length,
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                    Err(error) => return Err(HandoverError::io("read", &path)(error)),
                };
                hasher.update(&buffer[..length]);
                let staging = Path::new("the staging directory");
                let written = sink.write_all(&buffer[..length]);
                written.map_err(HandoverError::io("write", staging))?;
            }
            if hasher.finish().digits().as_str() != segment.sha256 {
                let changed = std::io::Error::other("it is not what was copied any more");
                return Err(HandoverError::io("read", &path)(changed));
            }
        }
        Ok(())
    }
}
