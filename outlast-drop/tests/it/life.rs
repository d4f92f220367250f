//! From open to released.

use std::fs;
use std::io::Write;
use std::time::{Duration, Instant};

use outlast_drop::fetch::{self, FetchError, FetchOptions, Wanted};
use outlast_drop::{
    CleanOptions, Content, DropAddress, DropState, Freed, ReceiptState, ReleaseError, ScanMemory,
    Verifier, WriteError, abandon, clean, quarantine, receipt as receipts, release, scan, status,
};
use outlast_types::{Clock, Silent, SystemClock, Timestamp};

use crate::support::{
    TestSigner, new_share, options, read_all, receipt, sealed_stream, workload, writer,
};

fn later(days: u64) -> Timestamp {
    SystemClock.now().saturating_add(Duration::from_secs(days * 24 * 3600))
}

#[test]
fn what_is_sealed_is_read_back_bit_for_bit() {
    let (_directory, share) = new_share();
    for compression in [None, Some(1)] {
        for size in [0, 1, 999, 1000, 1001, 250_000] {
            let content = outlast_testing::pseudo_random(size as u64, size);
            let address = sealed_stream(&share, &content, compression);
            assert_eq!(read_all(&share, &address).unwrap(), content, "{size} {compression:?}");
        }
    }
}

#[test]
fn a_drop_does_not_exist_before_its_seal() {
    let (_directory, share) = new_share();
    let mut open = writer(&share, Content::Tree, options(10, None));
    open.write_all(&[7; 95]).unwrap();
    let seen = scan(&share, &mut ScanMemory::default(), later(0)).unwrap();
    let DropState::Open(Some(record)) = &seen.workloads[0].sightings[0].state else { panic!() };
    assert_eq!(record.claims.instance.as_deref(), Some("i-1"));
    assert!(read_all(&share, open.address()).is_err());
    open.seal(&SystemClock).unwrap();
    let seen = scan(&share, &mut ScanMemory::default(), later(0)).unwrap();
    assert!(matches!(seen.workloads[0].sightings[0].state, DropState::Sealed(_)));
}

