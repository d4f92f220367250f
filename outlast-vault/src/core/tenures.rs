//! Which agents serve which shares, by the tenures of which they report.
//!
//! On one share there is one tenure at a time: an agent that finds another's mark stops or waits. So two
//! that go on side by side are on two shares of one id, a share and a copy of it. A start of the vault
//! forgets all of it: the next reports tell it anew.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use outlast_types::{ShareId, TenureId};

/// An agent that has taken over from another one, which was not dead, hears of it sooner.
const OVERLAP: Duration = Duration::from_secs(300);
/// An agent that reported longer ago is gone.
const FRESH: Duration = Duration::from_secs(1800);
const SHARES_MAX: usize = 1000;
const TENURES_MAX: usize = 8;

#[derive(Debug)]
struct Served {
    tenure: TenureId,
    agent: String,
    began: Duration,
    last: Duration,
}

#[derive(Debug, Default)]
pub(crate) struct Tenures(Mutex<BTreeMap<ShareId, Vec<Served>>>);

impl Tenures {
    /// Notes that an agent serves a share in a tenure, `now` by the vault's timer; who serves a share of
    /// this id beside it, if somebody does.
    pub(crate) fn rival(
        &self,
        share: ShareId,
        tenure: TenureId,
        agent: &str,
        now: Duration,
    ) -> Option<String> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_fresh = |it: &Served| now.saturating_sub(it.last) < FRESH;
        if known.len() >= SHARES_MAX && !known.contains_key(&share) {
            known.retain(|_, served| served.iter().any(is_fresh));
            if known.len() >= SHARES_MAX {
                return None;
            }
        }
        let served = known.entry(share).or_default();
        served.retain(is_fresh);
        let own = served.iter().position(|it| it.tenure == tenure);
        let began = own.map_or(now, |at| served[at].began);
        if let Some(at) = own {
            served.remove(at);
        }
        let agent = agent.to_owned();
        served.push(Served { tenure, agent, began, last: now });
        if served.len() > TENURES_MAX {
            // They are in the order in which they were heard.
            served.remove(0);
        }
        let is_beside = |it: &&Served| it.tenure != tenure && it.last > began + OVERLAP;
        served.iter().find(is_beside).map(|it| it.agent.clone())
    }
}

#[cfg(test)]
mod tests {
    use outlast_types::SystemRandom;

    use super::*;

    #[test]
    fn two_tenures_that_go_on_side_by_side_are_a_share_and_its_copy() {
        let tenures = Tenures::default();
        let (share, other) = (ShareId::new(&SystemRandom), ShareId::new(&SystemRandom));
        let [real, copy, elsewhere] = [0; 3].map(|_| TenureId::new(&SystemRandom));
        let at = |share, tenure, name: &str, seconds| {
            tenures.rival(share, tenure, name, Duration::from_secs(seconds))
        };
        assert_eq!(at(share, real, "eu-1", 0), None);
        assert_eq!(at(other, elsewhere, "eu-9", 0), None);
        assert_eq!(at(share, copy, "eu-2", 600), None, "it may have taken over");
        assert_eq!(at(share, real, "eu-1", 700), Some("eu-2".to_owned()));
        assert_eq!(at(share, copy, "eu-2", 800), None, "the first may be told in its next pass");
        assert_eq!(at(share, real, "eu-1", 1000), Some("eu-2".to_owned()));
        assert_eq!(at(share, copy, "eu-2", 1100), Some("eu-1".to_owned()));
        assert_eq!(at(other, elsewhere, "eu-9", 1100), None);
        // One of the two is stopped.
        assert_eq!(at(share, real, "eu-1", 2000), Some("eu-2".to_owned()));
        assert_eq!(at(share, real, "eu-1", 1100 + 1799), Some("eu-2".to_owned()));
        assert_eq!(at(share, real, "eu-1", 1100 + 1800), None);
    }

    #[test]
    fn an_agent_that_takes_over_is_no_rival_and_what_is_kept_is_bounded() {
        let tenures = Tenures::default();
        let share = ShareId::new(&SystemRandom);
        for second in 0..100 {
            let (tenure, now) = (TenureId::new(&SystemRandom), Duration::from_secs(second * 60));
            assert_eq!(tenures.rival(share, tenure, "eu-1", now), None);
        }
        assert!(tenures.0.lock().unwrap()[&share].len() <= TENURES_MAX);
        for second in 0..1100 {
            let (share, tenure) = (ShareId::new(&SystemRandom), TenureId::new(&SystemRandom));
            tenures.rival(share, tenure, "eu-1", Duration::from_secs(second));
        }
        assert!(tenures.0.lock().unwrap().len() <= SHARES_MAX);
    }
}
