//! Damage × place: always a typed refusal, never half a content that looks whole.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;

use outlast_drop::hash::{Algorithm, Digest};
use outlast_drop::{DropReadError, DropState, Rejection, ScanMemory, proof, scan};
use outlast_types::Timestamp;

use crate::support::{new_share, read_all, sealed_stream};

/// Damages a drop of five segments and returns why reading it is refused.
#[track_caller]
fn refusal(compression: Option<i32>, damage: impl FnOnce(&Path)) -> Rejection {
    let (_directory, share) = new_share();
    let address = sealed_stream(&share, &outlast_testing::pseudo_random(5, 4500), compression);
    damage(&share.drop_directory(&address));
    match read_all(&share, &address) {
        Err(DropReadError::Refused(rejection)) => rejection,
        other => panic!("not refused: {other:?}"),
    }
}

/// Replaces text in the body of a seal and proves the result anew.
fn reseal(directory: &Path, from: &str, to: &str) {
    let path = directory.join("sealed.json");
    let bytes = fs::read(&path).unwrap();
    let body = proof::split(&bytes, "self").unwrap().body.to_vec();
    let body = String::from_utf8(body).unwrap();
    assert!(body.contains(from), "{body}");
    let body = body.replacen(from, to, 1).into_bytes();
    let digest = Digest::of(Algorithm::Sha256, &body).to_string();
    File::create(path).unwrap().write_all(&proof::join(body, "self", &digest)).unwrap();
}

fn flip(path: &Path) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 17).unwrap();
    file.write_all_at(&[byte[0] ^ 4], 17).unwrap();
}

fn set_length(path: &Path, length: u64) {
    File::options().write(true).open(path).unwrap().set_len(length).unwrap();
}

#[test]
fn segments_that_are_not_as_sealed_are_refused() {
    let found = refusal(None, |d| flip(&d.join("0003.seg")));
    assert!(matches!(&found, Rejection::WrongHash { name, .. } if name == "0003.seg"), "{found}");
    let found = refusal(None, |d| fs::remove_file(d.join("0002.seg")).unwrap());
    assert_eq!(found, Rejection::MissingSegment { name: "0002.seg".to_owned() });
    let found = refusal(None, |d| drop(File::create(d.join("0006.seg")).unwrap()));
    assert_eq!(found, Rejection::ExtraSegment { name: "0006.seg".to_owned() });
    let found = refusal(None, |d| set_length(&d.join("0001.seg"), 999));
    assert!(matches!(found, Rejection::WrongSize { sealed: 1000, found: 999, .. }), "{found}");
}

#[test]
fn symbolic_links_are_never_followed() {
    let found = refusal(None, |d| {
        fs::remove_file(d.join("0001.seg")).unwrap();
        symlink("0002.seg", d.join("0001.seg")).unwrap();
    });
    assert!(matches!(found, Rejection::NotAPlainFile { .. }), "{found}");
    let found = refusal(None, |d| {
        let elsewhere = d.with_file_name("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        for file in fs::read_dir(d).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), elsewhere.join(file.file_name())).unwrap();
        }
        fs::remove_dir_all(d).unwrap();
        symlink("elsewhere", d).unwrap();
    });
    assert!(matches!(found, Rejection::NotADirectory { .. }), "{found}");
}

#[test]
fn seals_that_lie_are_refused() {
    let found = refusal(None, |d| set_length(&d.join("sealed.json"), 200));
    assert!(found.is_torn_seal(), "{found}");
    let found = refusal(None, |d| flip(&d.join("sealed.json")));
    assert!(matches!(found, Rejection::WrongSelfHash { .. }), "{found}");
    let found = refusal(None, |d| reseal(d, "\"version\":1", "\"version\":9"));
    assert!(matches!(found, Rejection::UnknownVersion { version: 9, .. }), "{found}");
    let found = refusal(None, |d| reseal(d, "shop-db", "shop-dc"));
    assert!(matches!(found, Rejection::WrongPlace { what: "workload", .. }), "{found}");
    let found = refusal(None, |d| reseal(d, "0002.seg", "../0002.seg"));
    assert!(matches!(found, Rejection::MalformedSeal { .. }), "{found}");
    let found = refusal(None, |d| reseal(d, "shop.sql", "../../shop.sql"));
    assert!(matches!(found, Rejection::MalformedSeal { .. }), "{found}");
    let found = refusal(None, |d| set_length(&d.join("sealed.json"), 17 << 20));
    assert!(matches!(found, Rejection::SealTooLong { .. }), "{found}");
}