#[test]
fn a_writer_at_work_gives_signs_of_life() {
    let (_directory, share) = new_share();
    let _writer = writer(&share, Content::Tree, options(10, None));
    let fingerprint = || {
        scan(&share, &mut ScanMemory::default(), later(0)).unwrap().workloads[0].sightings[0]
            .fingerprint
    };
    let first = fingerprint();
    let deadline = Instant::now() + Duration::from_secs(120);
    while fingerprint() == first {
        assert!(Instant::now() < deadline, "no beat was seen");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_failed_command_seals_nothing_and_says_so() {
    let (_directory, share) = new_share();
    let mut failing = writer(&share, Content::Tree, options(10, None));
    failing.write_all(&[7; 95]).unwrap();
    let address = failing.address().clone();
    failing.fail(Some(3)).unwrap();
    let seen = scan(&share, &mut ScanMemory::default(), later(0)).unwrap();
    let state = &seen.workloads[0].sightings[0].state;
    assert!(matches!(state, DropState::Failed { exit_status: Some(3) }), "{state:?}");
    let names: Vec<_> = fs::read_dir(share.drop_directory(&address)).unwrap().collect();
    assert!(names.iter().all(|name| !name.as_ref().unwrap().path().ends_with(".seg")));
}

#[test]
fn a_failed_write_names_its_file_and_leaves_no_seal() {
    let (_directory, share) = new_share();
    let mut full = writer(&share, Content::Tree, options(10, None));
    // Whoever takes the name of the next segment makes the writer fail as any other error does.
    let directory = share.drop_directory(full.address());
    fs::File::create(directory.join("0003.seg")).unwrap().write_all(b"x").unwrap();
    let message = full.write_all(&[1; 95]).and_then(|()| full.flush()).unwrap_err().to_string();
    assert!(message.contains("0003.seg") && message.contains("nothing was sealed"), "{message}");
    assert!(matches!(full.seal(&SystemClock), Err(WriteError::Broken)));
    assert!(!directory.join("sealed.json").exists());
}

#[test]
fn a_settled_drop_is_not_opened_again_and_an_old_day_not_even_listed() {
    let (_directory, share) = new_share();
    let address = sealed_stream(&share, b"one", None);
    let mut closed = ScanMemory::default();
    let count = |closed: &mut ScanMemory, days| {
        scan(&share, closed, later(days)).unwrap().workloads[0].sightings.len()
    };
    assert_eq!(count(&mut closed, 0), 1);
    closed.settle(&address);
    assert_eq!((count(&mut closed, 0), count(&mut closed, 5)), (0, 0));
    // The day is closed now: even what is no drop goes unseen, until the day itself changes.
    fs::remove_file(share.drop_directory(&address).join("sealed.json")).unwrap();
    assert_eq!(count(&mut closed, 5), 0);
    sealed_stream(&share, b"late", None);
    assert_eq!(count(&mut closed, 5), 1, "a late drop opens its day again");
}

#[test]
fn release_writes_the_receipt_first_and_may_be_repeated() {
    let (_directory, share) = new_share();
    let address = sealed_stream(&share, &[1; 2500], None);
    let wrong = receipt(&share, &address, ReceiptState::Vaulted);
    assert!(matches!(release(&share, &address, &wrong), Err(ReleaseError::WrongReceipt { .. })));
    let released = receipt(&share, &address, ReceiptState::Released);
    assert!(release(&share, &address, &released).unwrap().bytes >= 2500);
    assert!(!share.drop_directory(&address).exists());
    let again = release(&share, &address, &released).unwrap();
    assert_eq!(again, Freed { bytes: 0, is_gone: true });
    let states = receipts::list(&share, &address.workload).unwrap();
    assert!(states[&address.drop].contains(&ReceiptState::Released));
}

#[test]
fn a_torn_receipt_of_a_crash_is_replaced() {
    let (_directory, share) = new_share();
    let address = sealed_stream(&share, b"x", None);
    let signed = receipt(&share, &address, ReceiptState::Accepted);
    receipts::write(&share, &signed).unwrap();
    let path = share
        .workload_directory(&address.workload)
        .join(format!("receipts/{}.accepted.json", address.drop));
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_len(100).unwrap();
    receipts::write(&share, &signed).unwrap();
    let read = receipts::read(&share, &address.workload, address.drop, ReceiptState::Accepted);
    assert_eq!(read.unwrap().unwrap(), signed);
}

#[test]
fn a_sealed_drop_is_never_abandoned_and_an_abandoned_one_never_sealed() {
    let (_directory, share) = new_share();
    let sealed = sealed_stream(&share, b"x", None);
    let refused = abandon(&share, &sealed, &receipt(&share, &sealed, ReceiptState::Abandoned));
    assert!(matches!(refused, Err(ReleaseError::Sealed { .. })));
    assert_eq!(read_all(&share, &sealed).unwrap(), b"x");
    assert!(receipts::list(&share, &sealed.workload).unwrap().is_empty());

    let mut slow = writer(&share, Content::Tree, options(10, None));
    slow.write_all(&[1; 25]).unwrap();
    let address = slow.address().clone();
    abandon(&share, &address, &receipt(&share, &address, ReceiptState::Abandoned)).unwrap();
    slow.seal(&SystemClock).unwrap_err();
    assert!(!share.drop_directory(&address).join("sealed.json").exists());
}

#[test]
fn a_writer_that_seals_while_it_is_given_up_hears_of_it_and_leaves_no_seal() {
    let (_directory, share) = new_share();
    let mut slow = writer(&share, Content::Tree, options(10, None));
    slow.write_all(&[1; 25]).unwrap();
    let address = slow.address().clone();
    // The clock is read between the last look at the receipts and the seal.
    struct GivesUp<'a>(&'a (dyn Fn() + Sync));
    impl Clock for GivesUp<'_> {
        fn now(&self) -> Timestamp {
            (self.0)();
            SystemClock.now()
        }
    }
    let signed = receipt(&share, &address, ReceiptState::Abandoned);
    let error = slow.seal(&GivesUp(&|| receipts::write(&share, &signed).unwrap())).unwrap_err();
    assert!(matches!(error, WriteError::GivenUp { .. }), "{error}");
    assert!(!share.drop_directory(&address).join("sealed.json").exists());
}

