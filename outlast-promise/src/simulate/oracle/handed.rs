//! Who had to be paged for what becomes of drops that are handed over.
//!
//! - The *product* is in trouble when its last job failed while something lay there that it should have taken;
//!   when what lies there was not read within the time for that; and when what was read was not confirmed within
//!   the time for that. It is one trouble until all that it held up is confirmed, and it may ring on for a deadline.
//! - Its directory takes nothing: that is told while it is so, but not while it is full since the product is in
//!   trouble. What was confirmed and is gone is told until it, or a later drop, is confirmed.
//! - While one of them is told, it explains the workloads whose drops lie there, or found no room.
//! - What an agent said before it fell silent, or before the vault was away, blames nobody until it is heard again.

use outlast_types::Safe;

use super::super::account::Account;
use super::super::infrastructure::Infrastructure;
use super::super::product::{CONFIRM_WITHIN, HANDOVER, READ_WITHIN, Told};
use super::super::scenario::Scenario;
use super::super::spans::{Span, Spans};
use super::episode::{Episode, Expected, Leeway, first_outside, tell};
use crate::cause::{Key, Topic};
use crate::handed::HandoverId;

/// What is wrong with the hand-over of an agent.
#[derive(Debug, Clone, Default)]
pub(super) struct HandOver {
    /// When the product is in trouble.
    trouble: Vec<Trouble>,
    /// When the directory takes nothing, and when that is because it is full.
    closed: Spans,
    full: Spans,
    withdrawn: Spans,
}

/// A product is in trouble.
#[derive(Debug, Clone, Copy)]
struct Trouble {
    span: Span,
    /// Until when it may ring on.
    latest: u64,
    /// What lay there when it began.
    since: u64,
    /// Whether its time was over in the very second in which it was told to be well: it may be told.
    is_tie: bool,
}

impl HandOver {
    /// What follows from what its agent told, and when nothing that it told counted, for it was not heard.
    pub(super) fn of<'a>(
        told: &[(u64, Told)],
        deaf: &Spans,
        accounts: impl Iterator<Item = &'a Account>,
        it: &Infrastructure,
    ) -> Self {
        let ends = told.iter().skip(1).map(|(at, _)| *at).chain([u64::MAX]);
        let pieces: Vec<(Span, Told)> =
            told.iter().zip(ends).map(|((at, told), end)| ((*at, end), *told)).collect();
        let of = |is: fn(&Told) -> bool| -> Spans {
            pieces.iter().filter(|(_, told)| is(told)).map(|(span, _)| *span).collect()
        };
        let gone = accounts.flat_map(|account| {
            account.withdrawn.without(&account.retired).iter().collect::<Vec<_>>()
        });
        Self {
            withdrawn: gone.collect(),
            closed: of(|told| told.room.is_some()),
            full: of(|told| told.room == Some(true)),
            trouble: troubles(&pieces, deaf, it),
        }
    }

    pub(super) fn tell(&self, agent: usize, it: &Infrastructure, expected: &mut Expected) {
        let number = u32::try_from(agent).unwrap_or(u32::MAX);
        let id = HandoverId { agent: Scenario::agent(number), name: HANDOVER.to_owned() };
        let key = |topic| Key::of_handover(topic, &id);
        let episode = |trouble: &Trouble| {
            let Trouble { span, latest, is_tie, .. } = *trouble;
            Episode {
                span,
                may: Some(span.0),
                must: (!is_tie).then_some(span.0),
                latest,
                is_tie,
                leeway: is_tie.then_some(Leeway::Tie),
                ..Episode::default()
            }
        };
        let troubles: Vec<Episode> = self.trouble.iter().map(episode).collect();
        if !troubles.is_empty() {
            expected.insert(key(Topic::Handover), troubles);
        }
        tell(expected, key(Topic::Withdrawn), &self.withdrawn);
        let (surely, perhaps) = (self.full.and(&self.surely()), self.full.and(&self.perhaps()));
        let room = |span: Span| Episode {
            span,
            may: first_outside(span, &surely, it),
            must: first_outside(span, &perhaps, it),
            latest: span.1,
            leeway: Some(Leeway::ProductOver),
            ..Episode::default()
        };
        let rooms: Vec<Episode> = self.closed.iter().map(room).collect();
        if !rooms.is_empty() {
            expected.insert(key(Topic::HandoverRoom), rooms);
        }
    }

    /// When the product's trouble is told.
    fn surely(&self) -> Spans {
        self.trouble.iter().filter(|it| !it.is_tie).map(|it| it.span).collect()
    }

    fn perhaps(&self) -> Spans {
        self.trouble.iter().map(|it| (it.span.0, it.latest.saturating_add(1))).collect()
    }

    /// When all this explains that a workload has no recovery point: certainly; and perhaps, and why that is open.
    pub(super) fn explains(
        &self,
        account: &Account,
        safe: Option<Safe>,
    ) -> (Spans, Vec<(Leeway, Spans)>) {
        let Some(safe) = safe.filter(|safe| *safe != Safe::Vaulted) else {
            return (Spans::default(), Vec::new());
        };
        // What the vault waits for, too, is not the product's alone, unless it came when the promise was broken.
        let of_product = match safe {
            Safe::Confirmed => account.lies.clone(),
            _ => account.lies.without(&account.waited_before()),
        };
        let outside = account.lies.or(&account.roomless);
        let mut surely = self.surely().and(&of_product).or(&account.withdrawn);
        // Before any drop of it lay there, nobody but its agent knows where it is to be.
        let first = account.lies.iter().next().map_or(u64::MAX, |(from, _)| from);
        let known: Spans = [(first, u64::MAX)].into_iter().collect();
        if safe != Safe::Either {
            // That it takes nothing explains no drop that never came.
            let newer = account.lies.and(&account.newer).or(&account.roomless);
            surely = surely.or(&self.closed.and(&newer).and(&known));
        }
        let perhaps = vec![
            (Leeway::ProductAndVault, self.surely().and(&account.lies)),
            (Leeway::Room, self.closed.and(&outside)),
            (Leeway::ProductOver, self.perhaps().and(&outside)),
        ];
        (surely, perhaps)
    }
}

