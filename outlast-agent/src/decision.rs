//! What a drop needs next: a pure function of what was seen and what receipts prove.

use std::collections::BTreeMap;
use std::time::Duration;

use outlast_drop::{DropAddress, DropState, Rejection};

use crate::custody::{Standing, Vaulted};

/// What to do with a drop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Look again in the next pass.
    Wait,
    /// Never look again.
    Settle,
    /// The vault said that it holds it; the keep rule and the vault's answer of then say when its
    /// data may go.
    Hold(Vaulted),
    /// Its release was broken off after its seal had gone, so that there is no drop any more.
    FinishRelease(Vaulted),
    Ship,
    /// Put it into quarantine. An incident, unless its writer merely died.
    Refuse {
        rejection: Rejection,
        is_incident: bool,
    },
    Abandon {
        reason: String,
    },
}

/// What a drop needs next. `still` is how long nothing in it has changed, by our own clock.
pub(crate) fn decide(
    state: &DropState,
    standing: Standing,
    still: Duration,
    grace: Duration,
) -> Step {
    match (standing, state) {
        (Standing::Vaulted(vaulted) | Standing::Released(vaulted), DropState::Sealed(seal)) => {
            if vaulted.seal() == seal.digest {
                return Step::Hold(vaulted);
            }
            return refuse(Rejection::AnotherSeal { held: vaulted.seal() });
        }
        (Standing::IdTaken { day }, DropState::Sealed(_)) => {
            return refuse(Rejection::IdTaken { day });
        }
        (Standing::Released(vaulted), DropState::Open(_) | DropState::Failed { .. }) => {
            return Step::FinishRelease(vaulted);
        }
        (Standing::Rejected, _) => return Step::Settle,
        // An agent died between its receipt and the end of the work. Should the drop have been
        // sealed in that moment after all, it is a good drop.
        (Standing::Abandoned, DropState::Sealed(_)) => return Step::Ship,
        (Standing::Abandoned, _) => {
            return Step::Abandon { reason: "its writer died".to_owned() };
        }
        // Whatever was vaulted from this place or under this id, what is here now is not sealed.
        (
            Standing::New | Standing::Vaulted(_) | Standing::Released(_) | Standing::IdTaken { .. },
            _,
        ) => {}
    }
    match state {
        DropState::Sealed(_) => Step::Ship,
        _ if state.may_heal() && still < grace => Step::Wait,
        // Whoever tore it off died while sealing, and that is never an incident (I2).
        DropState::Refused(rejection) if rejection.is_torn_seal() => {
            Step::Refuse { rejection: rejection.clone(), is_incident: false }
        }
        DropState::Refused(rejection) => refuse(rejection.clone()),
        DropState::Failed { exit_status } if still >= grace => Step::Abandon {
            reason: match exit_status {
                Some(status) => format!("its writer gave up: the command ended with {status}"),
                None => "its writer gave up".to_owned(),
            },
        },
        DropState::Failed { .. } => Step::Wait,
        DropState::Open(_) => Step::Abandon {
            reason: format!("no sign of life for {}", outlast_types::human::duration(grace)),
        },
    }
}

fn refuse(rejection: Rejection) -> Step {
    Step::Refuse { rejection, is_incident: true }
}

/// The drops that may leave the share if the vault says that it holds them: vaulted, and beyond the
/// newest `keep` of their workload, by the vault's time.
pub(crate) fn releasable(held: &BTreeMap<DropAddress, Vaulted>, keep: usize) -> Vec<DropAddress> {
    let mut newest_first: Vec<_> =
        held.iter().map(|(address, vaulted)| (vaulted.at, address)).collect();
    newest_first.sort_by(|left, right| right.cmp(left));
    newest_first.into_iter().skip(keep).map(|(_, address)| address.clone()).collect()
}

