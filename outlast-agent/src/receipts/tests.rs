use std::time::Duration;

use outlast_types::{Clock, ContentHash, SystemClock, SystemRandom, WorkloadName};
use outlast_wire::{CertificateAuthority, Identity, IdentityHandle, Peer, ca};

use super::*;

/// A share, and an authority that certified an agent, a media server and a vault.
struct Desk {
    directory: tempfile::TempDir,
    share: Share,
    ca: CertificateAuthority,
    authority: Authority,
}

fn identity(ca: &CertificateAuthority, role: Role) -> Identity {
    let peer = Peer::new(role, "it").unwrap();
    let hosts = vec!["localhost".to_owned()];
    let request = ca::Request { hosts, ..ca::Request::new(peer, Duration::from_secs(3600)) };
    ca.issue(&request, &SystemClock, &SystemRandom).unwrap()
}

fn address() -> DropAddress {
    DropAddress {
        workload: WorkloadName::new("shop").unwrap(),
        day: "20260131".parse().unwrap(),
        drop: "01a2066b-8649-78cb-a8bc-a5af0e952507".parse().unwrap(),
    }
}

fn seal() -> ContentHash {
    ContentHash([7; 32])
}

impl Desk {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (clock, random) = (&SystemClock, &SystemRandom);
        let share = Share::init(&directory.path().join("share"), clock, random).unwrap();
        let ca = CertificateAuthority::create(&directory.path().join("ca"), clock, random).unwrap();
        let authority = Authority::following(&IdentityHandle::from(identity(&ca, Role::Agent)));
        Self { directory, share, ca, authority }
    }

    /// A receipt as a holder of the drop would write it.
    fn whole(&self, state: ReceiptState) -> Receipt {
        Receipt {
            seal: Some(seal()),
            size: Some(9),
            tree: Some("01".repeat(32).parse().unwrap()),
            snapshot: Some("02".repeat(32)),
            ..Receipt::about(self.share.id(), &address(), state, SystemClock.now())
        }
    }

    /// Puts a receipt under the name of `state`, whatever it says.
    fn put(&self, state: ReceiptState, receipt: Receipt, signer: &Identity) {
        let signed = receipt.sign(signer).unwrap();
        let directory = self.share.workload_directory(&address().workload).join("receipts");
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join(format!("{}.{state}.json", address().drop));
        outlast_fs::durable::replace(&path, signed.bytes(), 0o644).unwrap();
    }

    fn say(&self, state: ReceiptState, role: Role) {
        self.put(state, self.whole(state), &identity(&self.ca, role));
    }

    /// The proof of the receipts in these states, and how many problems they are.
    fn proven(&self, states: &[ReceiptState]) -> (Proven, usize) {
        let reader = Reader { share: &self.share, authority: &self.authority };
        let mut problems = Vec::new();
        let states = states.iter().copied().collect();
        let proven = reader.prove(&address(), &states, &mut problems).unwrap();
        (proven, problems.len())
    }
}

const ACCEPTED: ReceiptState = ReceiptState::Accepted;
const SHIPPED: ReceiptState = ReceiptState::Shipped;
const VAULTED: ReceiptState = ReceiptState::Vaulted;
const RELEASED: ReceiptState = ReceiptState::Released;
const REJECTED: ReceiptState = ReceiptState::Rejected;
const ABANDONED: ReceiptState = ReceiptState::Abandoned;

#[test]
fn each_hop_is_proved_by_the_receipt_of_one_who_may_say_so() {
    let desk = Desk::new();
    assert_eq!(desk.proven(&[ACCEPTED, VAULTED]), (Proven::Nothing, 0), "by name alone");
    desk.say(ACCEPTED, Role::Agent);
    let accepted = Proven::Accepted { seal: seal() };
    assert_eq!(desk.proven(&[ACCEPTED]), (accepted, 0));
    assert_eq!(desk.proven(&[]), (Proven::Nothing, 0), "one that is not listed is not read");
    desk.say(SHIPPED, Role::Agent);
    let shipped = Proven::Shipped { seal: seal(), holder: None };
    assert_eq!(desk.proven(&[ACCEPTED, SHIPPED]), (shipped, 0));
    desk.say(SHIPPED, Role::Media);
    let (held, _) = desk.proven(&[SHIPPED]);
    let Proven::Shipped { holder: Some(holder), .. } = held else { panic!("{held:?}") };
    assert_eq!((holder.by.role(), holder.seal()), (Role::Media, seal()));
    desk.say(VAULTED, Role::Vault);
    let (vaulted, problems) = desk.proven(&[ACCEPTED, SHIPPED, VAULTED]);
    assert!(matches!(vaulted, Proven::Vaulted(_)) && problems == 0, "{vaulted:?}");
    desk.say(RELEASED, Role::Agent);
    let (released, _) = desk.proven(&[VAULTED, RELEASED]);
    assert!(matches!(released, Proven::Released(_)), "{released:?}");
    let (released, _) = desk.proven(&[RELEASED]);
    assert_eq!(released, Proven::Nothing, "an agent's word alone releases nothing");
}

