//! A drop in memory whose reads wait and fail as a test tells them to.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::mpsc;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use outlast_types::{DropId, SystemClock, SystemRandom, WorkloadName};
use proptest::prelude::*;

use super::pieces::{SegmentFile, Store};
use super::*;
use crate::hash::{Algorithm, Digest};
use crate::layout::segment_name;
use crate::open::{Claims, Content};

/// Segments by name, and what happens to reads of them.
#[derive(Default)]
struct Memory {
    segments: HashMap<String, Vec<u8>>,
    /// Reads of this segment at or after this offset fail.
    fault: Option<(String, u64)>,
    /// Reads wait until so many are under way, unless none.
    together: usize,
    under_way: Mutex<usize>,
    enough: Condvar,
}

/// A segment of a [`Memory`].
struct Part {
    memory: Arc<Memory>,
    name: String,
}

impl Store for Arc<Memory> {
    fn open(&self, name: &str) -> io::Result<(Box<dyn SegmentFile>, u64)> {
        let length = self.segments[name].len() as u64;
        Ok((Box::new(Part { memory: Arc::clone(self), name: name.to_owned() }), length))
    }

    fn explain(&self, name: &str, error: &io::Error) -> DropReadError {
        DropReadError::Later { path: PathBuf::from(name), reason: error.to_string() }
    }
}

impl SegmentFile for Part {
    fn read_at(&self, buffer: &mut Vec<u8>, offset: u64) -> io::Result<usize> {
        let memory = &self.memory;
        if memory.together > 0 {
            let mut under_way = memory.under_way.lock().unwrap();
            *under_way += 1;
            memory.enough.notify_all();
            while *under_way < memory.together {
                under_way = memory.enough.wait(under_way).unwrap();
            }
        }
        if let Some((name, from)) = &memory.fault
            && *name == self.name
            && offset >= *from
        {
            return Err(io::Error::other("scripted fault"));
        }
        let rest = &memory.segments[&self.name][usize::try_from(offset).unwrap()..];
        let length = rest.len().min(buffer.capacity() - buffer.len());
        buffer.extend_from_slice(&rest[..length]);
        Ok(length)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.memory.segments[&self.name].len() as u64)
    }
}

/// A drop of these contents, one for each segment.
fn sealed(contents: &[Vec<u8>], compressed: bool) -> (Memory, Seal) {
    let mut memory = Memory::default();
    let mut segments = Vec::new();
    for (index, content) in contents.iter().enumerate() {
        let raw_size = content.len() as u64;
        let stored = match compressed {
            true => zstd::encode_all(&content[..], 1).unwrap(),
            false => content.clone(),
        };
        let (name, size) = (segment_name(index), stored.len() as u64);
        let digest = Digest::of(Algorithm::Blake3, &stored);
        memory.segments.insert(name.clone(), stored);
        segments.push(Segment { name, size, raw_size, digest });
    }
    let seal = Seal {
        drop: DropId::new(&SystemClock, &SystemRandom),
        workload: WorkloadName::new("shop-db").unwrap(),
        content: Content::Tree,
        claims: Claims::default(),
        sealed: None,
        compression: compressed.then_some(Compression::Zstd),
        sealed_to: None,
        segments,
    };
    (memory, seal)
}

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// Reads to the end or to a failure, in time: what was read, and the failure.
fn read(memory: Memory, seal: &Seal, parallel: usize) -> (Vec<u8>, Option<DropReadError>) {
    read_with(memory, seal, ReadOptions { parallel, ..ReadOptions::default() })
}

fn read_with(
    memory: Memory,
    seal: &Seal,
    options: ReadOptions,
) -> (Vec<u8>, Option<DropReadError>) {
    let mut reader = ContentReader::over(Arc::new(Arc::new(memory)), seal, None, options);
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut content = Vec::new();
        let failed = reader.read_to_end(&mut content).err();
        drop(reader);
        let _sent = sender.send((content, failed.map(|e| DropReadError::of(&e).unwrap().clone())));
    });
    receiver.recv_timeout(Duration::from_secs(60)).expect("the reader and its threads end")
}

