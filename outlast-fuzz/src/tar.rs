//! The reader of tar archives.

use std::io;

use outlast_drop::tar::{TarLimits, TarSource, write_tree};
use outlast_fs::{Entry, EntrySource, Kind};
use outlast_types::Silent;

use crate::outcome::{Outcome, scale};

/// Holes cost an archive nothing, so they bound what one input can make of itself here.
const HOLE_BYTES_MAX: u64 = 1 << 20;

/// An archive: its paths stay inside, and what it holds survives being written and read again.
pub fn tar(input: &[u8]) -> Outcome {
    let limits = TarLimits { hole_bytes_max: HOLE_BYTES_MAX, ..TarLimits::default() };
    let source = || TarSource::new(input, limits.clone());
    let entries = match read(&mut source()) {
        Ok(entries) => entries,
        Err(reason) => return Outcome::refused(reason),
    };
    for (entry, content) in &entries {
        let names = entry.path.names();
        assert!(!names.is_empty());
        assert!(names.iter().all(|name| !matches!(&name[..], b"" | b"." | b"..")));
        assert!(names.iter().all(|name| !name.contains(&b'/') && !name.contains(&0)));
        if let Kind::File { size } = entry.kind {
            assert_eq!(content.len() as u64, size, "{}", entry.path);
        }
    }
    let mut written = Vec::new();
    if let Ok(summary) = write_tree(&mut source(), &mut written, &Silent)
        && summary.problems.is_empty()
    {
        let again = read(&mut TarSource::new(&written[..], TarLimits::default()));
        let again = again.expect("what we write can be read");
        let seen = |entries: &[(Entry, Vec<u8>)]| -> Vec<_> {
            entries
                .iter()
                .map(|(Entry { path, kind, metadata }, content)| {
                    let owner = (metadata.mode, metadata.uid, metadata.gid);
                    (path.clone(), format!("{kind:?}"), owner, metadata.modified, content.clone())
                })
                .collect()
        };
        assert_eq!(seen(&again), seen(&entries));
    }
    let kinds: Vec<_> =
        entries.iter().take(4).map(|(entry, _)| std::mem::discriminant(&entry.kind)).collect();
    Outcome::accepted((scale(entries.len()), kinds))
}

/// All entries with their content, or why there are none.
fn read(source: &mut dyn EntrySource) -> Result<Vec<(Entry, Vec<u8>)>, String> {
    let mut entries = Vec::new();
    while let Some(entry) = source.next_entry().map_err(|error| error.to_string())? {
        let mut content = Vec::new();
        if let Kind::File { .. } = entry.kind {
            copy(source, &mut content).map_err(|error| error.to_string())?;
        }
        entries.push((entry, content));
    }
    Ok(entries)
}

fn copy(source: &mut dyn EntrySource, content: &mut Vec<u8>) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        match source.read(&mut buffer)? {
            0 => return Ok(()),
            length => content.extend_from_slice(&buffer[..length]),
        }
    }
}
