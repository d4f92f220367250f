//! Entries of a file tree: the vocabulary between walkers, tar, the engine and restore.

use std::fmt;
use std::io;

/// A path inside a tree: relative, made of one or more names; never empty, never with `.`, `..`,
/// `/` or NUL, so that joining it to a directory cannot leave that directory by its text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryPath(Vec<Vec<u8>>);

/// Why bytes are not a path inside a tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{shown} is not a path inside a tree: {reason}")]
pub struct InvalidPath {
    shown: String,
    reason: &'static str,
}

/// Depth and length beyond which a path is refused; Linux refuses longer ones (`PATH_MAX`).
const PATH_LENGTH_MAX: usize = 4096;
const NAME_LENGTH_MAX: usize = 255;

impl EntryPath {
    /// Takes a path from outside, such as a tar member's name. Empty components and single dots
    /// are dropped as the kernel would; a leading `/` and any `..` are refused.
    pub fn parse(path: &[u8]) -> Result<Self, InvalidPath> {
        let refuse = |reason| InvalidPath { shown: show(&path[..path.len().min(200)]), reason };
        if path.first() == Some(&b'/') {
            return Err(refuse("it is absolute"));
        }
        Self::from_names(
            path.split(|&byte| byte == b'/')
                .filter(|name| !name.is_empty() && *name != b".")
                .map(<[u8]>::to_vec)
                .collect(),
        )
        .map_err(|error| refuse(error.reason))
    }

    /// Takes names as they are; every one must be a plain file name.
    pub fn from_names(names: Vec<Vec<u8>>) -> Result<Self, InvalidPath> {
        let reason = if names.is_empty() {
            Some("it is empty")
        } else if names.iter().map(|name| name.len() + 1).sum::<usize>() > PATH_LENGTH_MAX {
            Some("it is too long")
        } else {
            names.iter().find_map(|name| name_violation(name))
        };
        match reason {
            None => Ok(Self(names)),
            Some(reason) => {
                let mut shown = show(&names.join(&b'/'));
                shown.truncate(shown.floor_char_boundary(200));
                Err(InvalidPath { shown, reason })
            }
        }
    }

    /// The names from the top down; at least one.
    pub fn names(&self) -> &[Vec<u8>] {
        &self.0
    }

    /// The last name.
    pub fn name(&self) -> &[u8] {
        self.0.last().map_or(&[], Vec::as_slice)
    }

    /// The path of the directory that holds it; `None` at the top.
    pub fn parent(&self) -> Option<Self> {
        (self.0.len() > 1).then(|| Self(self.0[..self.0.len() - 1].to_vec()))
    }

    /// The path of `name` inside this directory.
    pub fn join(&self, name: &[u8]) -> Result<Self, InvalidPath> {
        let mut names = self.0.clone();
        names.push(name.to_vec());
        Self::from_names(names)
    }

    /// The names joined by `/`, without a leading one.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.join(&b'/')
    }
}

/// Why `name` cannot be one component of a path.
fn name_violation(name: &[u8]) -> Option<&'static str> {
    match name {
        b"" => Some("a name in it is empty"),
        b"." | b".." => Some("it has a component '.' or '..'"),
        _ if name.contains(&b'/') => Some("a name in it has a '/'"),
        _ if name.contains(&0) => Some("a name in it has a NUL byte"),
        _ if name.len() > NAME_LENGTH_MAX => Some("a name in it is longer than 255 bytes"),
        _ => None,
    }
}

/// Bytes as one line of printable text: as they are if they are that, and else in the quotes in
/// which a shell takes them, as in `$'caf\xe9'`. Different bytes never look the same, and what is
/// shown can be pasted into a command line; nothing of ours reads it back.
pub fn show(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains("$'") && text.chars().all(is_printable) => text.to_owned(),
        _ => quote(bytes),
    }
}

/// Whether a terminal shows a character where it stands, rather than obeys it.
fn is_printable(c: char) -> bool {
    let turns_text = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2066}'..='\u{2069}');
    !(c.is_control() || turns_text || matches!(c, '\u{2028}'..='\u{202e}'))
}

fn quote(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + 8);
    text.push_str("$'");
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\n' => text.push_str("\\n"),
                '\t' => text.push_str("\\t"),
                '\r' => text.push_str("\\r"),
                '\\' | '\'' => text.extend(['\\', c]),
                _ if is_printable(c) => text.push(c),
                _ => quote_bytes(c.encode_utf8(&mut [0; 4]).as_bytes(), &mut text),
            }
        }
        quote_bytes(chunk.invalid(), &mut text);
    }
    text.push('\'');
    text
}

fn quote_bytes(bytes: &[u8], text: &mut String) {
    for byte in bytes {
        text.push_str(&format!("\\x{byte:02x}"));
    }
}

impl fmt::Display for EntryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&show(&self.to_bytes()))
    }
}

impl fmt::Debug for EntryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A moment as file systems keep it: any year, nanoseconds 0 to 999,999,999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct FileTime {
    pub seconds: i64,
    pub nanos: u32,
}

