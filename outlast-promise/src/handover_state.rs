//! What is known of one hand-over, and whether something is wrong with it.
//!
//! A trouble stays one until all has come that it held up: what lay there when it began must be confirmed, and some
//! time passes in which that is told. So a bad week of a product is one page, and its end pages nobody.

use std::time::Duration;

use outlast_types::Timestamp;
use serde::{Deserialize, Serialize};

use crate::handed::{FailedJob, Handed, HandoverRule, ProductTrouble, Room};

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HandoverState {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) product: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unread: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unconfirmed: Option<Timestamp>,
    /// Since when the oldest drop that is not confirmed is known to have been sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sent_since: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failed: Option<FailedJob>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) room: Option<Room>,
    /// Whether something may be withdrawn that it had confirmed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) has_withdrawn: bool,
    /// What is wrong with the product, and since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trouble: Option<(ProductTrouble, Timestamp)>,
    /// Since when nothing waits any more that the trouble held up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    drained: Option<Timestamp>,
}

impl HandoverState {
    /// What is wrong with the product.
    pub(crate) fn trouble(&self) -> Option<&ProductTrouble> {
        self.trouble.as_ref().map(|(trouble, _)| trouble)
    }

    /// Takes over what its agent says.
    pub(crate) fn hear(&mut self, handed: Handed, now: Timestamp) {
        let Handed { product, unread, unconfirmed, failed, room } = handed;
        if self.unconfirmed != unconfirmed {
            // The oldest is another one: the product confirms, if slowly.
            self.sent_since = None;
        }
        let is_sent = unconfirmed.is_some_and(|at| unread.is_none_or(|unread| at < unread));
        if !is_sent {
            self.sent_since = None;
        } else {
            self.sent_since.get_or_insert(now);
        }
        self.failed = failed.or(self.failed.take());
        // What came after a job had begun was none of its own.
        self.failed.take_if(|failed| unconfirmed.is_none_or(|at| failed.at <= at));
        (self.product, self.unread, self.unconfirmed, self.room) =
            (product, unread, unconfirmed, room);
    }

    /// What is wrong with the product by what is known now.
    fn found(&self, rule: &HandoverRule, now: Timestamp) -> Option<ProductTrouble> {
        if let Some(failed) = &self.failed {
            return Some(ProductTrouble::Failed(failed.clone()));
        }
        let (read, confirm) = (rule.read_within, rule.confirm_within);
        let is_over = |since: &Timestamp, within| since.saturating_add(within) <= now;
        if let Some(since) = self.unread.filter(|since| is_over(since, read)) {
            return Some(ProductTrouble::Unread { since, within: read });
        }
        let since = self.sent_since.filter(|since| is_over(since, confirm))?;
        Some(ProductTrouble::Unconfirmed { since, within: confirm })
    }

    /// The same state after a look at it; `grace` is the time in which what has come is told.
    pub(crate) fn looked(&self, rule: &HandoverRule, grace: Duration, now: Timestamp) -> Self {
        let mut next = self.clone();
        // Whether a product that nobody can ask has anything, nobody knows.
        let is_mute = self.room.as_ref().is_some_and(|room| room.is_mute);
        let is_known = |trouble: &ProductTrouble| {
            !is_mute || self.trouble.is_some() || matches!(trouble, ProductTrouble::Failed(_))
        };
        let found = self.found(rule, now).filter(is_known);
        let Some((_, since)) = &self.trouble else {
            next.trouble = found.map(|trouble| (trouble, now));
            return next;
        };
        let is_drained = found.is_none() && self.unconfirmed.is_none_or(|at| at > *since);
        next.drained = is_drained.then(|| self.drained.unwrap_or(now));
        if next.drained.is_some_and(|drained| drained.saturating_add(grace) <= now) {
            (next.trouble, next.drained) = (None, None);
        }
        next
    }

    /// The moments at which time alone changes what follows.
    pub(crate) fn deadlines(
        &self,
        rule: &HandoverRule,
        grace: Duration,
    ) -> impl Iterator<Item = Timestamp> {
        let unread = self.unread.map(|at| at.saturating_add(rule.read_within));
        let unconfirmed = self.sent_since.map(|at| at.saturating_add(rule.confirm_within));
        let drained = self.drained.map(|at| at.saturating_add(grace));
        [unread, unconfirmed, drained].into_iter().flatten()
    }

    /// All moments that move when the clock is set back.
    pub(crate) fn moments(&mut self) -> impl Iterator<Item = &mut Timestamp> {
        let Self { unread, unconfirmed, sent_since, failed, trouble, drained, .. } = self;
        let failed = failed.as_mut().map(|failed| &mut failed.at);
        let trouble = trouble.as_mut().map(|(_, since)| since);
        let own = [unread, unconfirmed, sent_since, drained].into_iter().flatten();
        own.chain(failed).chain(trouble)
    }
}
