use outlast_drop::{DropState, ReceiptState, Rejection, SealSummary};
use outlast_types::{
    ContentHash, DropId, DropIdentity, RejectionCode, SystemClock, SystemRandom, Timestamp,
    WorkloadName,
};
use outlast_wire::holdings::HeldDrop;
use outlast_wire::{Peer, Role};
use proptest::prelude::*;

use super::*;
use crate::custody::{Ground, Proven, Refusal};
use crate::secured::{KeepRule, Secured};

const GRACE: Duration = Duration::from_secs(60);

/// The action about a drop that looks like `seen`, of which receipts prove `proven`.
fn action(seen: &DropState, proven: &Proven, still: u64) -> Option<Action> {
    let custody = CustodyState::of(seen, proven);
    decide(&the_address(), custody, Duration::from_secs(still), GRACE)
}

fn the_address() -> DropAddress {
    DropAddress {
        workload: WorkloadName::new("w").unwrap(),
        day: Timestamp::EPOCH.day(),
        drop: "01a2066b-8649-78cb-a8bc-a5af0e952507".parse().unwrap(),
    }
}

fn sealed(digest: u8) -> DropState {
    DropState::Sealed(SealSummary {
        digest: ContentHash([digest; 32]),
        instance: None,
        release: None,
        stored_bytes: 0,
        raw_bytes: 0,
        is_brought_back: false,
    })
}

fn secured(role: Role, state: ReceiptState, digest: u8) -> Secured {
    let DropAddress { workload, day, drop } = the_address();
    let share = "6f1c1d6e-8f0a-4c6b-9d53-0d6f1a0f7b11".parse().unwrap();
    let seal = ContentHash([digest; 32]);
    let drop = DropIdentity { share, workload, day, drop, seal };
    let tree = "01".repeat(32).parse().unwrap();
    let snapshot = "02".repeat(32).parse().unwrap();
    let held = HeldDrop { drop, size: 1, tree, snapshot };
    let by = Peer::new(role, "it").unwrap();
    Secured { by, at: Timestamp::EPOCH, state, counts_now: true, held, is_doubtful: false }
}

/// The vault's word about the drop with this seal.
fn vaulted(digest: u8) -> Secured {
    secured(Role::Vault, ReceiptState::Vaulted, digest)
}

fn held_by_media(digest: u8) -> Secured {
    secured(Role::Media, ReceiptState::Shipped, digest)
}

fn accepted(digest: u8) -> Proven {
    Proven::Accepted { seal: ContentHash([digest; 32]) }
}

fn shipped(digest: u8, holder: Option<Secured>) -> Proven {
    Proven::Shipped { seal: ContentHash([digest; 32]), holder }
}

fn ship(digest: u8, hop: Hop, holder: Option<Secured>) -> Option<Action> {
    let (address, seal) = (the_address(), ContentHash([digest; 32]));
    let (is_loaded, first_seen, copy) = (false, None, None);
    Some(Action::Ship(Parcel { address, seal, hop, holder, is_loaded, first_seen, copy }))
}

fn refuse(rejection: Rejection) -> Option<Action> {
    Some(Action::Refuse { address: the_address(), rejection })
}

fn abandon(reason: &str) -> Option<Action> {
    Some(Action::Abandon { address: the_address(), reason: reason.to_owned() })
}

#[test]
fn a_writer_gets_the_whole_grace_time_and_is_never_an_incident() {
    let torn = DropState::Refused(Rejection::TornSeal);
    let failed = DropState::Failed { exit_status: Some(1) };
    for seen in [&torn, &failed, &DropState::Open(None)] {
        assert_eq!(action(seen, &Proven::Nothing, 0), None);
        assert_eq!(action(seen, &Proven::Nothing, 59), None);
    }
    let open = DropState::Open(None);
    assert_eq!(action(&open, &Proven::Nothing, 60), abandon("no sign of life for 1 min"));
    let gave_up = abandon("its writer gave up: the command ended with 1");
    assert_eq!(action(&failed, &Proven::Nothing, 60), gave_up);
    let failed = DropState::Failed { exit_status: None };
    assert_eq!(action(&failed, &Proven::Nothing, 61), abandon("its writer gave up"));
    assert_eq!(action(&torn, &Proven::Nothing, 60), refuse(Rejection::TornSeal));
    // It wakes up and seals, and has not heard of that: nothing was wrong with it.
    let rejected = Proven::Rejected { untold: None, ground: Ground::TornSeal };
    assert_eq!(action(&torn, &rejected, 119), None);
    let settle = Some(Action::Settle { address: the_address(), untold: None });
    assert_eq!(action(&torn, &rejected, 120), settle);
    assert_eq!(action(&sealed(7), &rejected, 0), Some(Action::TakeBack(the_address())));
    assert!(!Rejection::TornSeal.code().is_incident());
}

#[test]
fn a_bad_drop_is_refused_at_once_and_is_an_incident() {
    let rejection = Rejection::ExtraSegment { name: "x".to_owned() };
    let seen = DropState::Refused(rejection.clone());
    assert!(rejection.code().is_incident());
    assert_eq!(action(&seen, &Proven::Nothing, 0), refuse(rejection));
}

