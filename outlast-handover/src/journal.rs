//! The journal: the ledger's events, one on each line, the first of which is the whole ledger as it was.
//!
//! A line counts when its end is there. So a kill in the middle of one leaves what was before it, and its owner
//! writes all anew at the next start.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use outlast_fs::{durable, fault};
use serde::{Deserialize, Serialize};

use crate::error::HandoverError;
use crate::ledger::{Event, Ledger, Snapshot};

const VERSION: u64 = 1;
const FILE_MODE: u32 = 0o600;
/// A journal that has grown by this is written anew.
const GROWTH_MAX: u64 = 8 << 20;

#[derive(Serialize, Deserialize)]
struct Line {
    version: u64,
    event: Event,
}

/// The journal, for its one owner.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    grown: u64,
    /// Whether a line may have been begun that could not be ended, so that nothing may follow it.
    is_torn: bool,
}

impl Journal {
    /// Reads the ledger, and writes the journal anew.
    pub fn open(path: &Path) -> Result<(Self, Ledger), HandoverError> {
        let mut ledger = read(path)?.unwrap_or_default();
        ledger.prune();
        let file = rewrite(path, &ledger)?;
        Ok((Self { path: path.to_owned(), file, grown: 0, is_torn: false }, ledger))
    }

    /// Makes an event durable, and applies it.
    pub fn record(&mut self, ledger: &mut Ledger, event: Event) -> Result<(), HandoverError> {
        let line = line(&event).map_err(HandoverError::io("write", &self.path))?;
        if self.is_torn {
            // What is there of a line has no end; whatever comes next must not be taken for its rest.
            self.rewrite(ledger)?;
        }
        if let Err(error) = self.append(&line) {
            self.is_torn = true;
            // Where there is no room for a line there may be none for all of them, either: then before the next.
            let _ = self.rewrite(ledger);
            return Err(HandoverError::io("write", &self.path)(error));
        }
        ledger.apply(event);
        self.grown += line.len() as u64;
        if self.grown > GROWTH_MAX {
            ledger.prune();
            self.rewrite(ledger)?;
        }
        Ok(())
    }

    fn rewrite(&mut self, ledger: &Ledger) -> Result<(), HandoverError> {
        self.file = rewrite(&self.path, ledger)?;
        (self.grown, self.is_torn) = (0, false);
        Ok(())
    }

    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        fault::point(|| self.path.clone());
        self.file.write_all(line)?;
        fault::point(|| self.path.clone());
        self.file.sync_data()
    }
}

/// The ledger as the journal tells it; `None` where there is none.
pub fn read(path: &Path) -> Result<Option<Ledger>, HandoverError> {
    let content = match std::fs::read(path) {
        Ok(content) => content,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(HandoverError::io("read", path)(error)),
    };
    let mut ledger = Ledger::default();
    // What has no end was being written.
    let whole = content.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    for (number, line) in content[..whole].split_inclusive(|byte| *byte == b'\n').enumerate() {
        let damaged = |_| HandoverError::Journal { path: path.to_owned(), line: number + 1 };
        let Line { version, event } = serde_json::from_slice(line).map_err(damaged)?;
        if version > VERSION {
            return Err(HandoverError::Newer { path: path.to_owned(), version });
        }
        ledger.apply(event);
    }
    Ok(Some(ledger))
}

fn rewrite(path: &Path, ledger: &Ledger) -> Result<File, HandoverError> {
    let failed = |error| HandoverError::io("write", path)(error);
    let first = line(&Event::Snapshot(Snapshot::from(ledger))).map_err(failed)?;
    durable::replace(path, &first, FILE_MODE).map_err(failed)?;
    OpenOptions::new().append(true).open(path).map_err(failed)
}

fn line(event: &Event) -> io::Result<Vec<u8>> {
    let line = Line { version: VERSION, event: event.clone() };
    let mut bytes = serde_json::to_vec(&line)?;
    bytes.push(b'\n');
    Ok(bytes)
}