/// When one of these is so, by what was told: something waits too long for a job, or for a word, or a job failed.
/// What was over in the second in which it began is among them.
fn found(pieces: &[(Span, Told)]) -> Vec<Span> {
    let mut found = Vec::new();
    let mut sent: Option<(u64, u64)> = None;
    for ((from, until), told) in pieces {
        if let Some(unread) = told.unread {
            found.push(((unread + READ_WITHIN).max(*from), *until));
        }
        // Since when the oldest that is not confirmed is known to be read.
        let read = told.unconfirmed.filter(|at| told.unread.is_none_or(|unread| *at < unread));
        sent =
            read.map(|at| (at, sent.filter(|(of, _)| *of == at).map_or(*from, |(_, since)| since)));
        if let Some((_, since)) = sent {
            found.push(((since + CONFIRM_WITHIN).max(*from), *until));
        }
        if let (Some(begun), Some(unconfirmed)) = (told.failed, told.unconfirmed)
            && unconfirmed < begun
        {
            found.push((*from, *until));
        }
    }
    found
}

/// When the product is in trouble.
fn troubles(pieces: &[(Span, Told)], deaf: &Spans, it: &Infrastructure) -> Vec<Trouble> {
    let begins = found(pieces);
    let found: Spans = begins.iter().copied().collect();
    let touched = begins.iter().filter(|(begin, end)| begin == end && !found.contains(*begin));
    let mut begins: Vec<Span> = found.iter().chain(touched.copied()).collect();
    begins.sort_unstable();
    let mut troubles: Vec<Trouble> = Vec::new();
    let mut from = 0;
    for (begin, end) in begins {
        let begun = deaf.first_outside(begin);
        let is_tie = begin == end && begun == begin;
        // What began before the last one was over is a part of it.
        if begin < from || begun >= end && !is_tie {
            continue;
        }
        // What comes back before it was over is the same trouble.
        let before = troubles.last().filter(|before| begun <= before.latest);
        let since = before.map_or(begun, |before| before.since);
        let is_over = |(span, told): &&(Span, Told)| {
            let at = span.0.max(begun);
            span.1 > at && !found.contains(at) && told.unconfirmed.is_none_or(|at| at > since)
        };
        let over = pieces.iter().filter(|(span, _)| span.1 > begun).find(is_over);
        let until = over.map_or(u64::MAX, |(span, _)| span.0.max(begun));
        let latest = match until {
            u64::MAX => u64::MAX,
            _ => deaf.first_outside(until + it.deadline),
        };
        troubles.push(Trouble { span: (begun, until), latest, since, is_tie });
        if until == u64::MAX {
            break;
        }
        from = until;
    }
    troubles
}
