use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use outlast_types::{ContentKind, Sanity, Verdict};
use proptest::prelude::*;

use super::{Examined, Examiner};

mod real;
mod trees;

fn examine(content: &[u8]) -> Sanity {
    let mut examiner = Examiner::default();
    examiner.feed(content);
    examiner.finish()
}

/// What is found if the content comes in pieces of these lengths, over and over.
fn in_pieces(content: &[u8], lengths: &[usize]) -> Sanity {
    let mut examiner = Examiner::default();
    let mut rest = content;
    for length in lengths.iter().cycle() {
        let (piece, behind) = rest.split_at(rest.len().min(*length));
        examiner.feed(piece);
        rest = behind;
        if rest.is_empty() {
            break;
        }
    }
    examiner.finish()
}

fn verdict(content: &[u8]) -> Verdict {
    examine(content).verdict
}

/// What a program prints, given `input`.
fn piped(program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input));
        child.wait_with_output().unwrap()
    });
    assert!(output.status.success(), "{program} {arguments:?}");
    output.stdout
}

/// Text that packs as dumps do.
fn rows(count: usize) -> Vec<u8> {
    let row =
        |n: usize| format!("{n}\tcustomer-{}\t{}\n", n.wrapping_mul(2_654_435_761) % 99_991, n * 7);
    (0..count).map(row).collect::<String>().into_bytes()
}

fn postgres_script(body: &str) -> Vec<u8> {
    format!(
        "--\n-- PostgreSQL database dump\n--\n\n-- Dumped from database version 15.4\n\n{body}\n\n\
         --\n-- PostgreSQL database dump complete\n--\n\n"
    )
    .into_bytes()
}

#[test]
fn a_script_is_whole_if_its_last_comment_says_so() {
    let whole = postgres_script("COPY public.orders (id) FROM stdin;\n1\n\\.\n");
    assert_eq!(examine(&whole).kind, ContentKind::PgDump);
    assert_eq!(verdict(&whole), Verdict::Sound);
    let windows = String::from_utf8(whole.clone()).unwrap().replace('\n', "\r\n");
    assert_eq!(verdict(windows.as_bytes()), Verdict::Sound);
    for cut in 1..whole.len() - 2 {
        let found = verdict(&whole[..cut]);
        assert!(
            found == Verdict::Broken || (cut < 33 && found == Verdict::Unknown),
            "{cut} {found}"
        );
    }
    // As it is of two databases, one after the other.
    let both = [&whole[..], &whole].concat();
    assert_eq!(verdict(&both), Verdict::Sound);
    assert_eq!(verdict(&both[..whole.len() + 60]), Verdict::Broken, "the second one was begun");
    let more = [&whole[..], b"-- made by cron\n"].concat();
    assert_eq!(verdict(&more), Verdict::Unknown);
    assert_eq!(verdict(&[&whole[..], &[b'\n'; 3000]].concat()), Verdict::Sound);
}

#[test]
fn what_a_patched_pg_dump_writes_behind_its_last_comment_is_asked_for() {
    let token = "ASDFqwer1234";
    let whole = postgres_script("SELECT 1;");
    let whole = String::from_utf8(whole).unwrap();
    let whole = whole.replacen("--\n\n", &format!("--\n\n\\restrict {token}\n\n"), 1);
    let whole = format!("{whole}\\unrestrict {token}\n\n");
    assert_eq!(verdict(whole.as_bytes()), Verdict::Sound);
    for cut in 60..whole.len() - 2 {
        assert_eq!(verdict(&whole.as_bytes()[..cut]), Verdict::Broken, "{cut}");
    }
    let other = whole.replace(&format!("\\unrestrict {token}"), "\\unrestrict other");
    assert_eq!(verdict(other.as_bytes()), Verdict::Broken);
}

#[test]
fn a_cluster_is_whole_at_its_own_end_only_and_others_may_follow_it() {
    let database = String::from_utf8(postgres_script("SELECT 1;")).unwrap();
    let head = "--\n-- PostgreSQL database cluster dump\n--\n\nCREATE ROLE shop;\n\n";
    let tail = "--\n-- PostgreSQL database cluster dump complete\n--\n\n";
    let whole = format!("{head}{database}{database}{tail}");
    assert_eq!(examine(whole.as_bytes()).kind, ContentKind::PgDumpAll);
    assert_eq!(verdict(whole.as_bytes()), Verdict::Sound);
    assert_eq!(verdict(&whole.as_bytes()[..head.len() + database.len()]), Verdict::Broken);
    // Roles first, then a database.
    let roles = format!("{head}{tail}{}{database}", "x".repeat(20_000));
    assert_eq!(verdict(roles.as_bytes()), Verdict::Sound);
    assert_eq!(verdict(&roles.as_bytes()[..roles.len() - 20]), Verdict::Broken);
    let short = format!("{head}{tail}{database}");
    assert_eq!(verdict(&short.as_bytes()[..short.len() - 20]), Verdict::Broken);
}

