//! What goes: requests and replies whose time is over, and answers that nobody needs.
//!
//! Ages are by the clock of whoever keeps the share, which dates what the agent writes there, and what the
//! agent asks of it for that.

use std::collections::BTreeSet;
use std::time::Duration;

use outlast_drop::asking::{Desk as Place, Listed};
use outlast_drop::{Share, ShareError};
use outlast_types::{RequestId, WorkloadName};

use super::Desk;
use crate::answers::kept::{Answer, Kept};

/// How often it is looked what has expired, and in how many parts of the time that things stay.
const TIDY_MAX: Duration = Duration::from_secs(60);
const TIDY_PARTS: u32 = 4;

impl Desk {
    /// Removes what has expired of a workload, and what was withdrawn.
    pub(super) fn tidy(
        &mut self,
        requests: &Place,
        answers: Option<&Place>,
        workload: &WorkloadName,
        asked: &Listed,
        given: &Listed,
    ) -> Result<(), ShareError> {
        let (now, keep) = (self.elapsed(), self.parts.rules.keep);
        let often = (keep / TIDY_PARTS).min(TIDY_MAX);
        let open = self.open.entry(workload.clone()).or_default();
        if open.tidied.is_some_and(|last| now.saturating_sub(last) < often) {
            return Ok(());
        }
        open.tidied = Some(now);
        let random = &*self.parts.environment.random;
        let time = requests.now(random)?;
        let keep = i64::try_from(keep.as_secs()).unwrap_or(i64::MAX);
        let is_over = |age: Option<i64>| age.is_some_and(|age| age > keep);
        let replied: BTreeSet<_> = given.requests.iter().copied().collect();
        for id in asked.requests.iter().filter(|id| !replied.contains(id)) {
            if is_over(requests.age(*id, time)) {
                requests.remove(*id)?;
            }
        }
        let Some(answers) = answers else { return Ok(()) };
        let asking: BTreeSet<_> = asked.requests.iter().copied().collect();
        for id in &given.requests {
            let is_withdrawn = asked.is_whole && !asking.contains(id);
            if is_withdrawn || !self.is_coming(workload, *id) && is_over(answers.age(*id, time)) {
                requests.remove(*id)?;
                answers.remove(*id)?;
                if let Some(open) = self.open.get_mut(workload) {
                    open.replied.remove(id);
                }
            }
        }
        self.tidy_answers(answers, workload, given)
    }

    /// Whether the answer that a reply names is still on its way.
    fn is_coming(&self, workload: &WorkloadName, request: RequestId) -> bool {
        let replied = self.open.get(workload).and_then(|open| open.replied.get(&request));
        let Some(name) = replied.and_then(|replied| replied.answer.as_ref()) else { return false };
        let is_whole = |(_, kept): &(_, Kept)| kept.get(name).is_none_or(|answer| answer.is_whole);
        let has_failed = self.known.get(name).is_some_and(|known| known.failed);
        !has_failed && !self.kept.as_ref().is_none_or(is_whole)
    }

    /// Removes the answers of a workload that nobody needs: those that are not ours, those whose last reply is
    /// gone and whose time is over, and those that nobody waits for and that are not whole.
    fn tidy_answers(
        &mut self,
        answers: &Place,
        workload: &WorkloadName,
        given: &Listed,
    ) -> Result<(), ShareError> {
        let named = self.named();
        let now = self.elapsed();
        let Some((_, kept)) = &self.kept else { return Ok(()) };
        let strays = given.answers.iter().filter(|name| kept.get(name).is_none());
        strays.into_iter().try_for_each(|name| answers.remove_answer(name))?;
        let ours: Vec<Answer> =
            kept.iter().filter(|it| it.workload == *workload).cloned().collect();
        for answer in ours {
            let known = self.known.entry(answer.name.clone()).or_default();
            if named.contains(&answer.name) {
                known.idle_since = None;
                continue;
            }
            let idle = now.saturating_sub(*known.idle_since.get_or_insert(now));
            // A fleet does not start in one moment: the next may ask for the same.
            if !answer.is_whole && idle > Duration::ZERO || idle > self.parts.rules.keep {
                self.remove_from(answers, &answer)?;
            }
        }
        Ok(())
    }

    /// The answers that some reply names.
    pub(super) fn named(&self) -> BTreeSet<String> {
        let replied = self.open.values().flat_map(|open| open.replied.values());
        replied.filter_map(|replied| replied.answer.clone()).collect()
    }

    /// Removes an answer.
    pub(super) fn remove(&mut self, share: &Share, answer: &Answer) -> Result<(), ShareError> {
        self.remove_from(&Place::of_answers(share, &answer.workload)?, answer)
    }

    fn remove_from(&mut self, answers: &Place, answer: &Answer) -> Result<(), ShareError> {
        if self.reading.as_ref().is_some_and(|reading| reading.answer == answer.name)
            && let Some(reading) = self.reading.take()
        {
            reading.stop();
            reading.end();
        }
        answers.remove_answer(&answer.name)?;
        self.known.remove(&answer.name);
        if let Some((_, kept)) = &mut self.kept
            && let Err(error) = kept.forget(&answer.name)
        {
            // It is forgotten when it is not found on the share.
            tracing::warn!(%error, "cannot forget an answer");
        }
        Ok(())
    }
}
