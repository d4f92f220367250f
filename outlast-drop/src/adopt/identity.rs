//! The id of a drop that is made of files: it is made of them, too. So whether they were taken before is
//! seen by looking whether there is a drop, or a receipt, of that id; nobody need remember it.
//!
//! What counts is what stays when a file is renamed or copied with its times: its size, its time of change to the
//! nanosecond, its beginning and end, and a little between them. So a log that is rotated, and a directory that was restored, are taken for
//! what they are. Names and inode numbers do not count: the ones change, and the others are made up by some
//! network file systems.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use outlast_types::{Clock, Day, DropId, Random, ShareId, Timestamp, WorkloadName};

use crate::files::FileFacts;
use crate::layout::DropAddress;

/// Bytes of the beginning, and of the end, that are read.
const SAMPLE: u64 = 64 << 10;
/// Places between the two at which a little is read, and how much.
const BETWEEN: u64 = 14;
const LITTLE: u64 = 4 << 10;
const CONTEXT: &str = "outlast: the identity of adopted files, version 1";
/// How often a drop of the same files is begun. Another time, it has another id: an id is never used again.
pub(super) const ATTEMPTS: u8 = 16;

/// A part of a file's content that tells it from others of the same size and time, and its first bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sample {
    hash: blake3::Hash,
    pub(super) is_packed: bool,
}

impl Sample {
    /// Reads the beginning and the end of a file of `size`, and a little between them, and leaves it at its
    /// beginning.
    pub(super) fn of(file: &mut File, size: u64) -> io::Result<Self> {
        let mut hasher = blake3::Hasher::new();
        let begin = read_at(file, 0, SAMPLE)?;
        hasher.update(&begin);
        if size > SAMPLE {
            let end = size.saturating_sub(SAMPLE).max(SAMPLE);
            if end - SAMPLE > BETWEEN * LITTLE {
                for place in 0..BETWEEN {
                    let at = SAMPLE + (end - SAMPLE) / BETWEEN * place;
                    hasher.update(&read_at(file, at, LITTLE)?);
                }
            } else {
                hasher.update(&read_at(file, SAMPLE, end - SAMPLE)?);
            }
            hasher.update(&read_at(file, end, SAMPLE)?);
        }
        file.rewind()?;
        Ok(Self { hash: hasher.finalize(), is_packed: is_packed(&begin) })
    }
}

/// As many bytes as `max` from `at`.
fn read_at(file: &mut File, at: u64, max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(at))?;
    file.by_ref().take(max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether content is compressed already, by its first bytes: gzip, zstd, xz, bzip2, lz4, zip, 7z.
fn is_packed(begin: &[u8]) -> bool {
    const MAGIC: [&[u8]; 7] = [
        b"\x1f\x8b",
        b"\x28\xb5\x2f\xfd",
        b"\xfd7zXZ\0",
        b"BZh",
        b"\x04\x22\x4d\x18",
        b"PK\x03\x04",
        b"7z\xbc\xaf\x27\x1c",
    ];
    MAGIC.iter().any(|magic| begin.starts_with(magic))
}

/// What files are, apart from their names and places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    /// When the newest of them was changed, by the file server's clock.
    pub(super) changed: Timestamp,
    digest: [u8; 32],
}

impl Identity {
    /// Of files that belong together, in the order of the rule.
    pub(super) fn of<'a>(
        share: ShareId,
        workload: &WorkloadName,
        files: impl IntoIterator<Item = (&'a FileFacts, &'a Sample)>,
    ) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        let mut changed = Timestamp::EPOCH;
        for text in [share.to_string(), workload.to_string()] {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        }
        for (facts, sample) in files {
            let (seconds, nanos) = facts.modified;
            hasher.update(&facts.size.to_le_bytes());
            hasher.update(&seconds.to_le_bytes());
            hasher.update(&nanos.to_le_bytes());
            hasher.update(sample.hash.as_bytes());
            changed = changed.max(facts.modified_at().unwrap_or(Timestamp::EPOCH));
        }
        Self { changed, digest: *hasher.finalize().as_bytes() }
    }

    /// The id of a drop of them that is begun for the `attempt`th time, counted from 0.
    pub(super) fn drop_id(&self, attempt: u8) -> DropId {
        let mut hasher = blake3::Hasher::new_keyed(&self.digest);
        hasher.update(&[attempt]);
        DropId::new(&At(self.changed), &Said(hasher.finalize().as_bytes()))
    }

    /// The day under which such drops lie.
    pub(super) fn day(&self) -> Day {
        self.changed.day()
    }

    /// Where such a drop lies.
    pub(super) fn address(&self, workload: &WorkloadName, attempt: u8) -> DropAddress {
        let (day, drop) = (self.day(), self.drop_id(attempt));
        DropAddress { workload: workload.clone(), day, drop }
    }
}

