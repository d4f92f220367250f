//! Which writers are to be told that there is no room, or that there is again.
//!
//! A notice counts only for a while, so that a dead agent refuses nobody for ever; it is written anew as long
//! as it holds.

use std::collections::BTreeMap;
use std::time::Duration;

use outlast_drop::Notice;
use outlast_types::WorkloadName;

use crate::budget::Pressure;

/// For how long a notice counts. Its writer has passes that take long, and a share that hiccups.
pub(crate) const VALID: Duration = Duration::from_secs(600);
/// How often it is written anew.
const ANEW: Duration = Duration::from_secs(120);
/// The most words that are said in one pass: each takes a few calls to the share.
const WORDS_MAX: usize = 500;

/// One word to the writers of a workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Word {
    Say(Box<Notice>),
    TakeBack(WorkloadName),
}

/// The notices that lie on the share, as far as this run of the agent wrote them; others expire by themselves.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    said: BTreeMap<WorkloadName, Said>,
}

#[derive(Debug)]
struct Said {
    pressure: Pressure,
    /// By the timer.
    at: Duration,
}

impl Notices {
    /// What is to be said now, `elapsed` by the timer. What waits longest comes first.
    pub(crate) fn due(
        &self,
        pressures: &BTreeMap<WorkloadName, Pressure>,
        elapsed: Duration,
    ) -> Vec<Word> {
        let mut due = Vec::new();
        for name in self.said.keys().filter(|name| !pressures.contains_key(*name)) {
            due.push((Duration::ZERO, Word::TakeBack(name.clone())));
        }
        for (name, pressure) in pressures {
            let said = self.said.get(name);
            let holds = |said: &Said| {
                let is_same = said.pressure.level == pressure.level
                    && said.pressure.code == pressure.code
                    && said.pressure.budget == pressure.budget;
                is_same && elapsed.saturating_sub(said.at) < ANEW
            };
            if !said.is_some_and(holds) {
                let since = said.map_or(Duration::ZERO, |said| said.at);
                due.push((since, Word::Say(Box::new(notice(name, pressure)))));
            }
        }
        due.sort_by_key(|(since, _)| *since);
        due.truncate(WORDS_MAX);
        due.into_iter().map(|(_, word)| word).collect()
    }

    /// A word was said.
    pub(crate) fn said(&mut self, word: &Word, pressure: Option<&Pressure>, elapsed: Duration) {
        match (word, pressure) {
            (Word::Say(notice), Some(pressure)) => {
                let said = Said { pressure: pressure.clone(), at: elapsed };
                self.said.insert(notice.workload.clone(), said);
            }
            (Word::Say(notice), None) => drop(self.said.remove(&notice.workload)),
            (Word::TakeBack(name), _) => drop(self.said.remove(name)),
        }
    }
}

impl Word {
    /// Whom it is for.
    pub(crate) fn workload(&self) -> &WorkloadName {
        match self {
            Self::Say(notice) => &notice.workload,
            Self::TakeBack(name) => name,
        }
    }
}

fn notice(workload: &WorkloadName, pressure: &Pressure) -> Notice {
    let Pressure { level, code, used, budget, reason } = pressure.clone();
    Notice { workload: workload.clone(), level, code, reason, used, budget, valid: VALID }
}

#[cfg(test)]
mod tests {
    use outlast_drop::{NoticeCode, NoticeLevel};

    use super::*;

    fn pressures(level: NoticeLevel) -> BTreeMap<WorkloadName, Pressure> {
        let code = NoticeCode::WorkloadBudget;
        let pressure = Pressure { level, code, used: 9, budget: 10, reason: "full".to_owned() };
        [(WorkloadName::new("shop").unwrap(), pressure)].into()
    }

    #[test]
    fn a_notice_is_said_once_and_anew_before_it_expires_and_is_taken_back() {
        let mut notices = Notices::default();
        let mut said = |pressures: &BTreeMap<WorkloadName, Pressure>, seconds| {
            let elapsed = Duration::from_secs(seconds);
            let due = notices.due(pressures, elapsed);
            due.iter().for_each(|word| {
                notices.said(word, pressures.get(word.workload()), elapsed);
            });
            due
        };
        let (warned, refused) = (pressures(NoticeLevel::Warn), pressures(NoticeLevel::Refuse));
        assert!(said(&BTreeMap::new(), 0).is_empty());
        assert!(matches!(&said(&warned, 1)[..], [Word::Say(notice)] if notice.used == 9));
        assert!(said(&warned, 100).is_empty());
        assert_eq!(said(&refused, 101).len(), 1, "it became worse");
        assert!(said(&refused, 200).is_empty());
        assert_eq!(said(&refused, 221).len(), 1, "long before it expires");
        assert!(ANEW * 3 < VALID);
        let name = WorkloadName::new("shop").unwrap();
        assert_eq!(said(&BTreeMap::new(), 222), [Word::TakeBack(name)]);
        assert!(said(&BTreeMap::new(), 223).is_empty());
    }
}
