//! Some directories as a tree to be saved, beside a vault that works in them.
//!
//! What vanishes meanwhile is not in it; what grows is in it up to somewhere.

use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use outlast_fs::{Entry, EntryPath, EntrySource, FileTime, Kind, SourceError, durable};

/// Whether a path below a root is left out.
pub(super) type IsLeftOut = fn(&Path) -> bool;

/// The files below some roots, each under a name of its own.
pub(super) struct StateTree {
    /// What is still to be visited, the next one last.
    ahead: Vec<Ahead>,
    current: Option<File>,
}

struct Ahead {
    /// In the tree.
    path: EntryPath,
    /// On the disk.
    place: PathBuf,
    /// Below its root; empty for that itself.
    below: PathBuf,
    is_left_out: IsLeftOut,
}

impl StateTree {
    /// A tree of `roots`: how each is called, where it lies, and what of it is left out.
    pub(super) fn new(roots: &[(String, PathBuf, IsLeftOut)]) -> io::Result<Self> {
        let mut ahead = Vec::new();
        for (name, place, is_left_out) in roots.iter().rev() {
            let path = EntryPath::from_names(vec![name.clone().into_bytes()]);
            ahead.push(Ahead {
                path: path.map_err(|error| io::Error::new(ErrorKind::InvalidInput, error))?,
                place: place.clone(),
                below: PathBuf::new(),
                is_left_out: *is_left_out,
            });
        }
        Ok(Self { ahead, current: None })
    }

    /// Puts what is in a directory in front of what is still to be visited.
    fn enter(&mut self, from: &Ahead) -> io::Result<()> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&from.place)? {
            names.push(entry?.file_name());
        }
        names.sort_unstable();
        for name in names.into_iter().rev() {
            let below = from.below.join(&name);
            if durable::is_temporary(&name) || (from.is_left_out)(&below) {
                continue;
            }
            let path = from.path.join(name.as_encoded_bytes());
            self.ahead.push(Ahead {
                path: path.map_err(|error| io::Error::new(ErrorKind::InvalidInput, error))?,
                place: from.place.join(&name),
                below,
                is_left_out: from.is_left_out,
            });
        }
        Ok(())
    }

    /// The entry at `next`; `None` if there is nothing to be saved any more.
    fn visit(&mut self, next: &Ahead) -> io::Result<Option<Entry>> {
        // A root may be named by a link; what is in it may not lead elsewhere.
        let found = match next.below.as_os_str().is_empty() {
            true => fs::metadata(&next.place),
            false => fs::symlink_metadata(&next.place),
        };
        let metadata = found?;
        let kind = if metadata.is_dir() {
            self.enter(next)?;
            Kind::Directory
        } else if metadata.is_file() {
            let file = File::open(&next.place)?;
            let size = file.metadata()?.len();
            self.current = Some(file);
            Kind::File { size }
        } else {
            return Ok(None);
        };
        Ok(Some(Entry { path: next.path.clone(), kind, metadata: described(&metadata) }))
    }
}

/// Without owners, which mean nothing on another host: what is restored is whose who restores it.
fn described(metadata: &Metadata) -> outlast_fs::Metadata {
    outlast_fs::Metadata {
        mode: metadata.mode() & 0o777,
        modified: FileTime {
            seconds: metadata.mtime(),
            nanos: u32::try_from(metadata.mtime_nsec()).unwrap_or(0),
        },
        links: 1,
        ..outlast_fs::Metadata::default()
    }
}

impl EntrySource for StateTree {
    fn next_entry(&mut self) -> Result<Option<Entry>, SourceError> {
        self.current = None;
        while let Some(next) = self.ahead.pop() {
            match self.visit(&next) {
                Ok(None) => {}
                Ok(entry) => return Ok(entry),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(source) => {
                    let path = next.place.display().to_string();
                    return Err(SourceError::Entry { path, source });
                }
            }
        }
        Ok(None)
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.current.as_mut().map_or(Ok(0), |file| file.read(buffer))
    }

    fn comes_back(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_has_what_lies_there_in_order_and_nothing_that_was_left_out() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("vault");
        let elsewhere = directory.path().join("elsewhere");
        for (path, content) in [("b", "2"), ("a/z", "zz"), ("a/y", ""), ("cache/x", "x")] {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            durable::replace(&path, content.as_bytes(), 0o600).unwrap();
        }
        durable::replace(&elsewhere, b"secret", 0o600).unwrap();
        std::os::unix::fs::symlink(&elsewhere, root.join("link")).unwrap();
        let roots = [
            ("vault".to_owned(), root, (|path| path == Path::new("cache")) as IsLeftOut),
            ("none".to_owned(), directory.path().join("none"), |_| false),
        ];
        let mut tree = StateTree::new(&roots).unwrap();
        let mut found = Vec::new();
        while let Some(entry) = tree.next_entry().unwrap() {
            let mut content = Vec::new();
            let mut buffer = [0; 1];
            while tree.read(&mut buffer).unwrap() > 0 {
                content.extend(buffer);
            }
            let path = String::from_utf8(entry.path.to_bytes()).unwrap();
            found.push((path, String::from_utf8(content).unwrap()));
        }
        let expected = [
            ("vault", ""),
            ("vault/a", ""),
            ("vault/a/y", ""),
            ("vault/a/z", "zz"),
            ("vault/b", "2"),
        ];
        assert_eq!(found, expected.map(|(path, content)| (path.to_owned(), content.to_owned())));
    }
}
