//! Trees: what is in them is the team's own, and no file of it is judged but those of a directory of
//! `pg_dump`, which says itself which they are.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;

use outlast_fs::entry::Interrupter;
use outlast_fs::{Entry, EntrySource, Kind, SourceError};
use outlast_types::{ContentKind, Sanity, Verdict};

use super::ending::Ending;
use super::examiner::{Examiner, SanityWatch};
use super::found::{End, Found};
use super::postgres::{self, Walk, Wanted};

/// The table of contents, and lists of large objects beside it.
const CONTENTS: &[u8] = b"toc.dat";
/// Files of data that are remembered; beyond, nothing is told of any directory.
const FILES_MAX: usize = 1_000_000;
/// What ends the data of a table that is copied.
const COPIED: &[u8] = b"\\.\n\n\n";
const DIRECTORIES_MAX: usize = 256;
/// A list of large objects that is longer is not read.
const OBJECTS_BYTES_MAX: usize = 64 << 20;
/// Packed files have one of these behind the names in the table of contents.
const SUFFIXES: [&str; 3] = [".gz", ".zst", ".lz4"];

/// A source of entries that is looked at on its way.
pub struct ExaminedTree<S> {
    inner: S,
    current: Option<(Place, File)>,
    seen: HashMap<Place, Seen>,
    contents: Vec<Contents>,
    entries: u64,
    is_too_much: bool,
    watch: SanityWatch,
}

/// A directory and a name in it, by their hashes.
type Place = (u64, u64);

/// What is known of a file of data.
struct Seen {
    /// `None` if it is not known.
    is_whole: Option<bool>,
    /// Whether it ends as copied data does; `None` if that cannot be seen.
    ends_copied: Option<bool>,
}

/// A table of contents that was read.
struct Contents {
    directory: u64,
    path: String,
    end: End,
    entries: u64,
    files: Vec<Wanted>,
}

/// The file whose content passes.
enum File {
    Contents {
        path: String,
        walk: Box<Walk>,
        head: Vec<u8>,
    },
    /// A list of large objects.
    Objects {
        path: String,
        text: Vec<u8>,
    },
    /// What it must be by its name, if that is a kind that can be told.
    Packed(Examiner, Option<ContentKind>),
    Plain(Ending),
    /// Not all of it passed.
    Skipped,
}

impl<S: EntrySource> ExaminedTree<S> {
    pub fn new(inner: S) -> Self {
        Self {
            inner,
            current: None,
            seen: HashMap::new(),
            contents: Vec::new(),
            entries: 0,
            is_too_much: false,
            watch: SanityWatch::default(),
        }
    }

    pub fn watch(&self) -> SanityWatch {
        self.watch.clone()
    }

