//! What each stage of the engine does in a second on one core, and what that allows a whole backup,
//! restore or check to cost: `cargo bench -p outlast-format`, with `-- FILE` for content of your own.
//!
//! Chunks have 64 KiB, the average of the engine's. Without a file they are text with the
//! compressibility of a database dump.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark for terminals")]

use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;

use aes::cipher::{KeyInit, KeyIvInit, StreamCipher};
use outlast_format::chunker::{DEFAULT, Gear};
use outlast_format::compress::{Compressor, Decompressor};
use outlast_format::crypto::Key;
use outlast_format::index::IndexFile;
use outlast_format::pack::{BlobType, PackEntry};
use outlast_format::tree::{Node, NodeKind, Tree};
use outlast_format::{BlobId, PackId, Sha256Id, sha256};
use outlast_testing::pace;
use outlast_types::SystemRandom;
use poly1305::Poly1305;

const CHUNK: usize = 64 << 10;
const PIECE: usize = 1 << 20;
const PIECES: usize = 16;

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

/// Pieces of the file that the command line names, from all over it: a dump's tables differ.
fn given() -> Option<Vec<u8>> {
    // cargo adds options of its own.
    let path = std::env::args().skip(1).find(|argument| !argument.starts_with("--"))?;
    let file = File::open(&path).unwrap();
    let length = file.metadata().unwrap().len();
    assert!(length >= (PIECE * PIECES) as u64, "{path} has less than {PIECES} MiB");
    let mut content = vec![0; PIECE * PIECES];
    for (number, piece) in content.chunks_mut(PIECE).enumerate() {
        let start = (length - PIECE as u64) / (PIECES as u64 - 1) * number as u64;
        file.read_exact_at(piece, start).unwrap();
    }
    println!("{PIECES} MiB from all over {path}");
    Some(content)
}

/// Tells how many of `bytes` bytes for each call the stage works through in a second. Returns the
/// seconds that 1 GB takes.
fn stage(name: &str, bytes: usize, work: impl FnMut()) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let rate = pace::calls_for_second(work) * bytes as f64 / 1e6;
    println!("{name:<34} {rate:>8.0} MB/s");
    1000.0 / rate
}

fn main() {
    let content = given().unwrap_or_else(|| text(PIECE * PIECES));
    let key = Key::generate(&SystemRandom);
    let hashing = Hashing::measure(&key, &content);
    ciphers(&content);
    let fast = Packing::measure(&key, &content, 1);
    let usual = Packing::measure(&key, &content, 3);
    let patient = Packing::measure(&key, &content, 6);
    documents();
    println!("\n1 GB of such content cannot cost less than this, in seconds on one core,");
    println!("if nothing is read, copied or written:\n");
    let allowed = |name: &str, figure: &dyn Fn(&Packing) -> f64| {
        let [fast, usual, patient] = [&fast, &usual, &patient].map(figure);
        println!("{name:<34} {fast:>8.2} {usual:>8.2} {patient:>8.2}");
    };
    println!("{:<34} {:>8} {:>8} {:>8}", "with zstd's level", 1, 3, 6);
    allowed("the part that is stored", &|packing| packing.part);
    allowed("first backup", &|packing| hashing.all() + packing.store(&hashing));
    allowed("known again, cuts looked for", &|_| hashing.scan + hashing.blake3);
    allowed("known again, cuts as last time", &|_| hashing.blake3);
    allowed("restore, or print", &|packing| packing.load() + hashing.sha256);
    allowed("check of all data", &|packing| packing.load() + hashing.sha256 * (1.0 + packing.part));
}

/// Seconds for 1 GB of plaintext.
struct Hashing {
    scan: f64,
    blake3: f64,
    sha256: f64,
}

impl Hashing {
    fn measure(key: &Key, content: &[u8]) -> Self {
        let bytes = content.len();
        let gear = Gear::derive(key, DEFAULT);
        let mut candidates = Vec::new();
        let scan = stage("scan for cuts", bytes, || {
            candidates.clear();
            gear.scan(&[], content, 0, &mut candidates);
            black_box(&candidates);
        });
        let blake3 = stage("BLAKE3", bytes, || {
            for chunk in content.chunks(CHUNK) {
                black_box(blake3::hash(chunk));
            }
        });
        let sha256 = stage("SHA-256", bytes, || {
            for chunk in content.chunks(CHUNK) {
                black_box(sha256(chunk));
            }
        });
        Self { scan, blake3, sha256 }
    }

    /// What content costs that is not known.
    fn all(&self) -> f64 {
        self.scan + self.blake3 + self.sha256
    }
}

/// The two halves of sealing and opening, each alone.
fn ciphers(content: &[u8]) {
    let mut buffer = content.to_vec();
    stage("AES-256 in counter mode", content.len(), || {
        for chunk in buffer.chunks_mut(CHUNK) {
            ctr::Ctr128BE::<aes::Aes256>::new(&[7; 32].into(), &[9; 16].into())
                .apply_keystream(chunk);
        }
    });
    stage("Poly1305", content.len(), || {
        for chunk in content.chunks(CHUNK) {
            black_box(Poly1305::new(&[7; 32].into()).compute_unpadded(chunk));
        }
    });
}

/// Seconds for 1 GB of plaintext with a level of zstd, on its way into packs and out of them.
struct Packing {
    compress: f64,
    decompress: f64,
    seal: f64,
    open: f64,
    /// What is stored, as a part of the plaintext.
    part: f64,
}

impl Packing {
    fn measure(key: &Key, content: &[u8], level: i32) -> Self {
        let bytes = content.len();
        let mut compressor = Compressor::new(level).unwrap();
        let mut scratch = Vec::new();
        let compress = stage(&format!("zstd, level {level}, compress"), bytes, || {
            scratch.clear();
            for chunk in content.chunks(CHUNK) {
                black_box(compressor.compress_onto(chunk, &mut scratch).unwrap());
            }
        });
        let mut frame = |chunk: &[u8]| {
            let mut frame = Vec::new();
            compressor.compress_onto(chunk, &mut frame).unwrap();
            (frame, chunk.len())
        };
        let frames: Vec<_> = content.chunks(CHUNK).map(&mut frame).collect();
        let mut decompressor = Decompressor::new().unwrap();
        let decompress = stage(&format!("zstd, level {level}, decompress"), bytes, || {
            for (frame, length) in &frames {
                scratch.clear();
                decompressor.decompress_onto(frame, *length, &mut scratch).unwrap();
            }
        });
        let stored: usize = frames.iter().map(|(frame, _)| frame.len()).sum();
        let seal = stage("    … encrypt and authenticate", stored, || {
            scratch.clear();
            for (frame, _) in &frames {
                key.seal_onto(frame, &SystemRandom, &mut scratch);
            }
        });
        let sealed: Vec<_> =
            frames.iter().map(|(frame, _)| key.seal(frame, &SystemRandom)).collect();
        let open = stage("    … verify and decrypt", stored, || {
            for sealed in &sealed {
                scratch.clear();
                scratch.extend_from_slice(sealed);
                black_box(key.open_in_place(&mut scratch).unwrap());
            }
        });
        #[expect(clippy::cast_precision_loss, reason = "for people")]
        let part = stored as f64 / bytes as f64;
        Self { compress, decompress, seal: seal * part, open: open * part, part }
    }

    /// Into a pack, whose name is its SHA-256.
    fn store(&self, hashing: &Hashing) -> f64 {
        self.compress + self.seal + hashing.sha256 * self.part
    }

    /// Out of a pack.
    fn load(&self) -> f64 {
        self.open + self.decompress
    }
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