#[test]
fn a_script_of_mysql_is_whole_if_it_says_so_and_unknown_if_it_says_nothing() {
    for (head, kind) in [
        ("-- MySQL dump 10.13  Distrib 8.0.36, for Linux (x86_64)\n", ContentKind::MysqlDump),
        (
            "/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump 10.19  Distrib\n",
            ContentKind::MariadbDump,
        ),
        ("mysqldump: [Warning] Using a password\n-- MySQL dump 10.13\n", ContentKind::MysqlDump),
    ] {
        let whole = format!(
            "{head}--\nINSERT INTO `t` VALUES (1);\n-- Dump completed on 2026-11-26  4:30:00\n"
        );
        assert_eq!(examine(whole.as_bytes()).kind, kind);
        assert_eq!(verdict(whole.as_bytes()), Verdict::Sound);
        let dateless = whole.replace(" on 2026-11-26  4:30:00", "");
        assert_eq!(verdict(dateless.as_bytes()), Verdict::Sound);
        for cut in head.len()..whole.len() - 2 {
            // Where the comment stands without its date, it is one that is made without.
            let is_valid = whole[..cut].ends_with("-- Dump completed");
            assert_eq!(verdict(&whole.as_bytes()[..cut]) == Verdict::Sound, is_valid, "{cut}");
        }
    }
    let silent = b"/*!40101 SET @OLD_CHARACTER_SET_CLIENT=@@CHARACTER_SET_CLIENT */;\nINSERT INTO t VALUES (1);\n";
    let found = examine(silent);
    assert_eq!((found.verdict, found.kind), (Verdict::Unknown, ContentKind::MysqlDump));
}

#[test]
fn data_in_another_encoding_hides_no_last_comment() {
    let mut whole = postgres_script("");
    let at = whole.len() - 60;
    whole.splice(at..at, [b'\n', 0xe9, 0xff, b'\n']);
    assert_eq!(verdict(&whole), Verdict::Sound, "{:?}", examine(&whole));
}

#[test]
fn what_is_of_no_kind_is_unknown_and_what_is_empty_is_too() {
    for content in [&b""[..], b"x", b"\0\0\0\0", b"REDISTRICTING", b"PGDMP", b"{\"a\":1}"] {
        let found = examine(content);
        assert_eq!((found.verdict, found.kind.is_none()), (Verdict::Unknown, true), "{content:?}");
        assert_eq!(found.doubts.len(), 1);
    }
    assert_eq!(verdict(&rows(1000)), Verdict::Unknown);
}

#[test]
fn a_reader_passes_on_what_it_looks_at() {
    let whole = postgres_script("SELECT 1;");
    let mut reader = Examined::new(&whole[..]);
    let watch = reader.watch();
    let mut read = Vec::new();
    assert_eq!(reader.read(&mut []).unwrap(), 0);
    assert_eq!(watch.verdict(), None);
    reader.read_to_end(&mut read).unwrap();
    assert_eq!(read, whole);
    assert_eq!(watch.verdict().unwrap().verdict, Verdict::Sound);
}

#[test]
fn members_padding_and_what_follows_a_packed_dump_are_told_apart() {
    let dump = postgres_script("SELECT 1;");
    let packed = piped("gzip", &["-c"], &dump);
    let found = examine(&packed);
    assert_eq!(
        (found.verdict, found.kind, found.packed),
        (Verdict::Sound, ContentKind::PgDump, ContentKind::Gzip)
    );
    // Cut off before it was packed: the packed file is whole, and the dump is not.
    let hidden = piped("gzip", &["-c"], &dump[..dump.len() - 30]);
    assert_eq!(verdict(&hidden), Verdict::Broken);
    let (one, other) = dump.split_at(70);
    let members = [piped("gzip", &["-c"], one), piped("gzip", &["-c"], other)].concat();
    assert_eq!(verdict(&members), Verdict::Sound);
    assert_eq!(verdict(&[&packed[..], &[0; 512]].concat()), Verdict::Sound);
    assert_eq!(verdict(&[&packed[..], b"more"].concat()), Verdict::Unknown);
    let mut damaged = piped("gzip", &["-c"], &rows(5000));
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0x55;
    assert_eq!(verdict(&damaged), Verdict::Broken);
    // What is packed twice is looked into once.
    assert_eq!(examine(&piped("gzip", &["-c"], &packed)).kind, ContentKind::Gzip);
}

proptest! {
    #![proptest_config(outlast_testing::cases(100))]

    /// However content is cut on its way, the same is found; and nothing that looks like some kind makes
    /// it panic.
    #[test]
    fn pieces_change_nothing_and_garbage_breaks_nothing(
        start in prop::sample::select(vec![
            &b"PGDMP\x01\x0e\x00\x04\x08\x01"[..], b"PGDMP\x01\x0f\x00\x04\x08\x01", b"PGDMP\x01\x0e\x00\x08\x01\x01",
            b"SQLite format 3\0\x10\0\x01\x01\0\x40\x20\x20", b"REDIS0009", b"REDIS0003", b"\x1f\x8b\x08\0\0\0\0\0\0\x03",
            b"\xfd7zXZ\0\0\x04", b"\x28\xb5\x2f\xfd", b"\x50\x2a\x4d\x18", b"--\n-- PostgreSQL database dump\n",
            b"-- MySQL dump 10\n", b"--\n-- PostgreSQL database cluster dump\n", b"",
        ]),
        garbage in prop::collection::vec(prop_oneof![3 => Just(0_u8), 1 => any::<u8>()], 0..9000),
        lengths in prop::collection::vec(1_usize..5000, 1..6),
    ) {
        let content = [start, &garbage[..]].concat();
        prop_assert_eq!(in_pieces(&content, &lengths), examine(&content));
    }
}