#[test]
fn every_hop_is_a_state_to_go_on_from() {
    assert_eq!(action(&sealed(7), &Proven::Nothing, 0), ship(7, Hop::Sealed, None));
    assert_eq!(action(&sealed(7), &accepted(7), 0), ship(7, Hop::Accepted, None));
    assert_eq!(action(&sealed(7), &shipped(7, None), 0), ship(7, Hop::Shipped, None));
    let media = Some(held_by_media(7));
    let proven = shipped(7, media.clone());
    assert_eq!(action(&sealed(7), &proven, 0), ship(7, Hop::Shipped, media));
    let (address, secured) = (the_address(), vaulted(7));
    let hold = Some(Action::Hold { address, secured: secured.clone() });
    assert_eq!(action(&sealed(7), &Proven::Vaulted(secured), 0), hold);
}

#[test]
fn what_is_known_of_one_seal_says_nothing_of_another() {
    let anew = ship(8, Hop::Sealed, None);
    assert_eq!(action(&sealed(8), &accepted(7), 0), anew);
    assert_eq!(action(&sealed(8), &shipped(7, None), 0), anew);
    assert_eq!(action(&sealed(8), &shipped(7, Some(held_by_media(7))), 0), anew);
    for proven in [Proven::Vaulted, Proven::Released] {
        let (address, secured) = (the_address(), vaulted(7));
        let hold = Some(Action::Hold { address, secured });
        assert_eq!(action(&sealed(7), &proven(vaulted(7)), 0), hold);
        let another = Rejection::AnotherSeal { held: ContentHash([7; 32]) };
        assert_eq!(action(&sealed(8), &proven(vaulted(7)), 0), refuse(another));
    }
}

#[test]
fn what_was_begun_is_finished_and_what_is_done_is_left_alone() {
    let failed = DropState::Failed { exit_status: None };
    for seen in [DropState::Open(None), failed] {
        let release = Some(Action::Release { address: the_address(), secured: vaulted(7) });
        assert_eq!(action(&seen, &Proven::Released(vaulted(7)), 0), release);
        assert_eq!(action(&seen, &Proven::Abandoned, 0), abandon("its writer died"));
        // What receipts say of the drop that was here before gives no writer less time.
        for proven in [accepted(7), shipped(7, None), Proven::Vaulted(vaulted(7))] {
            assert_eq!(action(&seen, &proven, 59), None);
        }
    }
    let refusal = Refusal { code: RejectionCode::WrongHash, reason: "bad".to_owned(), place: None };
    for untold in [None, Some(refusal)] {
        for seen in [DropState::Open(None), sealed(7), DropState::Refused(Rejection::TornSeal)] {
            let settle = Some(Action::Settle { address: the_address(), untold: untold.clone() });
            let proven = Proven::Rejected { untold: untold.clone(), ground: Ground::Drop };
            assert_eq!(action(&seen, &proven, 0), settle);
        }
    }
    // Should it have been sealed in that moment after all, it is a good drop.
    assert_eq!(action(&sealed(7), &Proven::Abandoned, 0), ship(7, Hop::Sealed, None));
    // A seal that is bad is no seal that went.
    let torn = DropState::Refused(Rejection::TornSeal);
    assert_eq!(action(&torn, &Proven::Released(vaulted(7)), 0), None);
}

#[test]
fn an_id_that_is_vaulted_under_another_day_makes_nothing_safe_here() {
    let day = Timestamp::EPOCH.day();
    let taken = Proven::IdTaken { day };
    assert_eq!(action(&sealed(7), &taken, 0), refuse(Rejection::IdTaken { day }));
    assert_eq!(action(&DropState::Open(None), &taken, 0), None, "its writer is at work");
}

fn address() -> DropAddress {
    DropAddress { drop: DropId::new(&SystemClock, &SystemRandom), ..the_address() }
}

fn at(seconds: i64, secured: Secured) -> Secured {
    Secured { at: Timestamp::from_unix(seconds, 0).unwrap(), ..secured }
}

#[test]
fn the_newest_by_the_vaults_clock_stay() {
    let (old, new, middle) = (address(), address(), address());
    let held = [(old.clone(), 1), (new, 3), (middle.clone(), 2)];
    let held = held.map(|(address, seconds)| (address, at(seconds, vaulted(7)))).into();
    assert_eq!(KeepRule::vaulted(2).excess(&held), std::slice::from_ref(&old));
    assert_eq!(KeepRule::vaulted(1).excess(&held), [middle, old]);
    assert_eq!(KeepRule::vaulted(3).excess(&held), []);
    assert_eq!(KeepRule::vaulted(0).excess(&held).len(), 3);
}