/// A clock that stands still: what is made of files has their time.
pub(super) struct At(pub(super) Timestamp);

impl Clock for At {
    fn now(&self) -> Timestamp {
        self.0
    }
}

/// Bytes that are no chance.
struct Said<'a>(&'a [u8; 32]);

impl Random for Said<'_> {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.iter_mut().zip(self.0).for_each(|(byte, said)| *byte = *said);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::io::Write;

    use super::*;

    fn file(content: &[u8]) -> (File, FileFacts) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        file.rewind().unwrap();
        let size = content.len() as u64;
        (file, FileFacts { size, modified: (1_700_000_000, 7), ..FileFacts::default() })
    }

    fn identity(workload: &str, content: &[u8], change: impl FnOnce(&mut FileFacts)) -> Identity {
        let (mut file, mut facts) = file(content);
        change(&mut facts);
        let sample = Sample::of(&mut file, facts.size).unwrap();
        assert_eq!(file.stream_position().unwrap(), 0);
        let share = "6f1c1d6e-8f0a-4c6b-9d53-0d6f1a0f7b11".parse().unwrap();
        Identity::of(share, &WorkloadName::new(workload).unwrap(), [(&facts, &sample)])
    }

    #[test]
    fn the_same_file_has_the_same_id_wherever_it_lies_and_any_other_another() {
        let content = vec![7; 200_000];
        let one = identity("shop", &content, |_| {});
        let renamed = identity("shop", &content, |facts| {
            (facts.changed, facts.allocated, facts.links) = ((9, 9), 9, 9);
        });
        assert_eq!(one, renamed, "what a rename or a copy changes does not count");
        let mut ids = BTreeSet::from([one.drop_id(0)]);
        let mut changed = |at: usize| {
            let mut content = content.clone();
            content[at] = 8;
            ids.insert(identity("shop", &content, |_| {}).drop_id(0))
        };
        assert!(changed(0) && changed(65_535) && changed(199_999) && changed(200_000 - 65_536));
        assert!(changed(65_536) && changed(70_500), "and a little between");
        assert!(ids.insert(identity("crm", &content, |_| {}).drop_id(0)));
        assert!(ids.insert(identity("shop", &content[1..], |_| {}).drop_id(0)));
        assert!(ids.insert(identity("shop", &content, |it| it.modified.1 += 1).drop_id(0)));
        assert!(ids.insert(identity("shop", &content, |it| it.modified.0 += 1).drop_id(0)));
        assert!((1..ATTEMPTS).all(|attempt| ids.insert(one.drop_id(attempt))));
    }

    #[test]
    fn the_id_claims_the_time_of_the_file_and_any_time_makes_an_id() {
        let shop = WorkloadName::new("shop").unwrap();
        for (seconds, claimed) in
            [(1_700_000_000, 1_700_000_000), (-5, 0), (i64::MAX, 0), (i64::MIN, 0), (0, 0)]
        {
            let identity = identity("shop", b"x", |facts| facts.modified.0 = seconds);
            let address = identity.address(&shop, 3);
            assert_eq!(address.drop.claimed_time().unix_seconds(), claimed);
            assert_eq!(address.day, address.drop.claimed_time().day());
            assert_eq!(address.drop.to_string().parse(), Ok(address.drop));
        }
    }

    #[test]
    fn content_that_is_compressed_is_known_by_its_beginning() {
        let packed = |content: &[u8]| {
            let (mut file, facts) = file(content);
            Sample::of(&mut file, facts.size).unwrap().is_packed
        };
        assert!(packed(b"\x1f\x8b\x08rest") && packed(b"BZh9") && packed(b"\x28\xb5\x2f\xfdx"));
        assert!(!packed(b"") && !packed(b"PGDMP") && !packed(b"-- MySQL dump"));
    }
}
