//! Who was paged, beside who had to be.

use std::collections::BTreeMap;
use std::fmt;

use outlast_types::{Timestamp, human};
use serde::Serialize;

use super::life::seconds;
use super::oracle::{Episode, Expected, Leeway};
use super::scenario::Scenario;
use super::world::History;
use crate::cause::Key;

/// A page rings within so many seconds of when it is known that it must (I3), and ends as soon.
const WITHIN: u64 = 60;
/// Faults that are told one by one.
const FAULTS_TOLD_MAX: usize = 100;

/// Somebody was paged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageSent {
    pub key: Key,
    /// Seconds after the beginning, by the receiver's time.
    pub opened: u64,
    pub resolved: Option<u64>,
    /// By the vault's clock.
    pub at: Timestamp,
    pub code: &'static str,
    pub team: String,
    pub sentence: String,
}

/// How often what happened.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    pub seed: u64,
    pub workloads: u64,
    pub days: u64,
    pub happenings: u64,
    pub instances: u64,
    pub instances_vanished: u64,
    pub drops: u64,
    pub events: u64,
    /// Broken promises and other things that went wrong, those that others explain included.
    pub episodes: u64,
    pub pages_expected: u64,
    pub pages_sent: u64,
    /// Sent although nobody had to be paged, or twice for one thing.
    pub pages_false: u64,
    /// Not sent, or later than a minute after it could be known.
    pub pages_missed: u64,
    /// That rang on after their cause had gone, or ended before it had.
    pub pages_unresolved: u64,
    pub worst_delay_seconds: u64,
    /// Sent where the definitions say neither that somebody is paged nor that nobody is.
    pub pages_allowed: u64,
    /// The same by why that is so, and by the code of their cause: `catching-up not-vaulted`.
    pub allowed: BTreeMap<String, u64>,
    /// Pages by the code of their cause.
    pub causes: BTreeMap<String, u64>,
}

/// What came of a scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub counts: Counts,
    /// The first faults; the counts have all.
    pub faults: Vec<Fault>,
    /// In the order in which they were sent.
    pub pages: Vec<PageSent>,
}

impl Outcome {
    /// Whether everybody was paged who had to be, and nobody else.
    pub fn is_right(&self) -> bool {
        let Counts { pages_false, pages_missed, pages_unresolved, .. } = self.counts;
        pages_false == 0 && pages_missed == 0 && pages_unresolved == 0
    }
}

/// Something that the ledger did wrong, if the oracle is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub kind: FaultKind,
    pub key: Key,
    /// When, in seconds after the beginning, and by the clock that the vault had at the beginning.
    pub second: u64,
    pub at: Timestamp,
    pub text: String,
}

/// The kinds of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    False,
    Missed,
    Unresolved,
}

impl FaultKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::False => "false",
            Self::Missed => "missed",
            Self::Unresolved => "unresolved",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} at {} (second {}): ", self.kind.as_str(), self.key, self.at, self.second)?;
        f.write_str(&self.text)
    }
}

/// Compares what was sent with what was expected.
pub(crate) fn judge(
    scenario: &Scenario,
    history: &History,
    expected: &Expected,
    sent: Vec<PageSent>,
    events: u64,
) -> Outcome {
    let lives = || history.lives.iter();
    let mut counts = Counts {
        seed: scenario.seed,
        workloads: history.lives.len() as u64,
        days: scenario.days.into(),
        happenings: history.happenings,
        instances: lives().map(|life| life.instances).sum(),
        instances_vanished: lives().map(|life| life.vanished).sum(),
        drops: lives().map(|life| life.drops).sum(),
        events,
        pages_sent: sent.len() as u64,
        ..Counts::default()
    };
    let mut of_key: BTreeMap<&Key, Vec<&PageSent>> = BTreeMap::new();
    for page in &sent {
        of_key.entry(&page.key).or_default().push(page);
        *counts.causes.entry(page.code.to_owned()).or_default() += 1;
    }
    let mut court = Court {
        start: scenario.start,
        end: history.infrastructure.end,
        away: &history.infrastructure.away,
        counts,
        faults: Vec::new(),
    };
    let keys = of_key.keys().copied().chain(expected.keys());
    for key in keys.collect::<std::collections::BTreeSet<_>>() {
        let pages = of_key.get(key).map_or(&[][..], Vec::as_slice);
        court.hear(key, expected.get(key).map_or(&[][..], Vec::as_slice), pages);
    }
    let Court { counts, mut faults, .. } = court;
    faults.sort_by_key(|fault| fault.second);
    faults.truncate(FAULTS_TOLD_MAX);
    Outcome { counts, faults, pages: sent }
}

struct Court<'a> {
    start: Timestamp,
    end: u64,
    away: &'a super::spans::Spans,
    counts: Counts,
    faults: Vec<Fault>,
}

