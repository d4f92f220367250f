//! Backs up a tree of very many small files that exist nowhere, to see what it takes:
//!
//! ```sh
//! cargo run --release -p outlast-repo --example many_files -- REPOSITORY FILES
//! ```
//!
//! The last line says how much memory it had at its peak.
//!
//! `REPOSITORY` is a directory that is made. A third argument, `back`, makes the source one that
//! comes back to every directory, as a tar archive that was appended to; `one` puts all files into
//! one directory.

use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use outlast_format::config::Version;
use outlast_fs::{Entry, EntryPath, EntrySource, FileTime, Kind, Metadata, SourceError};
use outlast_repo::backup::{Input, Options, backup};
use outlast_repo::{Maker, Repository};
use outlast_store::DirectoryStore;
use outlast_types::{Clock, Silent, SystemClock, SystemRandom};

/// Files of one directory.
const MEMBERS: u64 = 40;

/// Files `a/b/c`, each with some bytes of its own.
struct Many {
    next: u64,
    files: u64,
    comes_back: bool,
    /// Files of one directory.
    members: u64,
    content: Vec<u8>,
}

impl EntrySource for Many {
    fn next_entry(&mut self) -> Result<Option<Entry>, SourceError> {
        if self.next == self.files {
            return Ok(None);
        }
        let number = self.next;
        self.next += 1;
        // In the order of the directories, or once around all of them for each of their files.
        let directories = self.files.div_ceil(self.members);
        let (directory, member) = match self.comes_back {
            false => (number / self.members, number % self.members),
            true => (number % directories, number / directories),
        };
        let names = [directory / 1000, directory % 1000, member];
        let path = EntryPath::from_names(names.map(|name| format!("{name:06}").into()).to_vec());
        let path = path.map_err(|error| SourceError::Ended {
            origin: number.to_string(),
            source: io::Error::other(error),
        })?;
        self.content = format!("file {number}").into();
        let kind = Kind::File { size: self.content.len() as u64 };
        let modified = FileTime { seconds: 1_700_000_000, nanos: 5 };
        let user = "somebody".to_owned();
        let metadata =
            Metadata { mode: 0o644, inode: number, user, modified, ..Metadata::default() };
        Ok(Some(Entry { path, kind, metadata }))
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(self.content.len());
        buffer[..length].copy_from_slice(&self.content[..length]);
        self.content.drain(..length);
        Ok(length)
    }

    fn comes_back(&self) -> bool {
        self.comes_back
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (path, files, shape) = match &arguments[..] {
        [path, files] => (Path::new(path), files.parse()?, ""),
        [path, files, shape] if shape == "back" || shape == "one" => {
            (Path::new(path), files.parse()?, &shape[..])
        }
        _ => {
            return Err(
                "give a directory to make, a number of files, and perhaps: back, one".into()
            );
        }
    };
    let (comes_back, members) = (shape == "back", if shape == "one" { u64::MAX } else { MEMBERS });
    let store = DirectoryStore::create_layout(path)?;
    let now = SystemClock.now();
    let maker = Maker { hostname: String::new(), username: String::new(), created: now };
    let repository =
        Repository::init(Arc::new(store), "many files", Version::V2, &maker, &SystemRandom)?
            .cached_in(&path.join("cache"));
    let source = Many { next: 0, files, comes_back, members, content: Vec::new() };
    let input = Input::Tree(Box::new(source));
    let options = Options::new(now);
    let outcome = backup(&repository, input, &options, &SystemClock, &SystemRandom, &Silent)?;
    let mut output = io::stdout().lock();
    writeln!(output, "tree {}: {:?}", outcome.snapshot.tree, outcome.stats)?;
    let status = fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    writeln!(output, "peak of resident memory: {}", peak.unwrap_or("not known").trim())?;
    Ok(())
}