/// The kind of an entry, with what only that kind has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A regular file of `size` bytes; its content comes from the [`EntrySource`].
    File {
        size: u64,
    },
    /// Another name of a file that came earlier in the same tree.
    HardLink {
        target: EntryPath,
    },
    Directory,
    Symlink {
        target: Vec<u8>,
    },
    CharDevice {
        major: u32,
        minor: u32,
    },
    BlockDevice {
        major: u32,
        minor: u32,
    },
    Fifo,
    Socket,
}

/// Everything about an entry but its name, kind and content.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata {
    /// Permission bits with setuid, setgid and sticky: 0 to 0o7777.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Names of owner and group on the host that wrote it; empty when not known.
    pub user: String,
    pub group: String,
    pub modified: FileTime,
    /// `None` where the source has no such time (tar without extended headers).
    pub accessed: Option<FileTime>,
    pub changed: Option<FileTime>,
    /// Device, inode number and link count, which together tell hard links; 0 when not known, and
    /// where the numbers are those of another file that came earlier.
    pub device: u64,
    pub inode: u64,
    pub links: u64,
    /// Extended attributes with their full names (`user.x`, `system.posix_acl_access`, …).
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// One member of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub path: EntryPath,
    pub kind: Kind,
    pub metadata: Metadata,
}

/// A tree as a stream of entries: a walk over local paths, or a tar file.
///
/// A directory comes before what is in it; the target of a hard link before the link. Otherwise
/// the order is free, and directories that are never named may be implied by the paths.
pub trait EntrySource: Send {
    /// The next entry, or `None` at the end. What was not read of the last entry's content is
    /// skipped.
    fn next_entry(&mut self) -> Result<Option<Entry>, SourceError>;

    /// Reads content of the entry that [`next_entry`](Self::next_entry) gave last, if that is a
    /// [`Kind::File`]; 0 at its end. The file may turn out longer or shorter than its `size`.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// The parts of that content that are no holes, as (offset, length) in order, where the source
    /// knows of holes; `None` if all of it is data. To be asked before the first `read`.
    fn extents(&mut self) -> io::Result<Option<Vec<(u64, u64)>>> {
        Ok(None)
    }

    /// Passes over `length` bytes of that content, as if they had been read; a hole costs nothing
    /// that way.
    fn skip(&mut self, length: u64) -> io::Result<()> {
        let mut left = length;
        let mut buffer = [0; 8 << 10];
        while left > 0 {
            let wanted = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            match self.read(&mut buffer[..wanted]) {
                Ok(0) => break,
                Ok(read) => left -= read as u64,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// How long that content is by now, where the source can tell.
    fn length(&mut self) -> Option<u64> {
        None
    }

    /// The interrupter that ends a wait inside a call of this source, now and from then on, from
    /// another thread.
    fn interrupter(&self) -> Interrupter {
        Box::new(|| {})
    }

    /// Whether it may go back to a directory after it went elsewhere, or link to files whose
    /// [`Metadata::links`] does not count every name that is in the tree. What a source that never
    /// does so has left behind need not be remembered.
    fn comes_back(&self) -> bool {
        true
    }
}

/// Ends the waits of an [`EntrySource`].
pub type Interrupter = Box<dyn Fn() + Send + Sync>;

/// Why a source could not give its next entry.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// One entry cannot be had; the source goes on with the next one.
    #[error("cannot read {path}: {source}")]
    Entry { path: String, source: io::Error },
    /// The source cannot go on.
    #[error("cannot read {origin}: {source}")]
    Ended { origin: String, source: io::Error },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_printable_text_is_shown_as_a_shell_takes_it() {
        for (bytes, shown) in [
            (b"plain name.txt".as_slice(), "plain name.txt"),
            (b"caf\xe9", r"$'caf\xe9'"),
            (br"caf\xe9", r"caf\xe9"),
            (b"a\tb", r"$'a\tb'"),
            (br"a\tb", r"a\tb"),
            (b"it's \x1b[31m\\", r"$'it\'s \x1b[31m\\'"),
            (br"$'caf\xe9'", r"$'$\'caf\\xe9\''"),
            ("caf\u{e9} \u{1f980} e\u{301}".as_bytes(), "caf\u{e9} \u{1f980} e\u{301}"),
            ("turned \u{202e}".as_bytes(), r"$'turned \xe2\x80\xae'"),
        ] {
            assert_eq!(show(bytes), shown);
        }
    }

    proptest! {
        #[test]
        fn different_names_never_look_the_same(
            one in "[$'\\\\xe9nt\n\t\u{e9}]{0,6}",
            bytes in prop::collection::vec(prop::sample::select(&b"$'\\xe9nt\n\xe9\xc3\xa9"[..]), 0..6),
        ) {
            prop_assert_eq!(show(one.as_bytes()) == show(&bytes), one.as_bytes() == bytes);
        }
    }
}