impl Court<'_> {
    /// Judges all pages about one thing.
    fn hear(&mut self, key: &Key, all: &[Episode], pages: &[&PageSent]) {
        let mut pages = pages.iter().copied().peekable();
        // What begins after the last moment of the history is not judged.
        let judged = all.partition_point(|episode| episode.span.0 <= self.end);
        let mut episodes = all[..judged].iter().peekable();
        let mut carried: Option<&PageSent> = None;
        while let Some(episode) = episodes.next() {
            self.counts.episodes += 1;
            let (from, until) = episode.span;
            while let Some(page) = pages.next_if(|page| page.opened < from) {
                self.is_false(key, page, "nothing was the matter");
            }
            let page = match carried.take() {
                // It came back before all had come that it held up: one trouble, and one page.
                Some(page) => Some(page),
                None => {
                    let page = pages.next_if(|page| page.opened <= until);
                    self.judge(key, episode, page);
                    page
                }
            };
            let Some(page) = page else { continue };
            let resolved = page.resolved.unwrap_or(u64::MAX);
            let is_back = |next: &Episode| {
                next.span.0 <= episode.latest.saturating_add(WITHIN) && next.span.0 < resolved
            };
            if episodes.peek().is_some_and(|next| is_back(next)) {
                carried = Some(page);
            } else {
                self.judge_end(key, episode, resolved);
            }
            while let Some(page) = pages.next_if(|page| page.opened < until) {
                self.is_false(key, page, "somebody had been paged for this already");
            }
        }
        for page in pages {
            self.is_false(key, page, "nothing was the matter");
        }
    }

    /// Judges the page of one episode, or that there is none.
    fn judge(&mut self, key: &Key, episode: &Episode, page: Option<&PageSent>) {
        let (_, until) = episode.span;
        let must = episode.must.filter(|must| *must + WITHIN < self.end);
        self.counts.pages_expected += u64::from(must.is_some());
        let Some(page) = page else {
            if let Some(must) = must {
                let text = format!("nobody was paged, and it lasted {}", lasted(must, until));
                self.fault(FaultKind::Missed, key, must, text);
            }
            return;
        };
        // What is mended in the very moment in which it is seen to be broken may be told of.
        let is_moment = page.opened == until && page.resolved == Some(until);
        let is_tie = episode.is_tie && page.opened == episode.span.0
            || episode.handed_on.contains(&page.opened);
        let is_within = |span: (u64, u64)| span.0 < page.opened;
        let is_explained = episode.explained.at(page.opened).is_some_and(is_within);
        let is_early = episode.may.is_none_or(|may| page.opened < may);
        if !is_moment && !is_tie && (is_early || is_explained) {
            self.is_false(key, page, "something else explains it, of which somebody was told");
        } else if must.is_none() {
            let leeway = match episode.leeway {
                _ if episode.must.is_some() => Some(Leeway::End),
                _ if is_moment => Some(Leeway::Moment),
                _ if is_tie => Some(Leeway::Tie),
                leeway => leeway,
            };
            match leeway {
                Some(leeway) => self.allow(leeway, page),
                None => {
                    self.is_false(key, page, "nobody has to be paged, and nothing says who may")
                }
            }
        }
        if let Some(must) = must {
            let delay = page.opened.saturating_sub(must);
            self.counts.worst_delay_seconds = self.counts.worst_delay_seconds.max(delay);
            if delay > WITHIN {
                let text = format!("the page came after {}", lasted(must, page.opened));
                self.fault(FaultKind::Missed, key, must, text);
            }
        }
    }

    /// Judges when a page ended.
    fn judge_end(&mut self, key: &Key, episode: &Episode, resolved: u64) {
        let over = self.away.first_outside(episode.latest);
        let until = episode.span.1;
        if over.saturating_add(WITHIN) < self.end && resolved > over + WITHIN {
            let text = format!("its cause has gone, and it rang on for {}", lasted(over, resolved));
            self.fault(FaultKind::Unresolved, key, over, text);
        } else if resolved < until && resolved < self.end {
            let text = format!("it ended, and its cause lasted {} more", lasted(resolved, until));
            self.fault(FaultKind::Unresolved, key, resolved, text);
        }
    }

    fn allow(&mut self, leeway: Leeway, page: &PageSent) {
        self.counts.pages_allowed += 1;
        let why = format!("{} {}", leeway.as_str(), page.code);
        *self.counts.allowed.entry(why).or_default() += 1;
    }

    fn is_false(&mut self, key: &Key, page: &PageSent, why: &str) {
        self.fault(
            FaultKind::False,
            key,
            page.opened,
            format!("{why}; the page said: {}", page.sentence),
        );
    }

    fn fault(&mut self, kind: FaultKind, key: &Key, second: u64, text: String) {
        match kind {
            FaultKind::False => self.counts.pages_false += 1,
            FaultKind::Missed => self.counts.pages_missed += 1,
            FaultKind::Unresolved => self.counts.pages_unresolved += 1,
        }
        let at = self.start.saturating_add(seconds(second));
        self.faults.push(Fault { kind, key: key.clone(), second, at, text });
    }
}

fn lasted(from: u64, until: u64) -> String {
    match until {
        u64::MAX => "until the end".to_owned(),
        _ => human::duration(seconds(until.saturating_sub(from))),
    }
}
