//! What each stage of the engine does in a second on one core: `cargo bench -p outlast-format`.
//!
//! Chunks of 64 KiB of text with the compressibility of a database dump. Every stage runs for at least
//! half a second of processor time, three times; the best is told, because everything else is what
//! disturbed it. What counts is the time that the thread ran, so that a busy machine shows the same
//! rates; where the kernel does not tell it, the clock has to do.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark for terminals")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use outlast_format::chunker::{DEFAULT, Gear};
use outlast_format::compress::{Compressor, Decompressor};
use outlast_format::crypto::Key;
use outlast_format::index::IndexFile;
use outlast_format::pack::{BlobType, PackEntry};
use outlast_format::tree::{Node, NodeKind, Tree};
use outlast_format::{BlobId, PackId, sha256};
use outlast_types::SystemRandom;

const CHUNK: usize = 64 << 10;
const CHUNKS: usize = 256;
const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_millis(500);

/// Rows with numbers, words and hexadecimal noise.
fn text(length: usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(length + 200);
    let mut number = 0_u64;
    while text.len() < length {
        let hash = blake3::hash(&number.to_le_bytes()).to_hex();
        let word = ["paid", "shipped", "returned", "new"][hash.as_bytes()[0] as usize % 4];
        text.extend_from_slice(
            format!(
                "{number}\tuser{}@example.com\t{word}\t2026-11-23\t{}\n",
                number % 9973,
                &hash[..36]
            )
            .as_bytes(),
        );
        number += 1;
    }
    text.truncate(length);
    text
}

/// How long this thread has been on a processor; since `origin` by the clock where Linux's schedstat
/// is missing.
fn time_run(origin: Instant) -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = text.and_then(|text| text.split(' ').next()?.parse().ok());
    nanos.map_or_else(|| origin.elapsed(), Duration::from_nanos)
}

/// Tells how many of `bytes` bytes for each call the stage works through in a second.
fn stage(name: &str, bytes: usize, mut work: impl FnMut()) {
    let mut best = 0.0_f64;
    let origin = Instant::now();
    for _ in 0..ROUNDS {
        let start = time_run(origin);
        let mut calls = 0_u32;
        let mut batch = 1_u32;
        let spent = loop {
            (0..batch).for_each(|_| work());
            calls += batch;
            let spent = time_run(origin).saturating_sub(start);
            if spent >= ROUND {
                break spent;
            }
            // Asking costs microseconds: short stages are asked seldom.
            if spent < ROUND / 100 {
                batch = batch.saturating_mul(2);
            }
        };
        best = best.max(f64::from(calls) / spent.as_secs_f64());
    }
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let rate = best * bytes as f64 / 1e6;
    println!("{name:<34} {rate:>8.0} MB/s");
}

fn main() {
    let content = text(CHUNK * CHUNKS);
    let bytes = content.len();
    let chunks = || content.chunks(CHUNK);
    let key = Key::generate(&SystemRandom);
    let gear = Gear::derive(&key, DEFAULT);
    let mut candidates = Vec::new();
    stage("scan for cuts", bytes, || {
        candidates.clear();
        gear.scan(&[], &content, 0, &mut candidates);
        black_box(&candidates);
    });
    stage("BLAKE3", bytes, || {
        for chunk in chunks() {
            black_box(blake3::hash(chunk));
        }
    });
    stage("SHA-256", bytes, || {
        for chunk in chunks() {
            black_box(sha256(chunk));
        }
    });
    let mut compressed = Vec::new();
    for level in [1, 3, 6] {
        let mut compressor = Compressor::new(level).unwrap();
        stage(&format!("zstd, level {level}"), bytes, || {
            compressed.clear();
            for chunk in chunks() {
                black_box(compressor.compress_onto(chunk, &mut compressed).unwrap());
            }
        });
    }
    decompress(&content);
    crypto(&key, &content);
    documents();
}

fn decompress(content: &[u8]) {
    let mut compressor = Compressor::new(1).unwrap();
    let mut frames = Vec::new();
    for chunk in content.chunks(CHUNK) {
        let mut frame = Vec::new();
        compressor.compress_onto(chunk, &mut frame).unwrap();
        frames.push(frame);
    }
    let mut decompressor = Decompressor::new().unwrap();
    let mut plaintext = Vec::new();
    stage("zstd, decompress", content.len(), || {
        for frame in &frames {
            plaintext.clear();
            decompressor.decompress_onto(frame, CHUNK, &mut plaintext).unwrap();
        }
    });
}

fn crypto(key: &Key, content: &[u8]) {
    let mut sealed = Vec::new();
    stage("encrypt and authenticate", content.len(), || {
        sealed.clear();
        for chunk in content.chunks(CHUNK) {
            key.seal_onto(chunk, &SystemRandom, &mut sealed);
        }
    });
    let one = key.seal(&content[..CHUNK], &SystemRandom);
    let mut buffer = Vec::new();
    stage("verify and decrypt", CHUNK, || {
        buffer.clear();
        buffer.extend_from_slice(&one);
        black_box(key.open_in_place(&mut buffer).unwrap());
    });
}

fn documents() {
    let id = |n: usize| BlobId::of(&n.to_le_bytes());
    let entry = |n: usize| PackEntry {
        kind: BlobType::Data,
        id: id(n),
        offset: u32::try_from(n * 30_000).unwrap(),
        length: 30_000,
        uncompressed_length: Some(65_536),
    };
    let packs = (0..50).map(|n| (PackId(id(n).0), (0..500).map(entry).collect())).collect();
    let index = IndexFile { packs, ..IndexFile::default() };
    let document = index.serialize().unwrap();
    stage("write an index file", document.len(), || drop(black_box(index.serialize())));
    stage("read an index file", document.len(), || drop(black_box(IndexFile::parse(&document))));
    let mut tree = Tree::default();
    for n in 0..2000 {
        let mut node = Node::new(format!("file-{n:05}.txt").into_bytes(), NodeKind::File);
        node.content = Some(vec![id(n)]);
        tree.nodes.push(node);
    }
    let document = tree.serialize();
    stage("write a tree", document.len(), || drop(black_box(tree.serialize())));
    stage("read a tree", document.len(), || drop(black_box(Tree::parse(&document))));
}
