//! The newest figures that agents told of themselves, for monitoring. Nothing is decided by them, and a
//! start forgets them: the next report tells them anew.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use outlast_types::{ShareId, Timestamp};
use outlast_wire::api::AgentFigures;

/// So many agents and shares are shown; of more, those that were heard last.
const SHOWN_MAX: usize = 1000;
/// Older figures tell nothing any more.
const FRESH: Duration = Duration::from_secs(3600);

/// Whose figures: an agent, and the share of which it speaks.
type Teller = (String, Option<ShareId>);

#[derive(Debug, Default)]
pub(crate) struct Figures(Mutex<BTreeMap<Teller, (Timestamp, AgentFigures)>>);

impl Figures {
    /// An agent told its figures.
    pub(crate) fn note(
        &self,
        agent: &str,
        share: Option<ShareId>,
        figures: AgentFigures,
        now: Timestamp,
    ) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert((agent.to_owned(), share), (now, figures));
        if known.len() > SHOWN_MAX {
            let oldest = known.iter().min_by_key(|(_, (at, _))| *at);
            if let Some(oldest) = oldest.map(|(teller, _)| teller.clone()) {
                known.remove(&oldest);
            }
        }
    }

    /// Those that are not too old.
    pub(crate) fn fresh(&self, now: Timestamp) -> Vec<(Teller, AgentFigures)> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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
