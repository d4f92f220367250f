//! What is so of one workload, and when: the oracle's account of it, kept from what the vault heard.

use std::collections::{BTreeMap, VecDeque};

use outlast_types::Safe;

use super::infrastructure::Infrastructure;
use super::life::{Life, Mark};
use super::pact::{self, Pact};
use super::spans::{Span, Spans};

/// Releases from which is learnt how long one takes.
const RELEASES_LEARNT_FROM: usize = 8;

/// A good drop that is seen within this time of a bad one makes up for it.
const BESIDE: u64 = 3600;

/// What is so of one workload, and when.
pub(crate) struct Account {
    /// Since when its agent is known.
    pub(crate) spoken_of: Option<u64>,
    /// When its newest recovery point was too old.
    pub(crate) overdue: Vec<Overdue>,
    /// When that began in the very moment in which it ended.
    pub(crate) touched: Vec<u64>,
    pub(crate) lost: Spans,
    /// When its repository was missing and its promise counted.
    pub(crate) lost_counted: Spans,
    pub(crate) rejected: Spans,
    pub(crate) revived: Spans,
    pub(crate) retired: Spans,
    /// When nobody waited for it: it was paused, or retired.
    pub(crate) resting: Spans,
    /// When a drop was known to wait.
    pub(crate) waits: Spans,
    /// When its pages wait: in windows, and on days off.
    pub(crate) quiet: Spans,
    /// When a page for its recovery point waits for the first drop of a release.
    pub(crate) releasing: Spans,
    /// When a drop of it lay where its agent hands drops over and was not confirmed; when one found no room
    /// there; and when what had been confirmed was gone.
    pub(crate) lies: Spans,
    /// When a drop was known that is newer than all that the product had.
    pub(crate) newer: Spans,
    pub(crate) roomless: Spans,
    pub(crate) withdrawn: Spans,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Overdue {
    pub(crate) span: Span,
    pub(crate) due: u64,
}

/// How it stands between two things that are heard.
#[derive(Default)]
struct Standing<'a> {
    pact: Option<&'a Pact>,
    /// What the vault's clock showed at the beginning, and by how much it was set back since.
    start: i64,
    shift: u64,
    known: Option<u64>,
    safe: Safe,
    /// The newest that is vaulted, all that the product has, and what it has no more.
    vaulted: Option<u64>,
    delivered: BTreeMap<u32, (u64, bool)>,
    withdrawn: Option<(u32, u64)>,
    lies: bool,
    rpo: u64,
    paused_until: u64,
    /// Since when and until when drops are no surprise.
    retired_until: Option<u64>,
    revived: Option<u64>,
    /// When its last drop was rejected.
    rejected: Option<u64>,
    lost: bool,
    waits: bool,
    /// What its team declared.
    declared: Option<u64>,
    releases: Releases,
}

/// What its drops tell of its releases.
#[derive(Default)]
struct Releases {
    last: Option<u64>,
    /// Whether its newest drop was the last one of its instance.
    is_under_way: bool,
    /// When it is over at the latest, if somebody said so.
    ends: Option<u64>,
    /// How late the first drops of the latest releases came.
    late_by: VecDeque<u64>,
}

impl Account {
    pub(crate) fn of(life: &Life, it: &Infrastructure) -> Self {
        let is_spoken = |mark: &Mark| {
            matches!(mark, Mark::Waiting | Mark::Rejected | Mark::Declared { rpo: Some(_) })
        };
        let spoken_of = life.marks.iter().find(|(_, mark)| is_spoken(mark)).map(|(at, _)| *at);
        let pact = life.pact.as_ref();
        let safe = life.safe.unwrap_or_default();
        let mut standing =
            Standing { rpo: life.rpo, pact, safe, start: it.start, ..Standing::default() };
        standing.known = life.is_in_policy.then_some(0);
        let mut pieces = Pieces::default();
        let mut from = 0;
        // Turns come by what the vault's clock shows, and so do not come in time when it is set back.
        let has_turns = pact.is_some_and(Pact::has_turns);
        let mut set_back = it.set_back.iter().filter(|_| has_turns).peekable();
        let end = [(u64::MAX, Mark::Died)];
        for (at, mark) in life.marks.iter().chain(&end) {
            while let Some((back, by)) = set_back.next_if(|(back, _)| back <= at) {
                pieces.add(&standing, (from, *back));
                (standing.shift, from) = (standing.shift + by, *back);
            }
            pieces.add(&standing, (from, *at));
            standing.hear(*at, *mark);
            from = *at;
        }
        let quiet = pact.map(|pact| quiet(pact, it)).unwrap_or_default();
        Self {
            spoken_of,
            overdue: pieces.overdue,
            touched: pieces.touched,
            lost: pieces.lost.into_iter().collect(),
            lost_counted: pieces.lost_counted.into_iter().collect(),
            rejected: pieces.rejected.into_iter().collect(),
            revived: pieces.revived.into_iter().collect(),
            resting: pieces.paused.iter().chain(&pieces.retired).copied().collect(),
            retired: pieces.retired.into_iter().collect(),
            waits: pieces.waits.into_iter().collect(),
            quiet,
            releasing: pieces.releasing.into_iter().collect(),
            lies: pieces.lies.into_iter().collect(),
            newer: pieces.newer.into_iter().collect(),
            roomless: life.roomless.iter().copied().collect(),
            withdrawn: pieces.withdrawn.into_iter().collect(),
        }
    }