    fn begin(&mut self, entry: &Entry) {
        self.entries += 1;
        if !matches!(entry.kind, Kind::File { .. }) {
            return;
        }
        let bytes = entry.path.to_bytes();
        let name = bytes.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let directory = &bytes[..bytes.len() - name.len()];
        let unpacked = SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix.as_bytes()));
        let plain = unpacked.unwrap_or(name);
        let place = (hash(directory), hash(plain));
        let path = entry.path.to_string();
        let file = if name == CONTENTS {
            let (walk, head) = (Box::default(), Vec::new());
            File::Contents { path, walk, head }
        } else if name.starts_with(b"blobs") && name.ends_with(b".toc") {
            File::Objects { path, text: Vec::new() }
        } else if !plain.ends_with(b".dat") {
            return;
        } else if unpacked.is_some() {
            let kind = match unpacked.map(|unpacked| &name[unpacked.len()..]) {
                Some(b".gz") => Some(ContentKind::Gzip),
                Some(b".zst") => Some(ContentKind::Zstd),
                _ => None,
            };
            File::Packed(Examiner::default(), kind)
        } else {
            File::Plain(Ending::new(COPIED.len()))
        };
        self.current = Some((place, file));
    }

    /// The content of the current file has passed, or what of it was wanted.
    fn end(&mut self) {
        let Some((place, file)) = self.current.take() else { return };
        let seen = |is_whole, ends_copied| Seen { is_whole, ends_copied };
        let seen = match file {
            File::Contents { path, walk, head } => {
                if postgres::is_contents(&head) && self.contents.len() < DIRECTORIES_MAX {
                    let (end, entries) = walk.end();
                    let (directory, files) = (place.0, walk.files);
                    self.contents.push(Contents { directory, path, end, entries, files });
                }
                return;
            }
            File::Objects { path, text } => {
                let is_whole = text.is_empty() || text.ends_with(b"\n");
                let files = text.split(|byte| *byte == b'\n').filter_map(|line| {
                    let at = line.iter().position(|byte| *byte == b' ')?;
                    Some(Wanted { name: line[at + 1..].to_owned(), is_copied: false })
                });
                if text.len() < OBJECTS_BYTES_MAX && self.contents.len() < DIRECTORIES_MAX {
                    let (end, directory) = (End::Whole, place.0);
                    let files = files.collect();
                    self.contents.push(Contents { directory, path, end, entries: 0, files });
                }
                seen(Some(is_whole), None)
            }
            File::Packed(examiner, expected) => {
                let Sanity { verdict, kind, packed, .. } = examiner.finish();
                let is_it = expected.is_none_or(|expected| [kind, packed].contains(&expected));
                let is_told = verdict != Verdict::Unknown || !is_it;
                seen(is_told.then_some(is_it && verdict != Verdict::Broken), None)
            }
            File::Plain(ending) => seen(None, Some(ending.bytes() == COPIED)),
            File::Skipped => seen(None, None),
        };
        if self.seen.len() < FILES_MAX {
            self.seen.insert(place, seen);
        } else {
            self.is_too_much = true;
        }
    }

    fn pass(&mut self, piece: &[u8]) {
        match self.current.as_mut().map(|(_, file)| file) {
            Some(File::Contents { walk, head, .. }) => {
                head.extend_from_slice(
                    &piece[..piece.len().min(16_usize.saturating_sub(head.len()))],
                );
                // What is no table of contents is not walked through.
                if head.len() < 11 || postgres::is_contents(head) {
                    walk.feed(piece);
                }
            }
            Some(File::Objects { text, .. }) if text.len() < OBJECTS_BYTES_MAX => {
                text.extend_from_slice(piece);
            }
            Some(File::Packed(examiner, _)) => examiner.feed(piece),
            Some(File::Plain(ending)) => ending.push(piece),
            Some(File::Objects { .. } | File::Skipped) | None => {}
        }
    }

    fn found(&mut self) -> Found {
        // Lists of large objects belong to a directory that has a table of contents.
        let of_tables: Vec<u64> = self.tables().map(|contents| contents.directory).collect();
        if of_tables.is_empty() {
            let text = "the files of a tree are not looked into".to_owned();
            let found = Found::of(ContentKind::default(), End::Untold(text));
            return Found { entries: Some(self.entries), ..found };
        }
        let end = match self.is_too_much {
            true => End::Untold("it has more files than are looked at".to_owned()),
            false => {
                let contents = self.contents.iter();
                let mut of_dumps = contents.filter(|it| of_tables.contains(&it.directory));
                of_dumps.find_map(|contents| self.flaw_of(contents)).unwrap_or(End::Whole)
            }
        };
        let found = Found::of(ContentKind::PgDumpDirectory, end);
        Found { entries: Some(self.tables().map(|contents| contents.entries).sum()), ..found }
    }

    fn tables(&self) -> impl Iterator<Item = &Contents> {
        let is_table = |contents: &&Contents| contents.path.as_bytes().ends_with(CONTENTS);
        self.contents.iter().filter(is_table)
    }

    fn flaw_of(&self, contents: &Contents) -> Option<End> {
        let Contents { directory, path, end, files, .. } = contents;
        match end {
            End::Whole => {}
            End::CutOff(text) => return Some(End::CutOff(format!("{path}: {text}"))),
            End::Damaged(text) => return Some(End::Damaged(format!("{path}: {text}"))),
            End::Untold(text) => return Some(End::Untold(format!("{path}: {text}"))),
        }
        let flaw = |file: &Wanted| {
            let name = outlast_fs::entry::show(&file.name);
            match self.seen.get(&(*directory, hash(&file.name))) {
                None => Some(format!("{path} names {name}, which is not there")),
                Some(Seen { is_whole: Some(false), .. }) => {
                    Some(format!("{name}, of which {path} speaks, was cut off"))
                }
                Some(Seen { ends_copied: Some(false), .. }) if file.is_copied => Some(format!(
                    "{name}, of which {path} speaks, does not end as copied data does"
                )),
                Some(_) => None,
            }
        };
        files.iter().find_map(flaw).map(End::CutOff)
    }
}

fn hash(text: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

impl<S: EntrySource> EntrySource for ExaminedTree<S> {
    fn next_entry(&mut self) -> Result<Option<Entry>, SourceError> {
        self.end();
        let entry = self.inner.next_entry()?;
        match &entry {
            Some(entry) => self.begin(entry),
            None => {
                let sanity = Sanity::from(self.found());
                self.watch.note(sanity);
            }
        }
        Ok(entry)
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.pass(&buffer[..count]);
        Ok(count)
    }

    fn extents(&mut self) -> io::Result<Option<Vec<(u64, u64)>>> {
        self.inner.extents()
    }

    fn skip(&mut self, length: u64) -> io::Result<()> {
        if let Some((_, file)) = &mut self.current {
            *file = File::Skipped;
        }
        self.inner.skip(length)
    }

    fn length(&mut self) -> Option<u64> {
        self.inner.length()
    }

    fn interrupter(&self) -> Interrupter {
        self.inner.interrupter()
    }

    fn comes_back(&self) -> bool {
        self.inner.comes_back()
    }
}