#[cfg(test)]
mod tests {
    use outlast_drop::SealSummary;
    use outlast_types::{
        BlobId, ContentHash, DropId, DropIdentity, SnapshotId, SystemClock, SystemRandom,
        Timestamp, WorkloadName,
    };
    use outlast_wire::holdings::HeldDrop;
    use proptest::prelude::*;

    use super::*;

    const GRACE: Duration = Duration::from_secs(60);

    fn step(state: &DropState, standing: Standing, still: u64) -> Step {
        decide(state, standing, Duration::from_secs(still), GRACE)
    }

    #[test]
    fn a_writer_gets_the_whole_grace_time_and_is_never_an_incident() {
        let torn = DropState::Refused(Rejection::TornSeal);
        let failed = DropState::Failed { exit_status: Some(1) };
        for state in [&torn, &failed, &DropState::Open(None)] {
            assert_eq!(step(state, Standing::New, 59), Step::Wait);
        }
        assert!(matches!(step(&DropState::Open(None), Standing::New, 60), Step::Abandon { .. }));
        assert!(matches!(step(&failed, Standing::New, 60), Step::Abandon { .. }));
        let Step::Refuse { is_incident, .. } = step(&torn, Standing::New, 60) else { panic!() };
        assert!(!is_incident);
    }

    #[test]
    fn a_bad_drop_is_refused_at_once_and_is_an_incident() {
        let rejection = Rejection::ExtraSegment { name: "x".to_owned() };
        let refused = DropState::Refused(rejection.clone());
        assert_eq!(step(&refused, Standing::New, 0), Step::Refuse { rejection, is_incident: true });
    }

    #[test]
    fn what_was_begun_is_finished_and_what_is_done_is_left_alone() {
        let open = DropState::Open(None);
        let held = vaulted(7);
        assert_eq!(step(&open, Standing::Released(held.clone()), 0), Step::FinishRelease(held));
        assert_eq!(step(&open, Standing::Rejected, 0), Step::Settle);
        assert!(matches!(step(&open, Standing::Abandoned, 0), Step::Abandon { .. }));
    }

    #[test]
    fn a_receipt_counts_for_the_seal_that_it_names_and_for_no_other() {
        for standing in [Standing::Vaulted, Standing::Released] {
            assert_eq!(step(&sealed(7), standing(vaulted(7)), 0), Step::Hold(vaulted(7)));
            let rejection = Rejection::AnotherSeal { held: ContentHash([7; 32]) };
            let expected = Step::Refuse { rejection, is_incident: true };
            assert_eq!(step(&sealed(8), standing(vaulted(7)), 0), expected);
        }
    }

    #[test]
    fn an_id_that_is_vaulted_under_another_day_makes_nothing_safe_here() {
        let day = Timestamp::EPOCH.day();
        let taken = Standing::IdTaken { day };
        let expected = Step::Refuse { rejection: Rejection::IdTaken { day }, is_incident: true };
        assert_eq!(step(&sealed(7), taken.clone(), 0), expected);
        assert_eq!(step(&DropState::Open(None), taken, 0), Step::Wait, "its writer is at work");
    }

    #[test]
    fn the_newest_by_the_vaults_clock_stay() {
        let at = |seconds| {
            let at = Timestamp::from_unix(seconds, 0).unwrap();
            Vaulted { at, ..vaulted(7) }
        };
        let (old, new, middle) = (address(), address(), address());
        let held = BTreeMap::from([(old.clone(), at(1)), (new, at(3)), (middle.clone(), at(2))]);
        assert_eq!(releasable(&held, 2), std::slice::from_ref(&old));
        assert_eq!(releasable(&held, 1), [middle, old]);
        assert_eq!(releasable(&held, 3), []);
        assert_eq!(releasable(&held, 0).len(), 3);
    }

    fn address() -> DropAddress {
        DropAddress {
            workload: WorkloadName::new("w").unwrap(),
            day: Timestamp::EPOCH.day(),
            drop: DropId::new(&SystemClock, &SystemRandom),
        }
    }

