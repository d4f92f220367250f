use std::collections::BTreeSet;

use outlast_types::{Clock, SystemClock, SystemRandom};

use super::*;

struct Initials;

impl Signer for Initials {
    fn name(&self) -> String {
        "vault-1".to_owned()
    }

    fn role(&self) -> String {
        "vault".to_owned()
    }

    fn certificate_pem(&self) -> String {
        "-----BEGIN CERTIFICATE-----\n".to_owned()
    }

    fn sign(&self, message: &[u8]) -> io::Result<Vec<u8>> {
        Ok(message.iter().rev().copied().take(9).collect())
    }
}

fn signed() -> SignedReceipt {
    let address = DropAddress {
        workload: WorkloadName::new("shop-db").unwrap(),
        day: SystemClock.now().day(),
        drop: DropId::new(&SystemClock, &SystemRandom),
    };
    let share = ShareId::new(&SystemRandom);
    Receipt {
        seal: Some(ContentHash([1; 32])),
        size: Some(7),
        tree: Some(BlobId([2; 32])),
        snapshot: Some("5".repeat(64)),
        sequence: Some(3),
        ..Receipt::about(share, &address, ReceiptState::Vaulted, SystemClock.now())
    }
    .sign(&Initials)
    .unwrap()
}

#[test]
fn a_receipt_survives_its_bytes_and_its_signature_covers_all_of_them() {
    let signed = signed();
    let read = SignedReceipt::parse(signed.bytes()).unwrap();
    assert_eq!(read, signed);
    assert_eq!(read.certificate_pem(), Initials.certificate_pem());
    assert_eq!((read.receipt().by.as_str(), read.receipt().role.as_str()), ("vault-1", "vault"));
    let good = read.verify(|certificate, message, signature| {
        assert!(certificate.starts_with("-----BEGIN"));
        assert!(read.bytes().starts_with(message));
        Initials.sign(message).unwrap() == signature
    });
    assert!(good);
}

#[test]
fn a_receipt_binds_one_drop_and_one_of_version_1_binds_none() {
    let signed = signed();
    let receipt = signed.receipt();
    let identity = receipt.identity().unwrap();
    let address =
        DropAddress { workload: receipt.workload.clone(), day: identity.day, drop: receipt.drop };
    assert!(receipt.is_about(identity.share, &address));
    let yesterday = DropAddress { day: Timestamp::EPOCH.day(), ..address };
    assert!(!receipt.is_about(identity.share, &yesterday), "the same id under another day");
    let old = include_bytes!("testdata/version-1.json");
    let old = SignedReceipt::parse(old).unwrap();
    assert_eq!((old.receipt().state, old.receipt().identity()), (ReceiptState::Vaulted, None));
    assert!(!old.receipt().is_about(identity.share, &yesterday));
}

#[test]
fn members_that_a_later_release_adds_survive_and_are_signed() {
    let text = String::from_utf8(signed().bytes().to_vec()).unwrap();
    let body = text.rsplit_once(",\"signature\"").unwrap().0;
    let body = format!("{body},\"challenge\":\"7\"").into_bytes();
    let signature = hex::encode(&Initials.sign(&body).unwrap());
    let document = proof::join(body.clone(), "signature", &signature);
    let read = SignedReceipt::parse(&document).unwrap();
    assert_eq!(read.bytes(), document);
    read.verify(|_, message, _| assert_eq!(message, body));
}

#[test]
fn a_receipt_that_was_cut_off_anywhere_is_torn() {
    let signed = signed();
    for length in 0..signed.bytes().len() {
        let error = SignedReceipt::parse(&signed.bytes()[..length]).unwrap_err();
        assert!(matches!(error, ReceiptError::Torn), "{length}: {error}");
    }
}

#[test]
fn file_names_of_receipts_are_read_or_passed_over() {
    let drop = DropId::new(&SystemClock, &SystemRandom);
    for (state, _) in STATES {
        let name = file_name(drop, state);
        assert_eq!(parse_file_name(name.as_bytes()), Some((drop, state)));
    }
    assert_eq!(parse_file_name(b"notes.json"), None);
}