#[test]
fn a_drop_whose_directory_cannot_go_yet_is_said_to_be_still_there() {
    let (_directory, share) = new_share();
    let address = sealed_stream(&share, b"x", None);
    // As a file whose deletion is pending: it makes the directory not empty and does not go.
    fs::create_dir(share.drop_directory(&address).join("held")).unwrap();
    let released = receipt(&share, &address, ReceiptState::Released);
    let freed = release(&share, &address, &released).unwrap();
    assert!(!freed.is_gone && freed.bytes > 0, "{freed:?}");
    fs::remove_dir(share.drop_directory(&address).join("held")).unwrap();
    let freed = release(&share, &address, &released).unwrap();
    assert_eq!(freed, Freed { bytes: 0, is_gone: true });
}

#[test]
fn a_drop_in_which_a_file_server_keeps_its_notes_is_let_go_all_the_same() {
    let (_directory, share) = new_share();
    let address = sealed_stream(&share, b"x", None);
    let place = share.drop_directory(&address);
    fs::create_dir(place.join("@eaDir")).unwrap();
    fs::File::create(place.join(".DS_Store")).unwrap();
    let freed = release(&share, &address, &receipt(&share, &address, ReceiptState::Released));
    assert!(freed.unwrap().is_gone, "nothing is waited for");
    let left: Vec<_> =
        fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["@eaDir"]);
}

#[test]
fn clean_removes_leftovers_and_never_an_unreleased_drop() {
    let (_directory, share) = new_share();
    let kept = sealed_stream(&share, b"kept", None);
    let bad = sealed_stream(&share, b"bad", None);
    quarantine(&share, &bad, &receipt(&share, &bad, ReceiptState::Rejected)).unwrap();
    let dead = writer(&share, Content::Tree, options(10, None));
    let abandoned = dead.address().clone();
    drop(dead);
    let options = CleanOptions::default();
    let known = Some(&TestSigner as &dyn Verifier);
    let tidy = |days, options: &CleanOptions, verifier| {
        clean(&share, later(days), options, verifier).unwrap()
    };
    assert!(tidy(0, &options, known).removed.is_empty(), "all is too young");
    let dry = CleanOptions { dry_run: true, ..options.clone() };
    assert_eq!(tidy(3, &dry, known).removed.len(), 2);
    assert!(share.drop_directory(&abandoned).exists(), "a dry run removes nothing");
    let unverified = tidy(3, &dry, None);
    assert_eq!((unverified.removed.len(), unverified.unproven), (1, 1), "{unverified:?}");
    assert_eq!(tidy(3, &options, known).removed.len(), 2);
    assert!(!share.drop_directory(&abandoned).exists() && !share.drop_directory(&bad).exists());
    let all = tidy(300, &options, known);
    assert_eq!(all.removed.len(), 1, "the old receipt: {all:?}");
    assert_eq!(read_all(&share, &kept).unwrap(), b"kept");
}

