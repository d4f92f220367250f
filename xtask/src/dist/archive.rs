//! Compression, the archive of archives that a Debian package is, and checksums.

use std::io::Write as _;

use anyhow::{Context, Result, ensure};
use flate2::{Compression, GzBuilder};

/// How hard to compress.
#[derive(Debug, Clone, Copy)]
pub(super) struct Compressor(Compression);

impl Compressor {
    pub(super) fn new(is_fast: bool) -> Self {
        Self(if is_fast { Compression::fast() } else { Compression::best() })
    }

    /// As `gzip -n`: neither a name nor a time goes into it.
    pub(super) fn gzip(self, bytes: &[u8]) -> Result<Vec<u8>> {
        // 3 is Unix, as gzip says it.
        let builder = GzBuilder::new().mtime(0).operating_system(3);
        let mut writer = builder.write(Vec::new(), self.0);
        writer.write_all(bytes).and_then(|()| writer.finish()).context("compress")
    }
}

/// The format of `ar`, with names of up to 15 bytes.
pub(super) fn ar(members: &[(&str, &[u8])], moment: u64) -> Result<Vec<u8>> {
    let mut archive = b"!<arch>\n".to_vec();
    for (name, bytes) in members {
        let size = bytes.len();
        let header = format!("{name:<16}{moment:<12}{:<6}{:<6}{:<8}{size:<10}`\n", 0, 0, "100644");
        ensure!(name.len() < 16 && header.len() == 60, "{name} does not fit into an archive");
        archive.extend_from_slice(header.as_bytes());
        archive.extend_from_slice(bytes);
        if size % 2 == 1 {
            archive.push(b'\n');
        }
    }
    Ok(archive)
}

/// In the digits that `sha256sum` prints.
pub(super) fn sha256(bytes: &[u8]) -> String {
    let hash = ring::digest::digest(&ring::digest::SHA256, bytes);
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
