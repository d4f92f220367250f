//! What lets a drop's data go, and what a receipt says of which drop.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use outlast_drop::{
    CleanOptions, Content, DropAddress, DropState, Receipt, ReceiptError, ReceiptState,
    ReleaseError, ScanMemory, Seal, Share, ShareError, SignedReceipt, abandon, clean, quarantine,
    receipt as receipts, release, scan, status,
};
use outlast_types::{Clock, ContentHash, DropId, ShareId, SystemClock, SystemRandom, Timestamp};

use crate::support::{
    TestSigner, new_share, options, read_all, receipt, sealed_stream, workload, writer,
};

fn seal_file(share: &Share, address: &DropAddress) -> PathBuf {
    share.drop_directory(address).join("sealed.json")
}

fn overwrite(path: &Path, content: &[u8]) {
    fs::File::create(path).unwrap().write_all(content).unwrap();
}

fn states(share: &Share, address: &DropAddress) -> BTreeSet<ReceiptState> {
    let mut all = receipts::list(share, &address.workload).unwrap();
    all.remove(&address.drop).unwrap_or_default()
}

#[test]
fn only_a_drop_with_the_very_seal_that_its_receipt_names_is_released() {
    let (_directory, share) = new_share();
    let address = sealed_stream(&share, &[1; 2500], None);
    let good = fs::read(seal_file(&share, &address)).unwrap();
    let about = || Receipt::about(share.id(), &address, ReceiptState::Released, SystemClock.now());
    let unnamed = about().sign(&TestSigner).unwrap();
    let another =
        Receipt { seal: Some(ContentHash([9; 32])), ..about() }.sign(&TestSigner).unwrap();
    let named = receipt(&share, &address, ReceiptState::Released);
    for signed in [&unnamed, &another] {
        let released = release(&share, &address, signed);
        assert!(matches!(released, Err(ReleaseError::AnotherSeal { .. })), "{released:?}");
    }
    // One that is damaged is not the one that was vaulted.
    for length in [0, good.len() / 2, good.len() - 1] {
        overwrite(&seal_file(&share, &address), &good[..length]);
        let released = release(&share, &address, &named);
        assert!(matches!(released, Err(ReleaseError::AnotherSeal { .. })), "{released:?}");
    }
    assert_eq!(states(&share, &address), BTreeSet::new(), "nothing was said, and nothing removed");
    overwrite(&seal_file(&share, &address), &good);
    assert_eq!(read_all(&share, &address).unwrap(), [1; 2500]);
    // Once the seal has gone, what is left goes with the receipt of the drop that it was.
    fs::remove_file(seal_file(&share, &address)).unwrap();
    let freed = release(&share, &address, &named).unwrap();
    assert!(freed.is_gone && freed.bytes >= 2500, "{freed:?}");
}

#[test]
fn a_drop_with_anything_of_a_seal_is_not_abandoned_since_it_may_be_written_at_this_moment() {
    let (_directory, share) = new_share();
    for change in [
        &(|seal: &[u8]| seal[..seal.len() / 2].to_vec()) as &dyn Fn(&[u8]) -> Vec<u8>,
        &|seal: &[u8]| seal[..seal.len() - 1].to_vec(),
        &|_: &[u8]| Vec::new(),
        &|seal: &[u8]| seal.to_vec(),
        &|seal: &[u8]| [b" ", seal].concat(),
    ] {
        let address = sealed_stream(&share, b"content", None);
        let file = seal_file(&share, &address);
        let seal = change(&fs::read(&file).unwrap());
        overwrite(&file, &seal);
        let signed = receipt(&share, &address, ReceiptState::Abandoned);
        // Nor one of which an agent that died had said so already.
        for was_begun in [false, true] {
            if was_begun {
                receipts::write(&share, &signed).unwrap();
            }
            let ended = abandon(&share, &address, &signed);
            assert!(matches!(ended, Err(ReleaseError::Sealed { .. })), "{ended:?}");
            assert_eq!(fs::read(&file).unwrap(), seal);
            // What another call has said stands: it may have removed something.
            assert_eq!(states(&share, &address).is_empty(), !was_begun);
        }
    }
}

