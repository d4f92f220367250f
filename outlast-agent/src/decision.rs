//! What a drop needs next: a pure function of what was seen and what receipts prove.

use std::collections::BTreeMap;
use std::time::Duration;

use outlast_drop::{DropAddress, DropState, Rejection};
use outlast_types::Timestamp;

use crate::custody::Standing;

/// What to do with a drop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Look again in the next pass.
    Wait,
    /// Never look again.
    Settle,
    /// The vault holds it; the keep rule says when its data may go.
    Hold {
        at: Timestamp,
    },
    /// It was being released when an agent died.
    FinishRelease,
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
    match standing {
        Standing::Released => return Step::FinishRelease,
        Standing::Vaulted { at } => return Step::Hold { at },
        Standing::Rejected => return Step::Settle,
        // An agent died between its receipt and the end of the work. Should the drop have been
        // sealed in that moment after all, it is a good drop.
        Standing::Abandoned => {
            return match state {
                DropState::Sealed(_) => Step::Ship,
                _ => Step::Abandon { reason: "its writer died".to_owned() },
            };
        }
        Standing::New => {}
    }
    match state {
        DropState::Sealed(_) => Step::Ship,
        _ if state.may_heal() && still < grace => Step::Wait,
        DropState::Refused(rejection) => Step::Refuse {
            rejection: rejection.clone(),
            // Whoever tore it off died while sealing, and that is never an incident (I2).
            is_incident: !rejection.is_torn_seal(),
        },
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

/// The drops that may leave the share: vaulted, and beyond the newest `keep` of their workload, by
/// the vault's time.
pub(crate) fn releasable(held: &BTreeMap<DropAddress, Timestamp>, keep: usize) -> Vec<DropAddress> {
    let mut newest_first: Vec<_> = held.iter().map(|(address, at)| (*at, address)).collect();
    newest_first.sort_by(|left, right| right.cmp(left));
    newest_first.into_iter().skip(keep).map(|(_, address)| address.clone()).collect()
}

#[cfg(test)]
mod tests {
    use outlast_drop::SealSummary;
    use outlast_types::{ContentHash, DropId, SystemClock, SystemRandom, WorkloadName};
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
        let rejection = Rejection::ForeignFile { name: "x".to_owned() };
        let refused = DropState::Refused(rejection.clone());
        assert_eq!(step(&refused, Standing::New, 0), Step::Refuse { rejection, is_incident: true });
    }

    #[test]
    fn what_was_begun_is_finished_and_what_is_done_is_left_alone() {
        let at = Timestamp::EPOCH;
        let open = DropState::Open(None);
        assert_eq!(step(&open, Standing::Released, 0), Step::FinishRelease);
        assert_eq!(step(&open, Standing::Vaulted { at }, 0), Step::Hold { at });
        assert_eq!(step(&open, Standing::Rejected, 0), Step::Settle);
        assert!(matches!(step(&open, Standing::Abandoned, 0), Step::Abandon { .. }));
    }

    #[test]
    fn the_newest_by_the_vaults_clock_stay() {
        let workload = WorkloadName::new("w").unwrap();
        let address = || DropAddress {
            workload: workload.clone(),
            day: Timestamp::EPOCH.day(),
            drop: DropId::new(&SystemClock, &SystemRandom),
        };
        let at = |seconds| Timestamp::from_unix(seconds, 0).unwrap();
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

    fn sealed() -> DropState {
        DropState::Sealed(SealSummary {
            digest: ContentHash([7; 32]),
            instance: None,
            stored_bytes: 0,
            raw_bytes: 0,
        })
    }

    fn any_state() -> impl Strategy<Value = DropState> {
        prop_oneof![
            Just(DropState::Open(None)),
            any::<Option<i32>>().prop_map(|exit_status| DropState::Failed { exit_status }),
            Just(DropState::Refused(Rejection::TornSeal)),
            Just(DropState::Refused(Rejection::ForeignFile { name: "x".to_owned() })),
            Just(()).prop_map(|()| sealed()),
        ]
    }

    fn any_standing() -> impl Strategy<Value = Standing> {
        prop_oneof![
            Just(Standing::New),
            Just(Standing::Vaulted { at: Timestamp::EPOCH }),
            Just(Standing::Rejected),
            Just(Standing::Abandoned),
            Just(Standing::Released),
        ]
    }

    proptest! {
        #[test]
        fn no_sealed_drop_loses_its_data_unless_the_vault_holds_it(
            state in any_state(),
            standing in any_standing(),
            still in 0_u64..200,
        ) {
            let is_vaulted = matches!(standing, Standing::Vaulted { .. } | Standing::Released);
            match step(&state, standing, still) {
                Step::Hold { .. } | Step::FinishRelease => prop_assert!(is_vaulted),
                Step::Abandon { .. } => prop_assert!(!matches!(state, DropState::Sealed(_))),
                Step::Ship => prop_assert!(matches!(state, DropState::Sealed(_)) && !is_vaulted),
                Step::Refuse { rejection, is_incident } => {
                    prop_assert_eq!(is_incident, !rejection.is_torn_seal());
                }
                Step::Settle => prop_assert_eq!(standing, Standing::Rejected),
                Step::Wait => {
                    prop_assert_eq!(standing, Standing::New);
                    prop_assert!(still < GRACE.as_secs(), "nothing waits for ever");
                }
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
            let held: BTreeMap<_, _> = times.iter().map(|&time| (address(), at(time))).collect();
            let released = releasable(&held, keep);
            prop_assert_eq!(released.len(), held.len().saturating_sub(keep));
            let newest_released = released.iter().map(|address| held[address]).max();
            let mut kept = held.iter().filter(|(address, _)| !released.contains(address));
            prop_assert!(kept.all(|(_, at)| Some(*at) >= newest_released));
        }
    }
}
