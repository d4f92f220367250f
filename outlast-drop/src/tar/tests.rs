use std::collections::VecDeque;
use std::io::Read;

use outlast_fs::{Entry, EntryPath, EntrySource, Kind, Metadata, SourceError};
use outlast_types::Silent;
use proptest::prelude::*;
use tar::{EntryType, Header};

use super::*;

/// One member with its content, as any program might write it.
fn member(kind: EntryType, name: &str, link: &str, content: &[u8]) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(content.len() as u64);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    bytes
}

/// The extended header of a sparse file in the form 1.0.
fn sparse_header(size: &str) -> Vec<u8> {
    let mut records = Records::default();
    records.push("GNU.sparse.major", "1");
    records.push("GNU.sparse.minor", "0");
    records.push("GNU.sparse.realsize", size);
    member(EntryType::XHeader, "x", "", &records.to_bytes())
}

fn archive(members: &[Vec<u8>]) -> Vec<u8> {
    [members.concat(), vec![0; 2 * BLOCK]].concat()
}

/// Reads everything; the names, or why not.
fn read(bytes: &[u8], limits: TarLimits) -> Result<Vec<String>, String> {
    let mut source = TarSource::new(bytes, limits);
    let watch = source.watch();
    let mut names = Vec::new();
    let mut buffer = vec![0; 4096];
    let mut all = || -> Result<(), SourceError> {
        while let Some(entry) = source.next_entry()? {
            names.push(entry.path.to_string());
            let read = |source: io::Error| SourceError::Ended { origin: String::new(), source };
            while source.read(&mut buffer).map_err(read)? > 0 {}
        }
        Ok(())
    };
    match all() {
        Ok(()) => Ok(names),
        Err(error) => {
            assert!(watch.failure().is_some(), "{error}");
            Err(error.to_string())
        }
    }
}

#[track_caller]
fn refused(members: &[Vec<u8>], why: &str) {
    let error = read(&archive(members), TarLimits::default()).unwrap_err();
    assert!(error.contains(why), "{error}");
}

#[test]
fn names_that_lead_out_of_the_tree_are_refused() {
    let file = |name| member(EntryType::Regular, name, "", b"x");
    refused(&[file("../escape")], "..");
    refused(&[file("a/../../escape")], "..");
    refused(&[file("/etc/passwd")], "absolute");
    refused(&[file("a"), member(EntryType::Link, "b", "../../etc/passwd", b"")], "..");
    let link = member(EntryType::Symlink, "a/link", "/etc", b"");
    refused(&[link.clone(), file("a/link/passwd")], "through a symbolic link");
    let pax = member(EntryType::XHeader, "x", "", b"21 path=../../escape\n");
    refused(&[pax, file("harmless")], "..");
    assert_eq!(
        read(&archive(&[link, file("./a//b")]), TarLimits::default()).unwrap(),
        ["a/link", "a/b"]
    );
}

#[test]
fn an_archive_without_its_end_is_refused() {
    let whole = archive(&[member(EntryType::Regular, "a", "", &[7; 700])]);
    for length in [0, 1, 511, 512, 1000, 1500, 1536] {
        let error = read(&whole[..length], TarLimits::default()).unwrap_err();
        assert!(error.contains("cut off"), "{length}: {error}");
    }
}

#[test]
fn what_costs_nothing_in_an_archive_is_limited() {
    let file = || member(EntryType::Regular, "a", "", b"");
    let limits = TarLimits { entries_max: 3, ..TarLimits::default() };
    let four = archive(&[file(), file(), file(), file()]);
    assert!(read(&four, limits).unwrap_err().contains("more than 3 entries"));

    let deep = member(EntryType::GNULongName, "x", "", &b"d/".repeat(1500));
    refused(&[deep, file()], "deeper than");

    let pax = sparse_header("9000000000000000000");
    let mut map = b"0\n".to_vec();
    map.resize(BLOCK, 0);
    refused(&[pax, member(EntryType::Regular, "a", "", &map)], "holes");

    let mut huge = member(EntryType::XHeader, "x", "", b"");
    let mut header = Header::from_byte_slice(&huge).clone();
    header.set_size(1 << 33);
    header.set_cksum();
    huge.copy_from_slice(header.as_bytes());
    refused(&[huge], "longer than");

    let many = vec![member(EntryType::XHeader, "x", "", b""); 40_000];
    refused(&many, "longer than");
}

#[test]
fn nothing_is_left_unread_behind_the_end() {
    struct Counting<'a>(&'a [u8], &'a mut u64);
    impl Read for Counting<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = self.0.read(buffer)?;
            *self.1 += length as u64;
            Ok(length)
        }
    }
    let bytes = [archive(&[member(EntryType::Regular, "a", "", b"x")]), vec![0; 9999]].concat();
    let mut count = 0;
    let mut source = TarSource::new(Counting(&bytes, &mut count), TarLimits::default());
    while source.next_entry().unwrap().is_some() {}
    drop(source);
    assert_eq!(count, bytes.len() as u64);
}