    /// When its promise was broken, and a drop waited for the vault since before that.
    pub(crate) fn waited_before(&self) -> Spans {
        let of = |late: &Overdue| {
            let (span, due) = (late.span, late.due);
            let before = self.waits.iter().filter(move |(from, _)| *from <= due);
            before.map(move |(from, until)| (from.max(span.0), until.min(span.1)))
        };
        self.overdue.iter().flat_map(of).collect()
    }
}

/// When pages wait, by what the vault's clock shows.
fn quiet(pact: &Pact, it: &Infrastructure) -> Spans {
    let days = i64::try_from(it.end / 86_400).unwrap_or(0);
    let first = it.start.div_euclid(86_400);
    let wall = pact.quiet(first - 2, first + days + 3);
    pact::received(&wall, it.start, &it.set_back, it.end)
}

impl Standing<'_> {
    /// The newest recovery point, by what counts.
    fn last(&self) -> Option<u64> {
        let newest = |of: fn(bool) -> bool| {
            let counting = self.delivered.values().filter(|(_, vaulted)| of(*vaulted));
            counting.map(|(seen, _)| *seen).max()
        };
        match self.safe {
            Safe::Vaulted => self.vaulted,
            Safe::Confirmed => newest(|_| true),
            Safe::Either => self.vaulted.max(newest(|_| true)),
            Safe::Both => newest(|vaulted| vaulted),
        }
    }

    /// A good drop is where it is to be: whoever makes them has done his part, and it lives.
    fn hear_good(&mut self, seen: u64) {
        // Drops of an hour are of one time; one that is older makes up for none that came later.
        self.rejected.take_if(|at| *at <= seen + BESIDE);
        // A second sign of life, much later than the first, and it is known to live.
        let allowed = self.revived.map(|revived| self.due_after(revived) - revived);
        let is_late = |revived: u64| 2 * seen.saturating_sub(revived) >= allowed.unwrap_or(0);
        self.revived.take_if(|revived| is_late(*revived));
        if self.retired_until.take_if(|until| *until <= seen).is_some() {
            self.revived = Some(seen);
        }
    }

    /// The product has a drop.
    fn hear_confirmed(&mut self, drop: u32, seen: u64, vaulted: bool) {
        let is_newest = self.delivered.values().all(|(other, _)| *other <= seen);
        self.delivered.insert(drop, (seen, vaulted));
        self.known = self.known.map(|known| known.min(seen));
        self.withdrawn.take_if(|(gone, of)| *gone == drop || *of <= seen);
        if is_newest && matches!(self.safe, Safe::Confirmed | Safe::Either) {
            self.waits = false;
        }
        if is_newest && self.safe != Safe::Vaulted {
            self.hear_good(seen);
        }
    }

    fn hear_withdrawn(&mut self, drop: u32) {
        let Some((seen, _)) = self.delivered.remove(&drop) else { return };
        if self.withdrawn.is_none_or(|(_, of)| of <= seen) {
            self.withdrawn = Some((drop, seen));
        }
    }

    /// When a recovery point of `last` is too old.
    fn due_after(&self, last: u64) -> u64 {
        let by_turn = self.pact.and_then(|pact| {
            let shift = i64::try_from(self.shift).ok()?;
            let wall = self.start + i64::try_from(last).ok()? - shift;
            u64::try_from(pact.due_after(wall)? - self.start + shift).ok()
        });
        let by_age = by_turn.unwrap_or(last + self.rpo);
        // What a team declares can only be stricter.
        self.declared.map_or(by_age, |declared| by_age.min(last + declared))
    }

    /// When its promise breaks, or broke.
    fn due(&self) -> Option<u64> {
        let begun = self.last().or(self.known)?;
        Some(self.due_after(begun).max(self.paused_until))
    }

    /// How long a page waits for a release that is under way: a quarter longer than any of the latest eight
    /// took, and never longer than policy says.
    fn grace(&self) -> u64 {
        let Some(pact) = self.pact.filter(|_| self.releases.is_under_way) else { return 0 };
        let slowest = self.releases.late_by.iter().max();
        slowest.map_or(pact.grace, |slowest| (slowest + slowest / 4).min(pact.grace))
    }

    fn hear_release(&mut self, seen: u64, release: u64, is_last: bool) {
        if self.last().is_some_and(|last| seen < last) {
            return;
        }
        let late = self.due().map_or(0, |due| seen.saturating_sub(due));
        let releases = &mut self.releases;
        if releases.last.is_some_and(|last| last != release) {
            releases.late_by.push_back(late);
            if releases.late_by.len() > RELEASES_LEARNT_FROM {
                releases.late_by.pop_front();
            }
        }
        (releases.last, releases.is_under_way) = (Some(release), is_last);
        releases.ends = None;
    }

    fn hear(&mut self, at: u64, mark: Mark) {
        if mark == Mark::Died {
            // A writer that dies is nobody's business.
            return;
        }
        self.known.get_or_insert(at);
        match mark {
            Mark::Waiting => self.waits = true,
            Mark::Suspected => self.waits = false,
            Mark::Vaulted { seen, .. } => {
                // A recovery point is as old as its first sight, whenever it arrives.
                self.waits = false;
                self.vaulted = self.vaulted.max(Some(seen));
                self.known = self.known.map(|known| known.min(seen));
                self.hear_good(seen);
            }
            Mark::Confirmed { seen, drop, vaulted } => self.hear_confirmed(drop, seen, vaulted),
            Mark::Withdrawn { drop } => self.hear_withdrawn(drop),
            Mark::Lies { read } => self.lies = read.is_some(),
            Mark::Rejected => self.rejected = Some(at),
            Mark::Paused { lasts } => {
                (self.retired_until, self.revived) = (None, None);
                self.paused_until = at + lasts;
            }
            Mark::Retired { lasts } => {
                (self.paused_until, self.revived) = (0, None);
                self.retired_until = Some(at + lasts);
            }
            Mark::Resumed => {
                (self.retired_until, self.revived, self.paused_until) = (None, None, 0);
            }
            Mark::Released { seen, release, is_last } => self.hear_release(seen, release, is_last),
            Mark::Deploying { lasts } => {
                self.releases.is_under_way = true;
                self.releases.ends = lasts.map(|lasts| at + lasts);
            }
            // What it is called is nothing about it.
            Mark::Renamed => {}
            Mark::Lost => self.lost = true,
            Mark::Found => self.lost = false,
            Mark::Declared { rpo } => self.declared = rpo,
            Mark::Died => {}
        }
    }
}