#[test]
fn a_rejection_is_known_by_its_code_and_one_of_before_there_were_codes_by_its_words() {
    let torn = crate::Rejection::TornSeal;
    let rejected = |reason: Option<String>, code: Option<RejectionCode>| {
        let state = ReceiptState::Rejected;
        let receipt = Receipt { state, reason, code, ..signed().receipt().clone() };
        let signed = receipt.sign(&Initials).unwrap();
        SignedReceipt::parse(signed.bytes()).unwrap().receipt().code.clone()
    };
    assert_eq!(rejected(None, Some(torn.code())), Some(RejectionCode::TornSeal));
    assert_eq!(rejected(Some(torn.to_string()), None), Some(RejectionCode::TornSeal));
    assert_eq!(rejected(Some("a segment is missing".to_owned()), None), None);
    let newer = RejectionCode::from("of_later".to_owned());
    assert_eq!(rejected(Some(torn.to_string()), Some(newer.clone())), Some(newer));
}

#[test]
fn a_rejection_that_the_release_before_wrote_is_understood() {
    let old = include_bytes!("testdata/version-2-rejected.json");
    let receipt = SignedReceipt::parse(old).unwrap().receipt().clone();
    assert_eq!(receipt.state, ReceiptState::Rejected);
    assert_eq!(receipt.reason, Some(crate::Rejection::TornSeal.to_string()));
    assert_eq!(receipt.code, Some(RejectionCode::TornSeal));
    // Any other of its reasons was an incident, and has no code.
    let text = std::str::from_utf8(old).unwrap();
    for reason in ["segment 0001.seg is in the seal, but not in the directory", "the seal is torn"]
    {
        let torn = "the seal is torn: sealed.json ends before its last member \\\"self\\\"";
        let other = text.replace(torn, reason);
        assert_ne!(other, text);
        let code = SignedReceipt::parse(other.as_bytes()).unwrap().receipt().code.clone();
        assert!(code.unwrap_or_default().is_incident(), "{reason}");
    }
    // The words of one state mean nothing in another.
    let other = text.replace("\"rejected\"", "\"abandoned\"");
    assert_eq!(SignedReceipt::parse(other.as_bytes()).unwrap().receipt().code, None);
}

#[test]
fn a_receipt_that_is_taken_back_is_gone_and_the_others_stay() {
    let directory = tempfile::tempdir().unwrap();
    let share = Share::init(directory.path(), &SystemClock, &SystemRandom).unwrap();
    let vaulted = signed();
    let receipt = Receipt { state: ReceiptState::Abandoned, ..vaulted.receipt().clone() };
    let abandoned = receipt.sign(&Initials).unwrap();
    for signed in [&vaulted, &abandoned] {
        write(&share, signed).unwrap();
    }
    let Receipt { workload, drop, .. } = vaulted.receipt();
    withdraw(&share, workload, *drop, ReceiptState::Abandoned).unwrap();
    let left = list(&share, workload).unwrap();
    assert_eq!(left[drop], BTreeSet::from([ReceiptState::Vaulted]));
}

#[test]
fn a_receipt_that_lies_there_stays_and_anything_else_under_its_name_gives_way() {
    let directory = tempfile::tempdir().unwrap();
    let share = Share::init(directory.path(), &SystemClock, &SystemRandom).unwrap();
    let signed = signed();
    write(&share, &signed).unwrap();
    let receipt = signed.receipt();
    let folder = share.workload_directory(&receipt.workload).join(RECEIPTS);
    let path = folder.join(file_name(receipt.drop, receipt.state));
    let inode = || std::os::unix::fs::MetadataExt::ino(&path.symlink_metadata().unwrap());
    let first = inode();
    write(&share, &signed).unwrap();
    assert_eq!(inode(), first, "a receipt is written once");

    // Strangers put a link there, whose target is none of ours, or a text of their own.
    let target = directory.path().join("target");
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(&target, &path).unwrap();
    write(&share, &signed).unwrap();
    assert!(std::fs::read(&path).unwrap() == signed.bytes() && !target.exists());
    std::fs::remove_file(&path).unwrap();
    let mut forged = std::fs::File::create_new(&path).unwrap();
    io::Write::write_all(&mut forged, b"{}").unwrap();
    write(&share, &signed).unwrap();
    assert!(std::fs::read(&path).unwrap() == signed.bytes());
}