#[test]
fn a_seal_of_nothing_goes_with_the_drop_that_was_given_up() {
    let (_directory, share) = new_share();
    let remove = |address: &DropAddress, name: &str| {
        fs::remove_file(share.drop_directory(address).join(name)).unwrap();
    };
    // Its writer woke up when the last segment had gone, sealed, and died.
    for left in [&["0002.seg"] as &[&str], &[]] {
        let address = sealed_stream(&share, &[1; 2500], None);
        let signed = receipt(&share, &address, ReceiptState::Abandoned);
        let missing = ["0001.seg", "0002.seg", "0003.seg"];
        missing.iter().filter(|name| !left.contains(name)).for_each(|name| remove(&address, name));
        // Nobody has said that it was given up: then a sealed drop has lost its data.
        let ended = abandon(&share, &address, &signed);
        assert!(matches!(ended, Err(ReleaseError::Sealed { .. })), "{ended:?}");
        assert!(states(&share, &address).is_empty() && seal_file(&share, &address).exists());
        receipts::write(&share, &signed).unwrap();
        // As an agent leaves it that dies in the middle.
        fs::create_dir(share.drop_directory(&address).join("0001.seg")).unwrap();
        assert!(abandon(&share, &address, &signed).unwrap().is_gone);
        assert!(!share.drop_directory(&address).exists());
    }
    // One that has its first segment was not given up: whoever sealed it was told that it is sealed.
    let address = sealed_stream(&share, &[1; 2500], None);
    let signed = receipt(&share, &address, ReceiptState::Abandoned);
    receipts::write(&share, &signed).unwrap();
    remove(&address, "0002.seg");
    let ended = abandon(&share, &address, &signed);
    assert!(matches!(ended, Err(ReleaseError::Sealed { .. })), "{ended:?}");
    assert!(share.drop_directory(&address).join("0001.seg").is_file());
}

#[test]
fn a_seals_name_that_an_agent_has_taken_is_no_seal_and_no_refusal() {
    let (_directory, share) = new_share();
    let mut dead = writer(&share, Content::Tree, options(10, None));
    dead.write_all(b"content").unwrap();
    dead.flush().unwrap();
    let address = dead.address().clone();
    fs::create_dir(seal_file(&share, &address)).unwrap();
    let seen = scan(&share, &mut ScanMemory::default(), SystemClock.now()).unwrap();
    let state = &seen.workloads[0].sightings[0].state;
    assert!(matches!(state, DropState::Open(None)), "{state:?}");
    assert!(dead.seal(&SystemClock).is_err());
    let signed = receipt(&share, &address, ReceiptState::Abandoned);
    assert!(abandon(&share, &address, &signed).unwrap().is_gone);
    assert!(!share.drop_directory(&address).exists());
}

