//! Files with holes, which are not read.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use outlast_format::config::Version;
use outlast_fs::{Entry, EntryPath, EntrySource, Kind, Metadata, SourceError};
use outlast_store::MemoryStore;
use proptest::prelude::*;

use super::script::{contents, noise};
use super::{options, repository, run, stream, tight};
use crate::backup::{Input, Tuning};

/// A file that is read only where it has data.
struct Sparse {
    content: Vec<u8>,
    data: Vec<Range<usize>>,
    position: usize,
    given: bool,
}

impl EntrySource for Sparse {
    fn next_entry(&mut self) -> Result<Option<Entry>, SourceError> {
        let path = EntryPath::parse(b"image").unwrap();
        let kind = Kind::File { size: self.content.len() as u64 };
        let entry = Entry { path, kind, metadata: Metadata::default() };
        Ok((!std::mem::replace(&mut self.given, true)).then_some(entry))
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(self.content.len() - self.position);
        let range = self.position..self.position + length;
        for hole in self.data.windows(2) {
            let hole = hole[0].end..hole[1].start;
            let overlap = range.end.min(hole.end).saturating_sub(range.start.max(hole.start));
            assert!(hole.len() < 256 << 10 || overlap == 0, "{range:?} lies in {hole:?}");
        }
        buffer[..length].copy_from_slice(&self.content[range]);
        self.position += length;
        Ok(length)
    }

    fn skip(&mut self, length: u64) -> io::Result<()> {
        self.position += usize::try_from(length).unwrap();
        Ok(())
    }

    fn extents(&mut self) -> io::Result<Option<Vec<(u64, u64)>>> {
        let extent = |range: &Range<usize>| (range.start as u64, range.len() as u64);
        Ok(Some(self.data.iter().map(extent).collect()))
    }
}

proptest! {
    #![proptest_config(outlast_testing::cases(3))]

    #[test]
    fn a_hole_is_not_read_and_its_content_is_cut_as_if_it_were(
        pieces in prop::collection::vec((0..2_500_000_usize, 0..400_000_usize), 0..4),
        end in 0..2_000_000_usize,
        block_bytes in 70_000..900_000_usize,
    ) {
        let (mut content, mut data) = (Vec::new(), Vec::new());
        for (n, &(hole, length)) in pieces.iter().enumerate() {
            content.resize(content.len() + hole, 0);
            data.push(content.len()..content.len() + length);
            content.extend(noise(n as u64, length));
        }
        content.resize(content.len() + end, 0);
        let repository = repository(Arc::new(MemoryStore::new()), Version::V2);
        let tuning = Tuning { block_bytes, ..tight() };
        let read = run(&repository, stream(&content), &options(tuning.clone())).unwrap();
        let expected = contents(&repository, read.snapshot.tree);
        let source = Sparse { content, data, position: 0, given: false };
        let input = Input::Tree(Box::new(source));
        let outcome = run(&repository, input, &options(tuning)).unwrap();
        prop_assert_eq!(outcome.stats.data_blobs, 0);
        prop_assert_eq!(outcome.stats.bytes, read.stats.bytes);
        let found = contents(&repository, outcome.snapshot.tree);
        let (node, _) = &found["image"];
        prop_assert!(node.content == expected["dump.sql"].0.content);
        prop_assert_eq!(node.size, expected["dump.sql"].0.size);
    }
}
