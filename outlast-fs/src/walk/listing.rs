//! The names of one directory in the order of their bytes, however many they are.
//!
//! They lie side by side in a few mebibytes. Where they are more, only the first ones are kept, and
//! when those are used up, the directory is listed again for the next ones: reading names is quick
//! beside reading the files, and needs neither memory nor a disk.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use rustix::fs::{FileType, RawDir, SeekFrom};
use rustix::io::Errno;

use super::visit::Name;

/// Bytes of names that are kept for a later turn; twice as many while a directory is listed.
pub(super) const KEPT_BYTES: usize = 4 << 20;

/// The names of a directory that were not given out yet.
pub(super) struct Listing {
    text: Vec<u8>,
    /// In order, from the next one on.
    names: Vec<Span>,
    next: usize,
    /// Whether the directory may have names beyond those that are kept.
    more: bool,
    last: Vec<u8>,
    kept_bytes: usize,
}

/// A name in the text.
#[derive(Clone, Copy)]
struct Span {
    at: u32,
    length: u16,
    kind: FileType,
}

impl Span {
    fn of(self, text: &[u8]) -> &[u8] {
        &text[self.at as usize..][..usize::from(self.length)]
    }
}

impl Listing {
    /// All names of a directory, to be listed when the first one is asked for.
    pub(super) fn new(kept_bytes: usize) -> Self {
        let (text, names, last) = (Vec::new(), Vec::new(), Vec::new());
        Self { text, names, next: 0, more: true, last, kept_bytes }
    }

    /// Bytes that it takes in memory.
    pub(super) fn held_bytes(&self) -> usize {
        self.text.capacity() + self.names.capacity() * size_of::<Span>()
    }

    /// Gives the memory back; the names are listed again when they are asked for.
    pub(super) fn forget(&mut self) {
        self.more |= self.next < self.names.len();
        (self.text, self.names, self.next) = (Vec::new(), Vec::new(), 0);
    }

    /// The next names, at most `max`; none at the end.
    pub(super) fn take(
        &mut self,
        max: usize,
        directory: &OwnedFd,
        buffer: &mut [MaybeUninit<u8>],
    ) -> Result<Vec<Name>, Errno> {
        if self.next == self.names.len() && self.more {
            self.list(directory, buffer)?;
        }
        let end = self.names.len().min(self.next + max);
        let taken = &self.names[self.next..end];
        let name = |span: &Span| Name { bytes: span.of(&self.text).into(), kind: span.kind };
        let names: Vec<Name> = taken.iter().map(name).collect();
        if let Some(last) = names.last() {
            self.last = last.bytes.to_vec();
        }
        self.next = end;
        if end == self.names.len() {
            (self.text, self.names, self.next) = (Vec::new(), Vec::new(), 0);
        }
        Ok(names)
    }

    /// Lists the directory for the first names behind the last one.
    fn list(&mut self, directory: &OwnedFd, buffer: &mut [MaybeUninit<u8>]) -> Result<(), Errno> {
        (self.next, self.more) = (0, false);
        self.text.clear();
        self.names.clear();
        // The names from here on have no room.
        let mut bound: Option<Vec<u8>> = None;
        rustix::fs::seek(directory, SeekFrom::Start(0))?;
        let mut listing = RawDir::new(directory, buffer);
        while let Some(entry) = listing.next() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." || name <= &self.last[..] {
                continue;
            }
            if bound.as_ref().is_some_and(|bound| name >= &bound[..]) {
                self.more = true;
                continue;
            }
            // The kernel's names have 255 bytes, or a thousand on some file systems.
            let (Ok(at), Ok(length)) = (u32::try_from(self.text.len()), u16::try_from(name.len()))
            else {
                return Err(Errno::NAMETOOLONG);
            };
            self.text.extend_from_slice(name);
            self.names.push(Span { at, length, kind: entry.file_type() });
            if self.text.len() + self.names.len() * size_of::<Span>() > 2 * self.kept_bytes {
                bound = self.prune();
            }
        }
        self.sort();
        Ok(())
    }

    fn sort(&mut self) {
        let text = &self.text;
        self.names.sort_unstable_by(|a, b| a.of(text).cmp(b.of(text)));
    }

    /// Keeps the first half; returns the first name that is gone.
    fn prune(&mut self) -> Option<Vec<u8>> {
        self.sort();
        let kept = (self.names.len() / 2).max(1);
        let gone = self.names.get(kept)?.of(&self.text).to_vec();
        self.names.truncate(kept);
        let mut text = Vec::with_capacity(2 * self.kept_bytes);
        for span in &mut self.names {
            let name = span.of(&self.text);
            // No longer than before.
            span.at = u32::try_from(text.len()).unwrap_or(u32::MAX);
            text.extend_from_slice(name);
        }
        self.text = text;
        self.more = true;
        Some(gone)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(outlast_testing::cases(24))]

        #[test]
        fn names_come_once_and_in_order_however_little_memory_there_is(
            names in prop::collection::btree_set("[a-c]{1,5}", 0..200),
            kept_bytes in 40..4000_usize,
            max in 1..50_usize,
            forgetful in any::<bool>(),
        ) {
            let directory = tempfile::tempdir().unwrap();
            for name in &names {
                File::create(directory.path().join(name)).unwrap();
            }
            let descriptor = OwnedFd::from(File::open(directory.path()).unwrap());
            let mut buffer = vec![MaybeUninit::uninit(); 4096];
            let mut listing = Listing::new(kept_bytes);
            let mut found = Vec::new();
            loop {
                let taken = listing.take(max, &descriptor, &mut buffer).unwrap();
                prop_assert!(listing.held_bytes() <= 8 * kept_bytes + 1024);
                if taken.is_empty() {
                    break;
                }
                found.extend(taken.into_iter().map(|name| String::from_utf8(name.bytes.into()).unwrap()));
                if forgetful {
                    listing.forget();
                }
            }
            prop_assert_eq!(found, names.into_iter().collect::<Vec<_>>());
        }
    }
}
