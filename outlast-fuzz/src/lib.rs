//! Development only: fuzz targets for every parser of what comes from outside.
//!
//! Repositories and shares are input from strangers. Each [`Target`] feeds bytes to one parser and
//! panics if a promise is broken: nothing makes a parser panic, loop or take more memory than it
//! may, and what it accepts survives being written and read again. [`drive`](drive::drive) makes
//! inputs from a corpus with a seeded [`Mutator`](mutate::Mutator), so that every run can be
//! repeated; the tests run each target for a moment, `cargo run -p outlast-fuzz` as long as wanted.
//!
//! Only stable Rust is asked for, so nothing measures which code an input reaches. Instead a target
//! tells what came of an input ([`Outcome`]), and inputs with an outcome that is new are mutated
//! further.

#![expect(clippy::expect_used, reason = "a target panics when a promise is broken")]

pub mod corpus;
pub mod disk;
pub mod drive;
pub mod format;
pub mod harvest;
pub mod mutate;
pub mod share;
pub mod tar;

use std::hash::{DefaultHasher, Hash, Hasher};

/// A parser under test.
pub struct Target {
    /// Its word on the command line and the name of its directory in the corpus.
    pub name: &'static str,
    /// Runs it once; panics if a promise is broken.
    pub run: fn(&[u8]) -> Outcome,
    /// What its format is made of, for the mutator to put in.
    pub tokens: &'static [&'static str],
    /// Inputs in a run of the tests: about a second of them.
    pub runs_in_tests: u32,
}

/// All targets.
pub const TARGETS: [Target; 17] = [
    Target { name: "config", run: format::config, tokens: JSON, runs_in_tests: 8000 },
    Target { name: "go-text", run: format::go_text, tokens: GO, runs_in_tests: 8000 },
    Target { name: "index", run: format::index, tokens: JSON, runs_in_tests: 6000 },
    Target { name: "key-file", run: format::key_file, tokens: JSON, runs_in_tests: 2000 },
    Target { name: "pack", run: format::pack, tokens: &[], runs_in_tests: 5000 },
    Target { name: "pack-header", run: format::pack_header, tokens: &[], runs_in_tests: 8000 },
    Target { name: "sealed", run: format::sealed, tokens: &[], runs_in_tests: 4000 },
    Target { name: "snapshot", run: format::snapshot, tokens: JSON, runs_in_tests: 6000 },
    Target { name: "tree", run: format::tree, tokens: TREE, runs_in_tests: 5000 },
    Target { name: "unpacked", run: format::unpacked, tokens: &[], runs_in_tests: 1000 },
    Target { name: "open", run: share::open, tokens: JSON, runs_in_tests: 6000 },
    Target { name: "receipt", run: share::receipt, tokens: JSON, runs_in_tests: 5000 },
    Target { name: "seal", run: share::seal, tokens: JSON, runs_in_tests: 5000 },
    Target { name: "tar", run: tar::tar, tokens: TAR, runs_in_tests: 4000 },
    Target { name: "check-state", run: disk::check_state, tokens: &[], runs_in_tests: 80 },
    Target { name: "index-cache", run: disk::index_cache, tokens: &[], runs_in_tests: 100 },
    Target { name: "journal", run: disk::journal, tokens: &[], runs_in_tests: 25 },
];

const JSON: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"",
    "\\u0000",
    "\\ud800",
    "null",
    "true",
    "-1",
    "0",
    "1e999",
    "4294967295",
    "4294967296",
    "18446744073709551615",
    "18446744073709551616",
    "0.5",
    "\"\"",
    "2026-01-31T04:00:00Z",
    "9999-12-31T23:59:59.999999999Z",
    "-0001-01-01T00:00:00Z",
];
const GO: &[&str] = &["\\", "\\x", "\\u", "\\U0010ffff", "\\ud800", "\\377", "\\\"", "\u{fffd}"];
const TREE: &[&str] = &[
    "{\"nodes\":[",
    "\"type\":\"dir\"",
    "\"type\":\"file\"",
    "\"content\":null",
    "\"subtree\":",
    "\"linktarget_raw\":\"",
    "\"extended_attributes\":[",
    "\"generic_attributes\":{",
    "\\xff",
    "\"mode\":4294967295",
    "\"mtime\":\"0001-01-01T00:00:00Z\"",
    "null",
    "[",
    "]",
    "{",
    "}",
];
const TAR: &[&str] = &[
    "ustar\u{0}00",
    "ustar  \u{0}",
    "path=",
    "linkpath=",
    "size=",
    "GNU.sparse.map=",
    "GNU.sparse.major=1",
    "GNU.sparse.realsize=",
    "SCHILY.xattr.user.a=",
    "../",
    "/",
    "30 ",
    "77777777777",
    "18446744073709551615",
    "\u{0}",
];

/// The target of this name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// What came of an input: whether it was accepted, and a hash of what else tells kinds of inputs
/// apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Outcome {
    pub accepted: bool,
    pub feature: u64,
}

impl Outcome {
    /// The input was accepted and has this shape.
    pub fn accepted(shape: impl Hash) -> Self {
        Self { accepted: true, feature: hash(shape) }
    }

    /// The input was refused for this reason, of which numbers and quotations are left out.
    pub fn refused(reason: impl ToString) -> Self {
        let reason = reason.to_string();
        let words: Vec<&str> = reason
            .split(['"', '`', '\''])
            .step_by(2)
            .flat_map(|part| part.split(|c: char| !c.is_ascii_alphanumeric()))
            .filter(|word| word.bytes().all(|c| c.is_ascii_alphabetic()))
            .take(20)
            .collect();
        Self { accepted: false, feature: hash(words) }
    }
}

fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Lengths of about this size are one shape: few enough of them to keep an input of each.
fn scale(length: usize) -> u32 {
    usize::BITS - length.leading_zeros()
}

#[cfg(test)]
mod tests;