#[test]
fn several_reads_are_under_way_inside_one_segment_and_across_segments() {
    for lengths in [vec![6 << 20], vec![1000; 6]] {
        let contents: Vec<_> = lengths.iter().map(|&length| noise(1, length)).collect();
        let (memory, seal) = sealed(&contents, false);
        // None of them returns before all four have come.
        let (content, failed) = read(Memory { together: 4, ..memory }, &seal, 4);
        assert!(failed.is_none(), "{failed:?}");
        assert_eq!(content, contents.concat());
    }
}

#[test]
fn a_read_that_fails_ahead_is_told_in_its_turn_and_names_its_segment() {
    for compressed in [false, true] {
        let contents: Vec<_> = (0..3).map(|n| noise(n, 5 << 20)).collect();
        let (memory, seal) = sealed(&contents, compressed);
        let fault = Some((segment_name(1), 2 << 20));
        let (content, failed) = read(Memory { fault, ..memory }, &seal, 4);
        let failed = failed.expect("the fault").to_string();
        assert!(failed.contains("0002.seg") && failed.contains("scripted fault"), "{failed}");
        let all = contents.concat();
        assert!(all.starts_with(&content), "nothing but what comes before the fault");
        assert!(content.len() >= 5 << 20, "the segment before it came whole");
        assert!(content.len() <= 7 << 20);
    }
}

#[test]
fn a_changed_byte_anywhere_in_a_large_segment_fails_before_the_end() {
    for compressed in [false, true] {
        let content = noise(9, 3 << 20);
        for at in [0, 1 << 20, (3 << 20) - 1] {
            let (mut memory, seal) = sealed(std::slice::from_ref(&content), compressed);
            memory.segments.get_mut("0001.seg").unwrap()[at] ^= 1;
            let (_, failed) = read(memory, &seal, 3);
            let failed = failed.expect("a verdict");
            let wrong = Rejection::WrongHash {
                name: "0001.seg".to_owned(),
                sealed: seal.segments[0].digest,
                found: seal.segments[0].digest,
            };
            let DropReadError::Refused(found) = failed else { panic!("{failed}") };
            assert_eq!(std::mem::discriminant(&found), std::mem::discriminant(&wrong), "{found}");
        }
    }
}

#[test]
fn a_reader_that_is_given_up_ends_its_threads() {
    for compressed in [false, true] {
        let contents: Vec<_> = (0..4).map(|n| noise(n, 6 << 20)).collect();
        for read in [0, 1, 3 << 20, 13 << 20] {
            let (memory, seal) = sealed(&contents, compressed);
            let store = Arc::new(Arc::new(memory));
            let mut reader = ContentReader::over(store, &seal, None, ReadOptions::default());
            reader.read_exact(&mut vec![0; read]).unwrap();
            // It waits for its threads; the test would not end.
            drop(reader);
        }
    }
}

proptest! {
    #![proptest_config(outlast_testing::cases(24))]

    #[test]
    fn content_comes_in_order_however_many_read(
        lengths in prop::collection::vec(
            prop_oneof![0..3_usize, 1000..5000_usize, 1_000_000..3_500_000_usize],
            0..6,
        ),
        compressed in any::<bool>(),
        parallel in 1..9_usize,
        piece_bytes in prop_oneof![Just(1 << 20), Just(256 << 10), 20_000..90_000_usize],
    ) {
        let contents: Vec<_> =
            lengths.iter().enumerate().map(|(n, &length)| noise(n as u64, length)).collect();
        let (memory, seal) = sealed(&contents, compressed);
        let options = ReadOptions { parallel, piece_bytes };
        let (content, failed) = read_with(memory, &seal, options);
        prop_assert!(failed.is_none(), "{:?}", failed);
        prop_assert!(content == contents.concat());
    }
}