proptest! {
    #![proptest_config(outlast_testing::cases(400))]

    #[test]
    fn a_damaged_archive_never_makes_the_reader_panic(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        fix_checksums in any::<bool>(),
    ) {
        let pax = sparse_header("900");
        let mut map = b"1\n100\n5\n".to_vec();
        map.resize(BLOCK, 0);
        map.extend(b"hello");
        let mut bytes = archive(&[
            member(EntryType::Directory, "d/", "", b""),
            pax,
            member(EntryType::Regular, "d/sparse", "", &map),
            member(EntryType::GNUSparse, "old", "", b"abc"),
            member(EntryType::GNULongName, "x", "", b"d/long"),
            member(EntryType::Symlink, "short", "target", b""),
        ]);
        for (at, byte) in flips {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if fix_checksums {
            for block in bytes.as_chunks_mut::<BLOCK>().0 {
                if block[257..262] == *b"ustar" {
                    let mut header = Header::from_byte_slice(block).clone();
                    header.set_cksum();
                    block.copy_from_slice(header.as_bytes());
                }
            }
        }
        let limits = TarLimits { hole_bytes_max: 1 << 20, ..TarLimits::default() };
        let _ = read(&bytes, limits);
    }
}

/// A source that says one thing of its files and gives another.
#[derive(Default)]
struct Odd {
    entries: VecDeque<(Entry, Vec<u8>)>,
    content: Vec<u8>,
    at: usize,
    /// How long files are by now, and where they cannot be read on.
    length: Option<u64>,
    fails_at: Option<usize>,
}

impl Odd {
    fn file(mut self, name: &str, said: u64, content: &[u8]) -> Self {
        let metadata = Metadata { links: 2, ..Metadata::default() };
        let path = EntryPath::parse(name.as_bytes()).unwrap();
        let entry = Entry { path, kind: Kind::File { size: said }, metadata };
        self.entries.push_back((entry, content.to_vec()));
        self
    }

    fn other(mut self, name: &str, kind: Kind) -> Self {
        let path = EntryPath::parse(name.as_bytes()).unwrap();
        self.entries.push_back((Entry { path, kind, metadata: Metadata::default() }, Vec::new()));
        self
    }

    /// What was said of it, and what a reader finds, as name and length.
    fn written(mut self) -> (TreeSummary, Vec<(String, usize)>) {
        let mut bytes = Vec::new();
        let summary = write_tree(&mut self, &mut bytes, &Silent).unwrap();
        let mut source = TarSource::new(&bytes[..], TarLimits::default());
        let mut found = Vec::new();
        while let Some(entry) = source.next_entry().unwrap() {
            let mut buffer = vec![0; 1 << 20];
            let mut length = 0;
            loop {
                match source.read(&mut buffer[length..]).unwrap() {
                    0 => break,
                    read => length += read,
                }
            }
            found.push((entry.path.to_string(), length));
        }
        (summary, found)
    }
}

impl EntrySource for Odd {
    fn next_entry(&mut self) -> Result<Option<Entry>, SourceError> {
        let Some((entry, content)) = self.entries.pop_front() else { return Ok(None) };
        (self.content, self.at) = (content, 0);
        Ok(Some(entry))
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let end = self.content.len().min(self.fails_at.unwrap_or(usize::MAX));
        if self.at == end && end < self.content.len() {
            return Err(io::Error::other("a bad sector"));
        }
        let length = buffer.len().min(end - self.at);
        buffer[..length].copy_from_slice(&self.content[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }

    fn length(&mut self) -> Option<u64> {
        self.length
    }
}

#[test]
fn what_is_read_counts_and_not_the_size_that_was_said() {
    let source = Odd::default().file("more", 0, &[1; 900]).file("less", 9000, &[1; 5]);
    let (summary, found) = source.written();
    assert_eq!(summary.problems, Vec::<String>::new());
    assert_eq!(found, [("more".to_owned(), 900), ("less".to_owned(), 5)]);
}

#[test]
fn a_file_that_grew_is_a_remark_and_one_that_hides_something_is_a_gap() {
    let long = vec![1; 400_000];
    let grew = Odd { length: Some(400_000), ..Odd::default() }.file("log", 300_000, &long);
    let (summary, found) = grew.written();
    assert_eq!((summary.problem_count, found), (0, vec![("log".to_owned(), 300_000)]));
    assert!(summary.remarks[0].contains("log grew"), "{summary:?}");
    let hides = Odd { length: Some(300_000), ..Odd::default() }.file("odd", 300_000, &long);
    let (summary, _) = hides.written();
    assert_eq!((summary.problem_count, summary.remarks.len()), (1, 0), "{summary:?}");
}

#[test]
fn what_cannot_be_read_is_left_out_with_all_its_names_and_nothing_points_to_it() {
    let target = EntryPath::parse(b"bad").unwrap();
    let source = Odd { fails_at: Some(0), ..Odd::default() }
        .file("bad", 9, &[1; 9])
        .other("link", Kind::HardLink { target })
        .other("socket", Kind::Socket)
        .file("empty", 0, b"");
    let (summary, found) = source.written();
    assert_eq!(found, [("empty".to_owned(), 0)]);
    assert_eq!((summary.problem_count, summary.remarks.len()), (2, 1), "{summary:?}");
    assert!(summary.problems[1].contains("link was left out"), "{summary:?}");
    // What is known to be bad only when its header was written is filled up.
    for fails_at in [1000, 300_000] {
        let source = Odd { fails_at: Some(fails_at), ..Odd::default() };
        let (summary, found) = source.file("bad", 400_000, &vec![1; 400_000]).written();
        assert_eq!((summary.problem_count, found), (1, vec![("bad".to_owned(), 400_000)]));
        assert!(summary.problems[0].contains(&format!("byte {fails_at}")), "{summary:?}");
    }
}