#[test]
fn a_receipt_of_anybody_else_or_of_another_drop_proves_nothing_and_is_told() {
    let desk = Desk::new();
    desk.say(VAULTED, Role::Agent);
    assert_eq!(desk.proven(&[VAULTED]), (Proven::Nothing, 1), "an agent is no vault");
    let stranger = Desk::new();
    let vault = identity(&stranger.ca, Role::Vault);
    desk.put(VAULTED, desk.whole(VAULTED), &vault);
    assert_eq!(desk.proven(&[VAULTED]), (Proven::Nothing, 1), "of another authority");
    let vault = identity(&desk.ca, Role::Vault);
    desk.put(VAULTED, desk.whole(SHIPPED), &vault);
    assert_eq!(desk.proven(&[VAULTED]), (Proven::Nothing, 1), "it says something else");
    let workload = WorkloadName::new("blog").unwrap();
    desk.put(VAULTED, Receipt { workload, ..desk.whole(VAULTED) }, &vault);
    assert_eq!(desk.proven(&[VAULTED]), (Proven::Nothing, 1), "of another workload");
    desk.put(VAULTED, Receipt { share: Some(stranger.share.id()), ..desk.whole(VAULTED) }, &vault);
    assert_eq!(desk.proven(&[VAULTED]), (Proven::Nothing, 0), "of another share");
    let day = Some("20260130".parse().unwrap());
    desk.put(VAULTED, Receipt { day, ..desk.whole(VAULTED) }, &vault);
    let taken = Proven::IdTaken { day: "20260130".parse().unwrap() };
    assert_eq!(desk.proven(&[VAULTED]), (taken, 0));
    for state in [ACCEPTED, SHIPPED, REJECTED, ABANDONED] {
        let agent = identity(&desk.ca, Role::Agent);
        desk.put(state, Receipt { day, ..desk.whole(state) }, &agent);
        assert_eq!(desk.proven(&[state]), (Proven::Nothing, 0), "{state} of another day");
    }
}

#[test]
fn a_rejection_says_whether_it_is_told_and_what_it_is_about() {
    let desk = Desk::new();
    let agent = identity(&desk.ca, Role::Agent);
    let refused = |code: Option<RejectionCode>| {
        let reason = Some("bad".to_owned());
        desk.put(REJECTED, Receipt { code, reason, ..desk.whole(REJECTED) }, &agent);
        desk.proven(&[ACCEPTED, REJECTED]).0
    };
    let whole = desk.whole(REJECTED);
    let place = whole.day.zip(whole.seal);
    assert!(place.is_some(), "what an operator may accept");
    let told = |code| Some(Refusal { code, reason: "bad".to_owned(), place });
    for (code, ground) in [
        (RejectionCode::WrongHash, Ground::Drop),
        (RejectionCode::TooLarge, Ground::Policy),
        (RejectionCode::MostlyHoles, Ground::Policy),
        (RejectionCode::AbsurdRatio, Ground::Policy),
    ] {
        let untold = told(code.clone());
        assert_eq!(refused(Some(code)), Proven::Rejected { untold, ground });
    }
    // And it may be whole by now.
    let torn = Proven::Rejected { untold: None, ground: Ground::TornSeal };
    assert_eq!(refused(Some(RejectionCode::TornSeal)), torn, "nobody is told of that");
    let untold = told(RejectionCode::default());
    assert_eq!(refused(None), Proven::Rejected { untold, ground: Ground::Drop });
    desk.say(ABANDONED, Role::Agent);
    assert_eq!(desk.proven(&[ABANDONED]), (Proven::Abandoned, 0));
}

#[test]
fn one_that_cannot_be_read_is_no_word_and_one_that_only_saves_work_stops_nobody() {
    let desk = Desk::new();
    let receipts = desk.share.workload_directory(&address().workload).join("receipts");
    for state in [ACCEPTED, SHIPPED, VAULTED, REJECTED] {
        let path = receipts.join(format!("{}.{state}.json", address().drop));
        std::fs::create_dir_all(path).unwrap();
    }
    assert_eq!(desk.proven(&[ACCEPTED, SHIPPED]), (Proven::Nothing, 0));
    let reader = Reader { share: &desk.share, authority: &desk.authority };
    for state in [VAULTED, REJECTED] {
        let states = BTreeSet::from([state]);
        assert!(reader.prove(&address(), &states, &mut Vec::new()).is_err(), "{state}");
    }
}

#[test]
fn nothing_is_released_but_with_the_very_receipt_on_the_share() {
    let desk = Desk::new();
    desk.say(VAULTED, Role::Vault);
    let (Proven::Vaulted(secured), _) = desk.proven(&[VAULTED]) else {
        panic!("it is not vaulted")
    };
    let reader = Reader { share: &desk.share, authority: &desk.authority };
    reader.check(&address(), &secured).unwrap();
    let vault = identity(&desk.ca, Role::Vault);
    desk.put(VAULTED, Receipt { size: Some(8), ..desk.whole(VAULTED) }, &vault);
    let error = reader.check(&address(), &secured).unwrap_err();
    assert!(error.contains("is of another drop"), "{error}");
    desk.say(VAULTED, Role::Agent);
    let error = reader.check(&address(), &secured).unwrap_err();
    assert!(error.contains("cannot be believed"), "{error}");
    let receipts = desk.directory.path().join("share/w/shop/receipts");
    std::fs::remove_dir_all(receipts).unwrap();
    let error = reader.check(&address(), &secured).unwrap_err();
    assert!(error.contains("is not on the share"), "{error}");
}