/// What was so, piece by piece.
#[derive(Default)]
struct Pieces {
    overdue: Vec<Overdue>,
    touched: Vec<u64>,
    lost: Vec<Span>,
    lost_counted: Vec<Span>,
    rejected: Vec<Span>,
    revived: Vec<Span>,
    retired: Vec<Span>,
    paused: Vec<Span>,
    waits: Vec<Span>,
    releasing: Vec<Span>,
    lies: Vec<Span>,
    newer: Vec<Span>,
    withdrawn: Vec<Span>,
}

impl Pieces {
    fn add(&mut self, standing: &Standing<'_>, (from, until): Span) {
        let span = (from, until);
        self.paused.push((from, until.min(standing.paused_until)));
        self.waits.extend(standing.waits.then_some(span));
        self.lies.extend(standing.lies.then_some(span));
        let delivered = standing.delivered.values().map(|(seen, _)| *seen).max();
        self.newer.extend((standing.waits || standing.vaulted > delivered).then_some(span));
        self.withdrawn.extend(standing.withdrawn.map(|_| span));
        self.rejected.extend(standing.rejected.map(|_| span));
        self.revived.extend(standing.revived.map(|_| span));
        self.lost.extend(standing.lost.then_some(span));
        if let Some(end) = standing.retired_until {
            self.retired.push((from.max(end), until));
            return;
        }
        self.lost_counted.extend(standing.lost.then_some((from.max(standing.paused_until), until)));
        let Some(due) = standing.due() else { return };
        let late = (from.max(due), until);
        let released = standing.releases.ends.unwrap_or(u64::MAX).min(due + standing.grace());
        self.releasing.push((late.0, until.min(released)));
        if late.0 < late.1 {
            self.overdue.push(Overdue { span: late, due });
        } else if late.0 == late.1 {
            self.touched.push(until);
        }
    }
}
