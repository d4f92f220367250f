//! What the vault has heard of drops in a hand-over. It is not kept: the same told twice changes nothing there.

use std::collections::BTreeMap;
use std::time::Duration;

use outlast_handover::DropKey;
use outlast_wire::api::{DeliveryState, HeardDelivery};

/// After that, what the vault did not believe is told again: it may be granted since.
const REFUSED_AGAIN: Duration = Duration::from_secs(3600);

/// What one run of the vault has heard.
#[derive(Debug, Clone, Default)]
pub(super) struct Heard {
    run: String,
    drops: BTreeMap<DropKey, Word>,
}

/// Its word about a drop.
#[derive(Debug, Clone)]
struct Word {
    state: DeliveryState,
    /// As it signed it.
    signed: Option<String>,
    /// When it did not believe us, by the timer.
    refused: Option<Duration>,
}

impl Heard {
    /// A run of the vault has answered. Another one may be of yesterday, and hears all again.
    pub(super) fn begin(&mut self, run: &str) {
        if self.run != run {
            run.clone_into(&mut self.run);
            self.drops.clear();
        }
    }

    pub(super) fn note(&mut self, heard: &HeardDelivery, now: Duration) {
        let key = DropKey { workload: heard.workload.clone(), drop: heard.drop };
        let refused = heard.refused.as_ref().map(|_| now);
        let signed = heard.countersigned.clone().filter(|_| refused.is_none());
        self.drops.insert(key, Word { state: heard.state, signed, refused });
    }

    /// Whether that need not be told now.
    pub(super) fn has(&self, key: &DropKey, state: DeliveryState, now: Duration) -> bool {
        self.drops.get(key).is_some_and(|word| {
            let is_old = |at: Duration| now.saturating_sub(at) >= REFUSED_AGAIN;
            word.state == state && !word.refused.is_some_and(is_old)
        })
    }

    /// What was heard of a drop does not hold any more.
    pub(super) fn forget(&mut self, key: &DropKey) {
        self.drops.remove(key);
    }

    /// The vault's signed words that drops are confirmed.
    pub(super) fn words(&self) -> BTreeMap<DropKey, String> {
        let confirmed = self.drops.iter().filter(|(_, it)| it.state == DeliveryState::Confirmed);
        confirmed.filter_map(|(key, it)| Some((key.clone(), it.signed.clone()?))).collect()
    }

    /// Forgets drops that are not there any more.
    pub(super) fn retain(&mut self, is_there: impl Fn(&DropKey) -> bool) {
        self.drops.retain(|key, _| is_there(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(refused: Option<&str>) -> HeardDelivery {
        HeardDelivery {
            handover: "nbu".to_owned(),
            workload: outlast_types::WorkloadName::new("shop").unwrap(),
            drop: "01a2066b-8649-78cb-a8bc-a5af0e952501".parse().unwrap(),
            state: DeliveryState::Confirmed,
            countersigned: Some("signed".to_owned()),
            refused: refused.map(str::to_owned),
        }
    }

    #[test]
    fn what_a_run_has_heard_is_told_to_the_next_again_and_what_it_does_not_believe_after_an_hour() {
        let (mut all, now) = (Heard::default(), Duration::from_secs(1));
        let key = DropKey { workload: heard(None).workload, drop: heard(None).drop };
        let has = |all: &Heard, state, seconds| all.has(&key, state, Duration::from_secs(seconds));
        all.begin("one");
        all.note(&heard(None), now);
        assert!(has(&all, DeliveryState::Confirmed, 9000));
        assert!(!has(&all, DeliveryState::Withdrawn, 1), "that is new");
        assert_eq!(all.words().into_values().collect::<Vec<_>>(), ["signed"]);
        all.begin("one");
        assert!(has(&all, DeliveryState::Confirmed, 1));
        all.begin("two");
        assert!(!has(&all, DeliveryState::Confirmed, 1));
        all.note(&heard(Some("not granted")), now);
        assert!(has(&all, DeliveryState::Confirmed, 3000) && all.words().is_empty());
        assert!(!has(&all, DeliveryState::Confirmed, 3601));
    }
}