#[test]
fn no_receipt_that_anybody_can_write_removes_a_sealed_drop_or_is_shown_as_true() {
    let (_directory, share) = new_share();
    let kept = sealed_stream(&share, b"kept", None);
    let receipts = share.workload_directory(&kept.workload).join("receipts");
    fs::create_dir_all(&receipts).unwrap();
    // By name alone; whole, but of a stranger; and good, but of another drop under the same id.
    let name = |state: &str| receipts.join(format!("{}.{state}.json", kept.drop));
    fs::File::create(name("released")).unwrap();
    let forged = receipt(&share, &kept, ReceiptState::Rejected);
    let text = String::from_utf8(forged.bytes().to_vec()).unwrap();
    let (body, _) = text.rsplit_once(",\"signature\"").unwrap();
    let text = format!("{body},\"signature\":\"0badbadbad\"}}\n");
    fs::File::create(name("rejected")).unwrap().write_all(text.as_bytes()).unwrap();
    let yesterday = DropAddress { day: Timestamp::EPOCH.day(), ..kept.clone() };
    let other = receipt(&share, &yesterday, ReceiptState::Vaulted);
    fs::File::create(name("vaulted")).unwrap().write_all(other.bytes()).unwrap();
    let options = CleanOptions { grace: Duration::ZERO, ..CleanOptions::default() };
    for verifier in [Some(&TestSigner as &dyn Verifier), None] {
        let cleaned = clean(&share, later(1), &options, verifier).unwrap();
        assert!(cleaned.removed.is_empty(), "{cleaned:?}");
    }
    let told = status(&share, Some(&TestSigner)).unwrap();
    assert!(told.verified);
    assert_eq!(told.workloads[0].newest.as_ref().unwrap().state, "sealed");
    assert!(told.workloads[0].problems.iter().any(|text| text.contains("rejected receipt")));
    assert_eq!(read_all(&share, &kept).unwrap(), b"kept");
}

#[test]
fn status_tells_the_newest_drop_and_who_is_writing() {
    let (_directory, share) = new_share();
    sealed_stream(&share, b"one", None);
    let newest = sealed_stream(&share, b"two", None);
    let open = writer(&share, Content::Tree, options(10, None));
    fs::create_dir_all(share.path().join("w/Not A Name/drops")).unwrap();
    let status = status(&share, None).unwrap();
    let shop = &status.workloads[0];
    assert_eq!(shop.newest.as_ref().unwrap().drop, newest.drop);
    assert_eq!((shop.open.len(), shop.open[0].drop), (1, open.drop_id()));
    assert_eq!((shop.counts["sealed"], shop.sealed_bytes), (2, 6));
    assert!(status.problems[0].contains("Not A Name"), "{:?}", status.problems);
}

#[test]
fn fetch_brings_back_the_newest_drop_or_the_one_that_is_named() {
    let (directory, share) = new_share();
    let first = sealed_stream(&share, b"first", None);
    sealed_stream(&share, b"second", Some(3));
    let fetched = |wanted: Wanted, into: &str| {
        let sealed = fetch::find(&share, &workload("shop-db"), &wanted, None).unwrap().sealed;
        let into = directory.path().join(into);
        let summary = fetch::read_out(&sealed, &into, FetchOptions::default(), &Silent).unwrap();
        assert_eq!((summary.files, summary.problems), (1, vec![]));
        assert_eq!(fs::read_dir(&into).unwrap().count(), 1);
        fs::read(into.join("shop.sql")).unwrap()
    };
    assert_eq!(fetched(Wanted::Newest, "a"), b"second");
    assert_eq!(fetched(Wanted::Drop(first.drop), "b"), b"first");
    let none = fetch::find(&share, &workload("other"), &Wanted::Newest, None);
    assert!(matches!(none, Err(FetchError::NotYet { .. })));
    let early = fetch::find(&share, &workload("shop-db"), &Wanted::At(Timestamp::EPOCH), None);
    assert!(matches!(early, Err(FetchError::NotYet { .. })));
    let sealed = fetch::find(&share, &workload("shop-db"), &Wanted::Newest, None).unwrap().sealed;
    let full =
        fetch::read_out(&sealed, &directory.path().join("a"), FetchOptions::default(), &Silent);
    assert!(matches!(full, Err(FetchError::Place(_))), "a target that is not empty is refused");
}