#[test]
fn nothing_is_done_with_a_receipt_of_another_state_or_another_drop() {
    let (_directory, share) = new_share();
    let address = sealed_stream(&share, b"content", None);
    let elsewhere = [
        DropAddress { workload: workload("other"), ..address.clone() },
        DropAddress { day: Timestamp::EPOCH.day(), ..address.clone() },
        DropAddress { drop: DropId::new(&SystemClock, &SystemRandom), ..address.clone() },
    ];
    type End<'a> = &'a dyn Fn(&SignedReceipt) -> Result<(), ReleaseError>;
    let ends: [(ReceiptState, End<'_>); 3] = [
        (ReceiptState::Released, &|signed| release(&share, &address, signed).map(drop)),
        (ReceiptState::Abandoned, &|signed| abandon(&share, &address, signed).map(drop)),
        (ReceiptState::Rejected, &|signed| quarantine(&share, &address, signed)),
    ];
    for (state, end) in ends {
        let wrong_state = receipt(&share, &address, ReceiptState::Vaulted);
        let wrong_place = elsewhere.iter().map(|other| receipt(&share, other, state));
        let share_id = ShareId::new(&SystemRandom);
        let wrong_share = Receipt::about(share_id, &address, state, SystemClock.now());
        let wrong_share = wrong_share.sign(&TestSigner).unwrap();
        for signed in wrong_place.chain([wrong_state, wrong_share]) {
            let ended = end(&signed);
            assert!(matches!(ended, Err(ReleaseError::WrongReceipt { .. })), "{ended:?}");
        }
    }
    assert!(states(&share, &address).is_empty());
    assert_eq!(read_all(&share, &address).unwrap(), b"content");
}

#[test]
fn what_is_quarantined_stays_and_says_why() {
    let (_directory, share) = new_share();
    let address = sealed_stream(&share, b"content", None);
    quarantine(&share, &address, &receipt(&share, &address, ReceiptState::Rejected)).unwrap();
    assert_eq!(states(&share, &address), [ReceiptState::Rejected].into());
    assert_eq!(read_all(&share, &address).unwrap(), b"content");
}

/// The state that is shown of the only drop of a share, with what is verified.
fn shown(share: &Share) -> String {
    let told = status(share, Some(&TestSigner)).unwrap();
    let counts = &told.workloads[0].counts;
    assert_eq!(counts.values().sum::<u64>(), 1, "{counts:?}");
    counts.keys().next().unwrap().clone()
}

#[test]
fn the_last_state_that_a_receipt_proves_of_this_very_drop_is_shown() {
    let (_directory, share) = new_share();
    let address = sealed_stream(&share, b"content", None);
    assert_eq!(shown(&share), "sealed");
    for state in [ReceiptState::Accepted, ReceiptState::Shipped] {
        receipts::write(&share, &receipt(&share, &address, state)).unwrap();
        assert_eq!(shown(&share), state.to_string());
    }
    // Later states that are of another seal, another day, or signed by one who may not say so.
    let released = receipt(&share, &address, ReceiptState::Released);
    let about = released.receipt().clone();
    let another = Receipt { seal: Some(ContentHash([9; 32])), ..about.clone() };
    receipts::write(&share, &another.sign(&TestSigner).unwrap()).unwrap();
    assert_eq!(shown(&share), "shipped", "it has another seal");
    let yesterday = Receipt { day: Some(Timestamp::EPOCH.day()), ..about.clone() };
    receipts::write(&share, &yesterday.sign(&TestSigner).unwrap()).unwrap();
    assert_eq!(shown(&share), "shipped", "it lies elsewhere");
    receipts::write(&share, &receipt(&share, &address, ReceiptState::Vaulted)).unwrap();
    assert_eq!(shown(&share), "shipped", "an agent does not vault");
    // One of a good drop that names no seal says enough.
    let unnamed = Receipt { seal: None, ..about };
    receipts::write(&share, &unnamed.sign(&TestSigner).unwrap()).unwrap();
    assert_eq!(shown(&share), "released");
}

#[test]
fn a_receipt_of_one_state_under_the_name_of_another_says_neither() {
    let (_directory, share) = new_share();
    let address = sealed_stream(&share, b"content", None);
    let accepted = receipt(&share, &address, ReceiptState::Accepted);
    receipts::write(&share, &accepted).unwrap();
    let directory = share.workload_directory(&address.workload).join("receipts");
    fs::copy(
        directory.join(format!("{}.accepted.json", address.drop)),
        directory.join(format!("{}.rejected.json", address.drop)),
    )
    .unwrap();
    assert_eq!(shown(&share), "accepted");
    let later = Timestamp::from_unix(SystemClock.now().unix_seconds() + 999_999, 0).unwrap();
    let cleaned = clean(&share, later, &CleanOptions::default(), Some(&TestSigner)).unwrap();
    assert!(cleaned.removed.is_empty(), "{cleaned:?}");
}

#[test]
fn receipts_that_cannot_be_read_are_not_taken_for_none() {
    let (_directory, share) = new_share();
    let address = sealed_stream(&share, b"content", None);
    assert!(receipts::list(&share, &address.workload).unwrap().is_empty());
    let read = || receipts::read(&share, &address.workload, address.drop, ReceiptState::Vaulted);
    assert!(read().unwrap().is_none());
    let directory = share.workload_directory(&address.workload).join("receipts");
    fs::create_dir_all(directory.join(format!("{}.vaulted.json", address.drop))).unwrap();
    let error = read().unwrap_err();
    assert!(matches!(error, ReceiptError::Io { .. }) && !error.is_later(), "{error}");
    fs::remove_dir_all(&directory).unwrap();
    drop(fs::File::create(&directory).unwrap());
    let listed = receipts::list(&share, &address.workload);
    assert!(matches!(listed, Err(ShareError::Io { .. })), "{listed:?}");
}

#[test]
fn an_open_drop_is_known_by_its_receipt_without_a_seal() {
    let (_directory, share) = new_share();
    let open = writer(&share, Content::Tree, options(10, None));
    let address = open.address().clone();
    let seen = scan(&share, &mut ScanMemory::default(), SystemClock.now()).unwrap();
    assert!(matches!(seen.workloads[0].sightings[0].state, DropState::Open(_)));
    let about = Receipt::about(share.id(), &address, ReceiptState::Released, SystemClock.now());
    let seal = Some(Seal::digest_of(b"what it was"));
    let released = Receipt { seal, ..about }.sign(&TestSigner).unwrap();
    receipts::write(&share, &released).unwrap();
    assert_eq!(shown(&share), "released", "its seal has gone, and nothing is left to compare");
}