#[test]
fn what_a_media_server_holds_is_not_released_and_keeps_nothing_else_on_the_share() {
    let (here, there) = (address(), address());
    let held = [(here.clone(), at(1, vaulted(7))), (there.clone(), at(9, held_by_media(7)))].into();
    assert_eq!(KeepRule::vaulted(0).excess(&held), std::slice::from_ref(&here));
    assert_eq!(KeepRule::vaulted(1).excess(&held), []);
    // The policy says what counts, and nothing else does.
    let any = KeepRule { newest: 1, safe: &[ReceiptState::Vaulted, ReceiptState::Shipped] };
    assert_eq!(any.excess(&held), [here]);
    assert_eq!(KeepRule { newest: 0, ..any }.excess(&held).len(), 2);
    assert_eq!(KeepRule { newest: 0, safe: &[] }.excess(&held), []);
}

fn any_state() -> impl Strategy<Value = DropState> {
    prop_oneof![
        Just(DropState::Open(None)),
        any::<Option<i32>>().prop_map(|exit_status| DropState::Failed { exit_status }),
        Just(DropState::Refused(Rejection::TornSeal)),
        Just(DropState::Refused(Rejection::ExtraSegment { name: "x".to_owned() })),
        (6_u8..9).prop_map(sealed),
    ]
}

fn any_proven() -> impl Strategy<Value = Proven> {
    prop_oneof![
        Just(Proven::Nothing),
        Just(accepted(7)),
        Just(shipped(7, None)),
        Just(shipped(7, Some(held_by_media(7)))),
        Just(Proven::Vaulted(vaulted(7))),
        Just(Proven::IdTaken { day: Timestamp::EPOCH.day() }),
        prop::sample::select(vec![Ground::Drop, Ground::Policy, Ground::TornSeal])
            .prop_map(|ground| Proven::Rejected { untold: None, ground }),
        Just(Proven::Abandoned),
        Just(Proven::Released(vaulted(7))),
    ]
}

proptest! {
    #![proptest_config(outlast_testing::cases(256))]

    #[test]
    fn no_sealed_drop_loses_its_data_unless_the_vault_holds_it(
        seen in any_state(),
        proven in any_proven(),
        still in 0_u64..200,
    ) {
        let is_sealed = matches!(seen, DropState::Sealed(_));
        // Vaulted is what has the very seal that the vault's receipt names.
        let held = matches!(&proven, Proven::Vaulted(_) | Proven::Released(_));
        let is_vaulted = held && matches!(&seen, DropState::Sealed(seal)
            if seal.digest == vaulted(7).seal());
        match action(&seen, &proven, still) {
            Some(Action::Hold { .. }) => prop_assert!(is_vaulted),
            Some(Action::Release { .. }) => {
                prop_assert!(matches!(proven, Proven::Released(_)));
                prop_assert!(!is_sealed);
            }
            Some(Action::Abandon { .. }) => prop_assert!(!is_sealed),
            Some(Action::Ship(parcel)) => {
                prop_assert!(is_sealed && !is_vaulted);
                // Nothing goes on from a hop that another seal has come to.
                prop_assert!(parcel.hop == Hop::Sealed || parcel.seal == ContentHash([7; 32]));
            }
            Some(Action::Refuse { .. }) => prop_assert!(!is_vaulted),
            Some(Action::Settle { .. }) => {
                let is_final = matches!(proven, Proven::Rejected { untold: None, ground }
                    if ground == Ground::Drop || !is_sealed);
                prop_assert!(is_final);
            }
            Some(Action::Reconsider { .. }) => {
                let ground = Ground::Policy;
                prop_assert_eq!(proven, Proven::Rejected { untold: None, ground });
                prop_assert!(is_sealed);
            }
            Some(Action::TakeBack(_)) => {
                let ground = Ground::TornSeal;
                prop_assert_eq!(proven, Proven::Rejected { untold: None, ground });
                prop_assert!(is_sealed);
            }
            None => {
                let ground = Ground::TornSeal;
                let waits_twice = proven == Proven::Rejected { untold: None, ground };
                let most = GRACE * if waits_twice { 2 } else { 1 };
                prop_assert!(still < most.as_secs(), "nothing waits for ever");
            }
            Some(other) => prop_assert!(false, "{:?} is nothing that is decided here", other),
        }
    }

    #[test]
    fn a_living_writer_is_never_judged(seen in any_state(), still in 0_u64..60) {
        prop_assume!(seen.may_heal());
        prop_assert_eq!(action(&seen, &Proven::Nothing, still), None);
    }

    #[test]
    fn the_newest_of_a_workload_are_never_released(
        times in prop::collection::vec(0_i64..20, 0..12),
        keep in 0_usize..14,
    ) {
        let held: std::collections::BTreeMap<_, _> =
            times.iter().map(|&time| (address(), at(time, vaulted(7)))).collect();
        let released = KeepRule::vaulted(keep).excess(&held);
        prop_assert_eq!(released.len(), held.len().saturating_sub(keep));
        let newest_released = released.iter().map(|address| held[address].at).max();
        let mut kept = held.iter().filter(|(address, _)| !released.contains(address));
        prop_assert!(kept.all(|(_, secured)| Some(secured.at) >= newest_released));
    }
}
