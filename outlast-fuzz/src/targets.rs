//! All parsers under test.

use crate::outcome::Outcome;
use crate::{disk, format, product, share, tar};

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
pub const TARGETS: [Target; 20] = [
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
    Target { name: "sanity", run: share::sanity, tokens: DUMPS, runs_in_tests: 300 },
    Target { name: "tar", run: tar::tar, tokens: TAR, runs_in_tests: 4000 },
    Target { name: "bacula", run: product::bacula, tokens: BACULA, runs_in_tests: 3000 },
    Target { name: "netbackup", run: product::netbackup, tokens: NETBACKUP, runs_in_tests: 3000 },
    Target { name: "check-state", run: disk::check_state, tokens: &[], runs_in_tests: 80 },
    Target { name: "index-cache", run: disk::index_cache, tokens: &[], runs_in_tests: 100 },
    Target { name: "journal", run: disk::journal, tokens: &[], runs_in_tests: 25 },
];

const DUMPS: &[&str] = &[
    "PGDMP",
    "SQLite format 3\0",
    "REDIS0011",
    "\u{1f}",
    "ustar",
    "\n-- PostgreSQL database dump complete\n--\n",
    "\n-- PostgreSQL database cluster dump complete\n--\n",
    "\n-- Dump completed\n",
    "\\restrict x\n",
    "\\unrestrict x\n",
    "\0\0\0\0\0",
    "\u{1}\u{1}\0\0\0",
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

const BACULA: &[&str] = &[
    "JobId: 1\n",
    "JobStatus: T\n",
    "JobTDate: 9223372036854775807\n",
    "No results to list.\n",
    ".bvfs_lsfiles jobid=1 limit=1000000 path=\"/srv/\"\n",
    "1\t1\t1\t1\tP4A A IGk B A A A C BAA I A A A A A C\tname\n",
    "-",
    "//////////////",
];
const NETBACKUP: &[&str] = &[
    "11/26/2026",
    "02/29/2027",
    "INFINITY",
    "23:59:60",
    "-rw-r----- o g 1 Feb 29 00:00:00 /srv/x\n",
    "Full Backup",
    " /",
    "\\,",
    "{\"data\":[",
    "\"attributes\":{",
    "\"jobId\":-1",
    "\"status\":1e99",
];

/// The target of this name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
