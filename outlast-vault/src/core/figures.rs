//! The newest figures that agents told of themselves, for monitoring. Nothing is decided by them, and a
//! start forgets them: the next report tells them anew.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use outlast_types::{ShareId, Timestamp};
use outlast_wire::api::{AgentFigures, HandoverReport};

/// So many agents and shares are shown; of more, those that were heard last.
const SHOWN_MAX: usize = 1000;
/// Older figures tell nothing any more.
const FRESH: Duration = Duration::from_secs(3600);

/// Whose figures: an agent, and the share of which it speaks.
type Teller = (String, Option<ShareId>);

#[derive(Debug, Default)]
pub(crate) struct Figures {
    told: Mutex<BTreeMap<Teller, (Timestamp, AgentFigures)>>,
    handovers: Mutex<BTreeMap<Teller, (Timestamp, Vec<HandoverReport>)>>,
}

impl Figures {
    /// An agent told its figures.
    pub(crate) fn note(
        &self,
        agent: &str,
        share: Option<ShareId>,
        figures: AgentFigures,
        now: Timestamp,
    ) {
        let mut known = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert((agent.to_owned(), share), (now, figures));
        if known.len() > SHOWN_MAX {
            let oldest = known.iter().min_by_key(|(_, (at, _))| *at);
            if let Some(oldest) = oldest.map(|(teller, _)| teller.clone()) {
                known.remove(&oldest);
            }
        }
    }

    /// An agent told how its hand-overs stand.
    pub(crate) fn note_handovers(
        &self,
        agent: &str,
        share: Option<ShareId>,
        mut handovers: Vec<HandoverReport>,
        now: Timestamp,
    ) {
        handovers.iter_mut().for_each(|handover| handover.deliveries.clear());
        let mut known = self.handovers.lock().unwrap_or_else(PoisonError::into_inner);
        let teller = (agent.to_owned(), share);
        if known.len() < SHOWN_MAX || known.contains_key(&teller) {
            known.insert(teller, (now, handovers));
        }
    }

    /// The hand-overs of which was told not long ago, each with its agent.
    pub(crate) fn fresh_handovers(&self, now: Timestamp) -> Vec<(String, HandoverReport)> {
        let mut known = self.handovers.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, (at, _)| now.since(*at) < FRESH);
        let of = |((agent, _), (_, all)): (&Teller, &(Timestamp, Vec<HandoverReport>))| {
            all.iter().map(|handover| (agent.clone(), handover.clone())).collect::<Vec<_>>()
        };
        known.iter().flat_map(of).collect()
    }

    /// Those that are not too old.
    pub(crate) fn fresh(&self, now: Timestamp) -> Vec<(Teller, AgentFigures)> {
        let mut known = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back makes none old.
        known.retain(|_, (at, _)| now.since(*at) < FRESH);
        known.iter().map(|(teller, (_, figures))| (teller.clone(), figures.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_of_a_bounded_number_are_shown_while_they_are_fresh() {
        let figures = Figures::default();
        let at = |second| Timestamp::from_unix(second, 0).unwrap();
        let told = |passes| AgentFigures { passes, ..AgentFigures::default() };
        for second in 0..1100 {
            figures.note(&format!("eu-{second}"), None, told(1), at(second));
        }
        figures.note("eu-1099", None, told(7), at(1200));
        let shown = figures.fresh(at(1200));
        assert_eq!(shown.len(), SHOWN_MAX);
        assert!(!shown.iter().any(|((agent, _), _)| agent == "eu-0"), "the oldest went");
        let newest = shown.iter().find(|((agent, _), _)| agent == "eu-1099").unwrap();
        assert_eq!(newest.1.passes, 7);
        assert_eq!(figures.fresh(at(1200 + 3599)).len(), 1);
        assert!(figures.fresh(at(1200 + 3600)).is_empty());
    }
}
