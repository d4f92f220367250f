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
fn a_torn_seal_is_abandoned_and_any_other_seal_is_not() {
    let (_directory, share) = new_share();
    for (is_torn, change) in [
        (true, &(|seal: &[u8]| seal[..seal.len() / 2].to_vec()) as &dyn Fn(&[u8]) -> Vec<u8>),
        (true, &|seal: &[u8]| seal[..seal.len() - 1].to_vec()),
        (true, &|_: &[u8]| Vec::new()),
        (false, &|seal: &[u8]| seal.to_vec()),
        (false, &|seal: &[u8]| [b" ", seal].concat()),
    ] {
        let address = sealed_stream(&share, b"content", None);
        let file = seal_file(&share, &address);
        let seal = change(&fs::read(&file).unwrap());
        overwrite(&file, &seal);
        let ended = abandon(&share, &address, &receipt(&share, &address, ReceiptState::Abandoned));
        let is_there = share.drop_directory(&address).exists();
        if is_torn {
            assert!(ended.unwrap().is_gone && !is_there);
            assert_eq!(states(&share, &address), [ReceiptState::Abandoned].into());
        } else {
            assert!(matches!(ended, Err(ReleaseError::Sealed { .. })), "{ended:?}");
            assert!(is_there && states(&share, &address).is_empty());
        }
    }
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