#[test]
fn only_a_hiccup_of_the_share_is_a_reason_to_try_again_later() {
    let failed = |code| {
        let source = io::Error::from_raw_os_error(code);
        ReceiptError::Io { path: PathBuf::from("receipts/x"), source }
    };
    assert!(failed(rustix::io::Errno::STALE.raw_os_error()).is_later());
    assert!(!failed(rustix::io::Errno::NOENT.raw_os_error()).is_later());
    assert!(!ReceiptError::Torn.is_later());
}

#[test]
fn a_long_reason_is_cut_and_stays_whole_as_a_receipt() {
    let reason = Some("\u{e9}".repeat(REASON_CHARS_MAX + 1));
    let long = Receipt { reason, ..signed().receipt().clone() }.sign(&Initials).unwrap();
    let read = SignedReceipt::parse(long.bytes()).unwrap();
    let reason = read.receipt().reason.clone().unwrap();
    assert_eq!(reason.chars().count(), REASON_CHARS_MAX);
    assert_eq!(read, long);
}

#[test]
fn receipts_of_later_versions_and_of_no_place_are_refused() {
    let text = String::from_utf8(signed().bytes().to_vec()).unwrap();
    let changed = |from: &str, to: &str| {
        let changed = text.replace(from, to);
        assert_ne!(changed, text);
        SignedReceipt::parse(changed.as_bytes()).unwrap_err()
    };
    for version in [0, 3] {
        let error = changed("\"version\":2", &format!("\"version\":{version}"));
        assert!(matches!(error, ReceiptError::UnknownVersion { .. }), "{error}");
    }
    let day = signed_day(&text);
    for (from, to) in [("\"share\"", "\"other\""), (day.as_str(), "")] {
        let error = changed(from, to);
        assert!(matches!(error, ReceiptError::Malformed { .. }), "{error}");
        assert!(!error.is_later());
    }
    assert!(matches!(changed("vaulted", "sealed"), ReceiptError::Malformed { .. }));
}

/// The member that names the day.
fn signed_day(text: &str) -> String {
    let from = text.find("\"day\":").unwrap();
    let length = text[from..].find(',').unwrap();
    text[from..=from + length].to_owned()
}

#[test]
fn a_receipt_of_a_hand_over_says_which_jobs_have_the_drop_and_one_of_before_says_nothing_of_them() {
    let job = HandedJob {
        job: "agenthost_1700000000".to_owned(),
        product: Some("NetBackup".to_owned()),
        by: Some("x".repeat(5000)),
        files: Some(3),
        ..HandedJob::default()
    };
    let stamp = SystemClock.now();
    let handed = HandedOver {
        handover: "nbu".to_owned(),
        stamp,
        jobs: vec![job.clone(); 1000],
        countersigned: None,
        others: Vec::new(),
    };
    let old = signed();
    let receipt =
        Receipt { state: ReceiptState::Confirmed, handover: Some(handed), ..old.receipt().clone() };
    let signed = receipt.sign(&Initials).unwrap();
    assert!(signed.bytes().len() < 100_000, "however much a product says");
    let read = SignedReceipt::parse(signed.bytes()).unwrap();
    let said = read.receipt().handover.clone().unwrap();
    assert_eq!((said.handover.as_str(), said.stamp, said.jobs.len()), ("nbu", stamp, 16));
    assert_eq!((said.jobs[0].job.as_str(), said.jobs[0].files), (job.job.as_str(), Some(3)));
    assert_eq!(said.jobs[0].by.as_ref().map(String::len), Some(200));
    assert_eq!(SignedReceipt::parse(old.bytes()).unwrap().receipt().handover, None);
}