    fn sealed(digest: u8) -> DropState {
        DropState::Sealed(SealSummary {
            digest: ContentHash([digest; 32]),
            instance: None,
            stored_bytes: 0,
            raw_bytes: 0,
        })
    }

    /// What the vault says of a drop whose seal has this digest.
    fn vaulted(digest: u8) -> Vaulted {
        let DropAddress { workload, day, drop } = address_of(digest);
        let share = "6f1c1d6e-8f0a-4c6b-9d53-0d6f1a0f7b11".parse().unwrap();
        let seal = ContentHash([digest; 32]);
        let drop = DropIdentity { share, workload, day, drop, seal };
        let (tree, snapshot) = (BlobId([1; 32]), SnapshotId([2; 32]));
        Vaulted { at: Timestamp::EPOCH, held: HeldDrop { drop, size: 1, tree, snapshot } }
    }

    fn address_of(digest: u8) -> DropAddress {
        let drop = format!("01a2066b-8649-78cb-a8bc-a5af0e9525{digest:02x}").parse().unwrap();
        DropAddress { drop, ..address() }
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

    fn any_standing() -> impl Strategy<Value = Standing> {
        prop_oneof![
            Just(Standing::New),
            Just(Standing::Vaulted(vaulted(7))),
            Just(Standing::IdTaken { day: Timestamp::EPOCH.day() }),
            Just(Standing::Rejected),
            Just(Standing::Abandoned),
            Just(Standing::Released(vaulted(7))),
        ]
    }

    proptest! {
        #[test]
        fn no_sealed_drop_loses_its_data_unless_the_vault_holds_it(
            state in any_state(),
            standing in any_standing(),
            still in 0_u64..200,
        ) {
            // Vaulted is what has the very seal that the vault's receipt names.
            let held = matches!(&standing, Standing::Vaulted(_) | Standing::Released(_));
            let is_vaulted = held && matches!(&state, DropState::Sealed(seal)
                if seal.digest == vaulted(7).seal());
            match step(&state, standing.clone(), still) {
                Step::Hold(_) => prop_assert!(is_vaulted),
                Step::FinishRelease(_) => {
                    prop_assert!(matches!(standing, Standing::Released(_)));
                    prop_assert!(!matches!(state, DropState::Sealed(_)));
                }
                Step::Abandon { .. } => prop_assert!(!matches!(state, DropState::Sealed(_))),
                Step::Ship => prop_assert!(matches!(state, DropState::Sealed(_)) && !is_vaulted),
                Step::Refuse { rejection, is_incident } => {
                    prop_assert!(!is_vaulted);
                    prop_assert_eq!(is_incident, !rejection.is_torn_seal());
                }
                Step::Settle => prop_assert_eq!(standing, Standing::Rejected),
                Step::Wait => prop_assert!(still < GRACE.as_secs(), "nothing waits for ever"),
            }
        }

        #[test]
        fn a_living_writer_is_never_judged(state in any_state(), still in 0_u64..60) {
            let is_at_work = state.may_heal();
            prop_assume!(is_at_work);
            prop_assert_eq!(step(&state, Standing::New, still), Step::Wait);
        }

        #[test]
        fn the_newest_of_a_workload_are_never_released(
            times in prop::collection::vec(0_i64..20, 0..12),
            keep in 0_usize..14,
        ) {
            let at = |seconds| Timestamp::from_unix(seconds, 0).unwrap();
            let vaulted = |seconds| Vaulted { at: at(seconds), ..vaulted(7) };
            let held: BTreeMap<_, _> =
                times.iter().map(|&time| (address(), vaulted(time))).collect();
            let released = releasable(&held, keep);
            prop_assert_eq!(released.len(), held.len().saturating_sub(keep));
            let newest_released = released.iter().map(|address| held[address].at).max();
            let mut kept = held.iter().filter(|(address, _)| !released.contains(address));
            prop_assert!(kept.all(|(_, vaulted)| Some(vaulted.at) >= newest_released));
        }
    }
}
