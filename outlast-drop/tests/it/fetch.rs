//! Which drop a fetch takes, and what it looks at for it.

use std::fs::{self, File, FileTimes};
use std::mem::MaybeUninit;
use std::time::{Duration, SystemTime};

use outlast_drop::fetch::{FetchError, Wanted, find};
use outlast_drop::{
    DropAddress, Receipt, ReceiptState, Share, SignedReceipt, Verifier, receipt as receipts,
};
use outlast_types::{DropId, SystemClock, SystemRandom, Timestamp};
use rustix::fs::inotify;

use crate::support::{TestSigner, new_share, receipt, sealed_stream, workload};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix(seconds, 0).unwrap()
}

fn vaulted(share: &Share, address: &DropAddress, seconds: i64) {
    let said = receipt(share, address, ReceiptState::Vaulted).receipt().clone();
    let signed = Receipt { at: at(seconds), ..said }.sign(&TestSigner).unwrap();
    receipts::write(share, &signed).unwrap();
}

/// Sets the time of a seal, as whoever may write to the share can.
fn touch(share: &Share, address: &DropAddress, time: SystemTime) {
    let seal = File::options().write(true).open(share.drop_directory(address).join("sealed.json"));
    seal.unwrap().set_times(FileTimes::new().set_modified(time)).unwrap();
}

fn fetched(share: &Share, wanted: Wanted) -> DropId {
    find(share, &workload("shop-db"), &wanted, None).unwrap().sealed.address().drop
}

#[test]
fn the_newest_drop_is_the_one_that_the_vault_took_last_whatever_the_times_of_files_say() {
    let (_directory, share) = new_share();
    let year_2099 = SystemTime::UNIX_EPOCH + Duration::from_secs(4_070_908_800);
    let [evil, honest] =
        ["evil", "honest"].map(|text| sealed_stream(&share, text.as_bytes(), None));
    touch(&share, &evil, year_2099);
    assert_eq!(fetched(&share, Wanted::Newest), honest.drop, "no receipt: by the ids");
    vaulted(&share, &honest, 1000);
    vaulted(&share, &evil, 999);
    assert_eq!(fetched(&share, Wanted::Newest), honest.drop);
    assert_eq!(fetched(&share, Wanted::At(at(999))), evil.drop);
    let early = find(&share, &workload("shop-db"), &Wanted::At(at(998)), None);
    assert!(matches!(early, Err(FetchError::NotYet { .. })), "{early:?}");
    // The vault has not taken this one, and it may be anybody's.
    let late = sealed_stream(&share, b"late", None);
    touch(&share, &late, year_2099);
    let found = find(&share, &workload("shop-db"), &Wanted::Newest, None).unwrap();
    assert_eq!(found.sealed.address(), &honest);
    assert_eq!((found.vaulted, found.newer), (Some(at(1000)), vec![late.drop]));
    assert_eq!(fetched(&share, Wanted::Drop(late.drop)), late.drop);
}

/// An authority by which a vault has signed all of one drop's receipts, and nobody any other.
struct Signed(DropId);

impl Verifier for Signed {
    fn check(&self, signed: &SignedReceipt) -> Result<(), String> {
        let receipt = signed.receipt();
        let may = receipt.drop == self.0 && receipt.state == ReceiptState::Vaulted;
        if may { Ok(()) } else { Err(String::new()) }
    }
}

#[test]
fn a_receipt_that_is_not_believed_makes_no_drop_newer_and_hides_none() {
    let (_directory, share) = new_share();
    let [evil, honest] =
        ["evil", "honest"].map(|text| sealed_stream(&share, text.as_bytes(), None));
    vaulted(&share, &evil, 4_070_908_800);
    vaulted(&share, &honest, 1000);
    let rejected = receipt(&share, &honest, ReceiptState::Rejected);
    receipts::write(&share, &rejected).unwrap();
    let found = find(&share, &workload("shop-db"), &Wanted::Newest, Some(&Signed(honest.drop)));
    let found = found.unwrap();
    assert_eq!(found.sealed.address(), &honest);
}

#[test]
fn of_two_drops_with_one_id_none_is_taken_for_the_other() {
    let (_directory, share) = new_share();
    let honest = sealed_stream(&share, b"honest", None);
    let other_day = share.workload_directory(&honest.workload).join("drops/20200101");
    let copy = other_day.join(honest.drop.to_string());
    fs::create_dir_all(&copy).unwrap();
    for file in fs::read_dir(share.drop_directory(&honest)).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), copy.join(file.file_name())).unwrap();
    }
    let found = find(&share, &workload("shop-db"), &Wanted::Drop(honest.drop), None);
    assert!(matches!(found, Err(FetchError::Ambiguous { .. })), "{found:?}");
    // A receipt names the day, too.
    vaulted(&share, &honest, 1000);
    let found = find(&share, &workload("shop-db"), &Wanted::Drop(honest.drop), None).unwrap();
    assert_eq!(found.sealed.address(), &honest);
}

#[test]
fn a_fetch_opens_nothing_of_other_workloads() {
    let (_directory, share) = new_share();
    let wanted = sealed_stream(&share, b"mine", None);
    let other = share.path().join("w/other/drops");
    fs::create_dir_all(&other).unwrap();
    let day = wanted.day.to_string();
    fs::create_dir(other.join(&day)).unwrap();
    let id = DropId::new(&SystemClock, &SystemRandom).to_string();
    fs::create_dir(other.join(&day).join(&id)).unwrap();
    let watch = inotify::init(inotify::CreateFlags::NONBLOCK).unwrap();
    let opened = inotify::WatchFlags::OPEN | inotify::WatchFlags::ACCESS;
    let places = [share.path().join("w/other"), other.clone(), other.join(day)];
    for path in &places {
        inotify::add_watch(&watch, path, opened).unwrap();
    }
    assert_eq!(fetched(&share, Wanted::Newest), wanted.drop);
    assert_eq!(fetched(&share, Wanted::Drop(wanted.drop)), wanted.drop);
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut events = inotify::Reader::new(&watch, &mut buffer);
    let quiet = events.next().map(|event| event.events());
    assert_eq!(quiet.unwrap_err(), rustix::io::Errno::AGAIN, "nobody looked there");
}