#[test]
fn a_segment_that_unpacks_to_other_than_declared_is_refused() {
    let one_less = |d: &Path| {
        let text = fs::read_to_string(d.join("sealed.json")).unwrap();
        let at = text.find("\"raw_size\":").unwrap() + 11;
        let number: u64 =
            text[at..].split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap();
        (format!("\"raw_size\":{number}"), number)
    };
    let found = refusal(Some(1), |d| {
        let (member, number) = one_less(d);
        reseal(d, &member, &format!("\"raw_size\":{}", number - 1));
    });
    assert!(matches!(found, Rejection::WrongRawSize { found: "more", .. }), "{found}");
    let found = refusal(Some(1), |d| {
        let (member, number) = one_less(d);
        reseal(d, &member, &format!("\"raw_size\":{}", number + 1));
    });
    assert!(matches!(found, Rejection::WrongRawSize { found: "less", .. }), "{found}");
    let found = refusal(Some(1), |d| {
        let (member, _) = one_less(d);
        reseal(d, &member, "\"raw_size\":99999999999999");
    });
    assert!(matches!(found, Rejection::MalformedSeal { .. }), "{found}");
    let found =
        refusal(None, |d| reseal(d, "\"size\":4500", "\"compression\":\"zstd\",\"size\":4500"));
    assert!(matches!(found, Rejection::MalformedSeal { .. }), "{found}");
}

#[test]
fn a_zstd_bomb_yields_no_more_than_declared() {
    let bomb = zstd::encode_all(std::io::repeat(0).take_bytes(1 << 30), 1).unwrap();
    let (_directory, share) = new_share();
    let address = sealed_stream(&share, &[1; 100], Some(1));
    let directory = share.drop_directory(&address);
    let old = fs::read(directory.join("0001.seg")).unwrap();
    File::create(directory.join("0001.seg")).unwrap().write_all(&bomb).unwrap();
    let hash = |bytes: &[u8]| Digest::of(Algorithm::Blake3, bytes).digits().to_string();
    reseal(&directory, &hash(&old), &hash(&bomb));
    reseal(&directory, &format!("\"size\":{}", old.len()), &format!("\"size\":{}", bomb.len()));
    reseal(
        &directory,
        &format!("\"size\":{},\"raw", old.len()),
        &format!("\"size\":{},\"raw", bomb.len()),
    );
    let refused = read_all(&share, &address).unwrap_err();
    let expected =
        matches!(&refused, DropReadError::Refused(Rejection::WrongRawSize { declared: 100, .. }));
    assert!(expected, "{refused}");
}

trait TakeBytes: std::io::Read + Sized {
    fn take_bytes(self, bytes: u64) -> std::io::Take<Self> {
        self.take(bytes)
    }
}

impl<R: std::io::Read> TakeBytes for R {}

#[test]
fn one_bad_workload_does_not_hide_the_others() {
    let (_directory, share) = new_share();
    sealed_stream(&share, b"good", None);
    let workloads = share.path().join("w");
    symlink("/etc", workloads.join("linked")).unwrap();
    fs::create_dir_all(workloads.join("UPPER/drops")).unwrap();
    fs::create_dir_all(workloads.join("a/drops/not-a-day")).unwrap();
    fs::create_dir_all(workloads.join("b/drops/20260131/not-an-id")).unwrap();
    let seen = scan(&share, &mut ScanMemory::default(), Timestamp::EPOCH).unwrap();
    let good = seen.workloads.iter().find(|w| w.workload.as_str() == "shop-db").unwrap();
    assert!(matches!(good.sightings[0].state, DropState::Sealed(_)));
    let problems: Vec<String> = seen
        .problems
        .iter()
        .chain(seen.workloads.iter().flat_map(|w| &w.problems))
        .map(ToString::to_string)
        .collect();
    for expected in ["UPPER", "not-a-day", "not-an-id", "linked"] {
        assert!(problems.iter().any(|p| p.contains(expected)), "{expected}: {problems:?}");
    }
    assert_eq!(problems.len(), 4, "{problems:?}");
}
