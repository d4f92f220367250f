//! Who had to be paged, and when.
//!
//! Written from the definitions, over the whole history at once:
//!
//! - A workload's promise is *broken* while its newest recovery point is as old as its recovery point
//!   objective or older, or its repository is not there; not while it is paused or retired.
//! - An agent is *silent* when nothing was heard of it for its deadline, of the time in which the vault
//!   listened. A share that its agent cannot use, a clock that is off, a repository that is missing, a drop
//!   that was rejected, a retired workload that drops: each is told while it is so.
//! - One cause, one page: a broken promise is explained while its repository is missing, its last drop
//!   was rejected, or it lives although it was retired; while its agent is silent or its share is out; and by
//!   an absence of the vault in which it broke.
//! - After an outage, what waits is explained while it still comes: half an hour at least, and until nothing
//!   has moved for half an hour, or twice what was first estimated, at most. Of what the returned agent sees no drop, nothing waits, and it pages at
//!   once. The page of the outage may ring on until all that it held up has come, and if the outage comes
//!   back before that, it is one trouble and one page.
//! - A vault that begins anew hears anew what waits: until the returned agent has reported again, what does not
//!   wait may be explained, too, and what waits has a deadline.
//! - In maintenance and on days off pages of a workload wait, and for a release that is under way those for
//!   its recovery point; what is still so when that ends is told at once.
//! - A page that rang rings on until its own cause has gone.

mod episode;
mod handed;

pub(crate) use self::episode::{Episode, Expected, Leeway};
use self::episode::{Explained, first_outside, tell, tell_quietly, tell_until};
use self::handed::HandOver;
use super::account::{Account, Overdue};
use super::infrastructure::Infrastructure;
use super::life::{Life, Mark};
use super::scenario::Scenario;
use super::spans::{Span, Spans};
use super::world::{History, share_of};
use crate::cause::{Key, Topic};
use crate::event::Source;

/// What follows from a history.
pub(crate) fn expected(history: &History) -> Expected {
    let (infrastructure, lives) = (&history.infrastructure, &history.lives);
    let accounts: Vec<Account> =
        lives.iter().map(|life| Account::of(life, infrastructure)).collect();
    let beginnings = beginnings(infrastructure, lives);
    let mut expected = Expected::new();
    let sources: Vec<Trouble> = (0..infrastructure.agents.len())
        .map(|agent| {
            let trouble = Trouble::of(agent, infrastructure, lives, &accounts);
            trouble.tell(agent, infrastructure, &mut expected);
            trouble
        })
        .collect();
    let handed: Vec<HandOver> = (0..sources.len())
        .map(|agent| {
            let accounts = lives.iter().zip(&accounts).filter(|(life, _)| life.agent == agent);
            let accounts = accounts.map(|(_, account)| account);
            let deaf = sources[agent].unheard.or(&infrastructure.away_from(agent));
            let handed = HandOver::of(&history.handed[agent], &deaf, accounts, infrastructure);
            handed.tell(agent, infrastructure, &mut expected);
            handed
        })
        .collect();
    let everywhere = Trouble::everywhere(&sources);
    let flow = Flow::of(accounts.iter());
    let absences = long_absences(infrastructure);
    // All agents have a deadline to be heard again before it is over.
    let stalled = |at| flow.stalled(at, infrastructure);
    let over = |until: u64| stalled(until).max(stalled(until + infrastructure.deadline));
    let after_absences = absences.map(|(_, until)| (until, over(until)));
    let after_absences: Spans = after_absences.collect();
    tell_absences(infrastructure, &accounts, &mut expected);
    for (life, account) in lives.iter().zip(&accounts) {
        let name = &life.name;
        let rejected = Key::of_workload(Topic::RejectedDrop, name);
        tell_quietly(&mut expected, rejected, (&account.rejected, &account.quiet), infrastructure);
        let own = [(Topic::Retired, &account.revived), (Topic::Repository, &account.lost)];
        for (topic, spans) in own {
            tell(&mut expected, Key::of_workload(topic, name), spans);
        }
        let source = &sources[life.agent];
        let anew =
            source.anew((life.agent, &beginnings), &account.waits, &after_absences, infrastructure);
        let (surely, mut perhaps) = handed[life.agent].explains(account, life.safe);
        perhaps.push((Leeway::VaultBack, account.waits.and(&after_absences)));
        perhaps.push((Leeway::Anew, anew));
        let elsewise = Elsewise { surely, perhaps };
        let episodes = account.episodes(source, &everywhere, &elsewise, infrastructure);
        if !episodes.is_empty() {
            expected.insert(Key::of_workload(Topic::RecoveryPoint, name), episodes);
        }
    }
    expected
}

/// An absence of the vault is told if a promise broke in it that nothing has mended since.
fn tell_absences(it: &Infrastructure, accounts: &[Account], expected: &mut Expected) {
    let (mut told, mut touched) = (Vec::new(), Vec::new());
    for (from, until) in long_absences(it) {
        let window = (from, until + it.deadline);
        let overdue = accounts.iter().flat_map(|account| &account.overdue);
        let broke = overdue.filter(|late| (window.0..window.1).contains(&late.due));
        let broke: Spans = broke.map(|late| late.span).collect();
        // One that an order mends in the very moment of its return may be told.
        touched.extend(broke.iter().any(|(_, end)| end == until).then_some(until));
        told.extend(broke.and(&[(until, window.1)].into_iter().collect()).iter());
    }
    let all = Flow::of(accounts.iter());
    let key = Key::of_vault(Topic::Vault);
    let told: Spans = told.into_iter().collect();
    tell_until(expected, key.clone(), &told, |end| all.latest(end, it));
    let touched = touched.into_iter().filter(|at| !told.contains(*at)).map(|at| {
        let latest = all.latest(at, it);
        Episode { span: (at, at), latest, is_tie: true, ..Episode::default() }
    });
    let touched: Vec<Episode> = touched.collect();
    if !touched.is_empty() {
        let episodes = expected.entry(key).or_default();
        episodes.extend(touched);
        episodes.sort_by_key(|episode| episode.span);
    }
}

/// The absences that are worth a word: longer than an agent may be silent.
fn long_absences(it: &Infrastructure) -> impl Iterator<Item = Span> + '_ {
    it.away.iter().filter(|(from, until)| until - from > it.deadline)
}

/// What waits of some workloads, and what comes.
#[derive(Debug, Clone, Default)]
struct Flow {
    waits: Vec<Span>,
    /// Those of which somebody waits for the end.
    awaited: Vec<Span>,
    /// Those in which the promise was broken: they are held up even if they began later.
    late: Vec<Span>,
    /// When anything came, in order.
    came: Vec<u64>,
}

impl Flow {
    fn of<'a>(accounts: impl Iterator<Item = &'a Account>) -> Self {
        let (mut waits, mut awaited, mut late) = (Vec::new(), Vec::new(), Vec::new());
        for account in accounts {
            let overdue: Spans = account.overdue.iter().map(|late| late.span).collect();
            let is_late = |span: &Span| overdue.length_within(span.0, span.1) > 0;
            late.extend(account.waits.iter().filter(is_late));
            waits.extend(account.waits.iter());
            awaited.extend(account.waits.without(&account.resting).iter());
        }
        waits.sort_unstable();
        late.sort_unstable();
        let mut came: Vec<u64> = waits.iter().map(|(_, until)| *until).collect();
        came.sort_unstable();
        Self { waits, awaited, late, came }
    }

    /// When nothing has moved for a while after `end`.
    fn stalled(&self, end: u64, it: &Infrastructure) -> u64 {
        let first = self.came.partition_point(|came| *came < end);
        let mut moved = end;
        for came in &self.came[first..] {
            if *came >= moved + it.patience() {
                break;
            }
            moved = *came;
        }
        moved + it.patience()
    }

    /// Until when what waited when an outage ended is explained for certain: until nothing of it has moved for a
    /// while, or until twice the first estimate, which is made when one in twenty has come, a sixth of that while in
    /// at the earliest. How many waited and when exactly it was estimated, others may see a little differently: here
    /// is the soonest that it can be.
    fn gives_up(&self, end: u64, it: &Infrastructure) -> u64 {
        let patience = it.patience();
        let waited = |(from, until): &&Span| *from <= end && *until > end;
        let most = self.awaited.iter().filter(waited).count() as u64;
        let mut came: Vec<u64> = Vec::new();
        for (from, until) in &self.awaited {
            if *from <= end + it.deadline && *until > end && *until < u64::MAX {
                came.push(*until);
            }
        }
        came.sort_unstable();
        let stalled = came.iter().fold(end, |moved, came| match *came < moved + patience {
            true => *came,
            false => moved,
        });
        let done = |at: u64| came.partition_point(|came| *came <= at) as u64;
        let is_enough = |at: u64| done(at) > 0 && (done(at) * 20 >= most || at >= end + patience);
        let (first, last) = (end + patience / 6, end + patience);
        let moments =
            || [first, last].into_iter().chain(came.iter().copied().filter(|at| *at > first));
        let Some(made) = moments().filter(|at| is_enough(*at)).min() else {
            return stalled + patience;
        };
        // It is made when anything is heard, and an agent is, each period.
        let made_by = it.away.first_outside(made) + it.period;
        let takes = |at: u64| (at - end) * most.max(done(at)) / done(at);
        let soonest = moments().filter(|at| (made..=made_by).contains(at)).map(takes).min();
        let estimated = end + (2 * soonest.unwrap_or(patience)).max(patience);
        estimated.min(stalled + patience)
    }

    /// Until when the page of an outage that is over since `end` may ring on: until all has come that
    /// waited, or began to within a deadline.
    fn latest(&self, end: u64, it: &Infrastructure) -> u64 {
        if end == u64::MAX {
            return end;
        }
        let began = self.waits.partition_point(|(from, _)| *from <= end + it.deadline);
        let held_up = self.waits[..began].iter().map(|(_, until)| *until);
        let mut latest = held_up.max().unwrap_or(end).max(end);
        for (from, until) in &self.late {
            if *from <= latest {
                latest = latest.max(*until);
            }
        }
        latest.min(self.stalled(end, it))
    }
}

/// What else explains that a workload has no recovery point: certainly, and perhaps.
struct Elsewise {
    surely: Spans,
    perhaps: Vec<(Leeway, Spans)>,
}

/// What keeps an agent's drops from the vault.
#[derive(Debug, Clone, Default)]
struct Trouble {
    silent: Spans,
    /// The same whether anybody misses it or not.
    unheard: Spans,
    share: Spans,
    clock: Spans,
    /// When it explains that a workload has no recovery point, whatever waits of it.
    explains: Spans,
    /// From its end on: until when what waits is explained, if it waited all the time; and until when it may be.
    after: Vec<(u64, u64, u64)>,
    flow: Flow,
}

impl Trouble {
    fn of(agent: usize, it: &Infrastructure, lives: &[Life], accounts: &[Account]) -> Self {
        let (mut silent, mut share, mut clock) = (Vec::new(), Vec::new(), Vec::new());
        let known = &it.agents[agent];
        let mut before: Option<(u64, bool, bool)> = None;
        for report in it.reports(agent).chain([u64::MAX]) {
            if let Some((last, is_out, is_off)) = before {
                silent.push((silent_at(it, last), report));
                share.extend(is_out.then_some((last, report)));
                clock.extend(is_off.then_some((last, report)));
            }
            before =
                Some((report, known.share_out.contains(report), known.clock_off.contains(report)));
        }
        let unheard: Spans = silent.into_iter().collect();
        let silent = unheard.and(&missed(agent, lives, accounts));
        let share: Spans = share.into_iter().collect();
        let of_agent = lives.iter().zip(accounts).filter(|(life, _)| life.agent == agent);
        let flow = Flow::of(of_agent.map(|(_, account)| account));
        let explains = silent.or(&share);
        let ends = silent.iter().chain(share.iter()).map(|(_, end)| end);
        let after = ends.filter(|end| *end != u64::MAX).map(|end| {
            // If it is away again, what counts begins anew.
            let again = explains.iter().map(|(from, _)| from).find(|from| *from > end);
            let given_up = flow.gives_up(end, it).min(again.unwrap_or(u64::MAX));
            (end, given_up, flow.stalled(end, it).max(end + it.deadline))
        });
        let after = after.collect();
        let clock = clock.into_iter().collect();
        Self { silent, unheard, share, clock, explains, after, flow }
    }

    fn tell(&self, agent: usize, it: &Infrastructure, expected: &mut Expected) {
        let number = u32::try_from(agent).unwrap_or(u32::MAX);
        let name = Scenario::agent(number);
        let source = Source { agent: name.clone(), share: share_of(number) };
        let latest = |end| self.flow.latest(end, it);
        tell_until(expected, Key::of_agent(&name), &self.silent, latest);
        tell_until(expected, Key::of_source(Topic::Share, &source), &self.share, latest);
        tell(expected, Key::of_source(Topic::Clock, &source), &self.clock);
    }

    /// What explains a workload of which no agent ever spoke: trouble of all of them.
    fn everywhere(sources: &[Self]) -> Spans {
        let mut sources = sources.iter().map(|trouble| trouble.explains.clone());
        let first = sources.next().unwrap_or_default();
        sources.fold(first, |all, one| all.and(&one))
    }

    /// When something may be explained because a vault that began anew while an outage was made good has yet
    /// to hear what waits.
    fn anew(
        &self,
        (agent, beginnings): (usize, &[u64]),
        waits: &Spans,
        absences: &Spans,
        it: &Infrastructure,
    ) -> Spans {
        let after: Spans = self.after.iter().map(|(end, _, stalled)| (*end, *stalled)).collect();
        let after = after.or(absences);
        let begun = beginnings.iter().filter(|at| after.contains(**at));
        let (mut unheard, mut waiting) = (Vec::new(), Vec::new());
        for at in begun {
            unheard.push((*at, it.next_report(agent, *at) + 1));
            waiting.push((*at, at + it.deadline));
        }
        waits.and(&waiting.into_iter().collect()).or(&unheard.into_iter().collect())
    }

    /// When what waits of a workload is explained: certainly, and perhaps.
    fn explains_waiting(&self, waits: &Spans, it: &Infrastructure) -> Explained {
        let mut explained = Explained::default();
        let (mut surely, mut perhaps) = (Vec::new(), Vec::new());
        for (end, given_up, stalled) in &self.after {
            // All that waits has a deadline; what waited when it ended has half an hour.
            surely.push((*end, end + it.deadline));
            if let Some((_, until)) = waits.at(*end) {
                surely.push((*end, until.min(*given_up)));
            }
            perhaps.push((*end, *stalled));
        }
        explained.surely = waits.and(&surely.into_iter().collect());
        explained.perhaps = waits.and(&perhaps.into_iter().collect());
        explained
    }
}

impl Explained {
    /// One agent deadline after each of these. If the vault was away meanwhile, it heard nothing: then it may
    /// be longer.
    fn after(spans: &Spans, it: &Infrastructure) -> Self {
        let (mut surely, mut perhaps) = (Vec::new(), Vec::new());
        for (_, end) in spans.iter().filter(|(_, end)| *end != u64::MAX) {
            let until = end + it.deadline;
            surely.push((end, until));
            let away = it.away.length_within(end, until + it.deadline);
            perhaps.push((end, if away > 0 { until + away + it.deadline } else { until }));
        }
        Self { surely: surely.into_iter().collect(), perhaps: perhaps.into_iter().collect() }
    }
}

/// When the vault begins anew: after it was down, and to give a workload another name.
fn beginnings(it: &Infrastructure, lives: &[Life]) -> Vec<u64> {
    let starts = it.absences.iter().filter(|absence| absence.is_down).map(|it| it.span.1);
    let marks = lives.iter().flat_map(|life| &life.marks);
    let renamed = marks.filter(|(_, mark)| *mark == Mark::Renamed).map(|(at, _)| *at);
    starts.chain(renamed).collect()
}

/// When an agent counts as silent of which nothing more is heard after `last`.
fn silent_at(it: &Infrastructure, last: u64) -> u64 {
    let mut at = last + it.deadline;
    loop {
        let listened_to = last + it.deadline + it.away.length_within(last, at);
        if listened_to == at {
            return at;
        }
        at = listened_to;
    }
}

/// When an agent is missed: unless every workload that ever came from it is retired.
fn missed(agent: usize, lives: &[Life], accounts: &[Account]) -> Spans {
    let of_agent = lives.iter().zip(accounts).filter(|(life, _)| life.agent == agent);
    let (mut first, mut needed) = (u64::MAX, Vec::new());
    for (_, account) in of_agent {
        let Some(spoken_of) = account.spoken_of else { continue };
        first = first.min(spoken_of);
        let lives: Spans = [(spoken_of, u64::MAX)].into_iter().collect();
        needed.extend(lives.without(&account.retired).iter());
    }
    needed.push((0, first));
    needed.into_iter().collect()
}

impl Account {
    /// When its promise was broken, and who had to hear of it; it may be explained `elsewise`.
    fn episodes(
        &self,
        source: &Trouble,
        everywhere: &Spans,
        elsewise: &Elsewise,
        it: &Infrastructure,
    ) -> Vec<Episode> {
        let late = self.overdue.iter().map(|late| late.span);
        let broken: Spans = late.chain(self.lost_counted.iter()).collect();
        if broken.is_empty() && self.touched.is_empty() {
            return Vec::new();
        }
        let known: Spans = [(self.spoken_of.unwrap_or(u64::MAX), u64::MAX)].into_iter().collect();
        let heard = self.rejected.or(&self.revived).or(&self.lost);
        let heard = heard.or(&source.explains.and(&known)).or(&everywhere.without(&known));
        let heard = heard.or(&elsewise.surely);
        let own = heard.or(&self.broke_in_absences(it));
        let mended = Explained::after(&self.lost, it);
        let waiting = source.explains_waiting(&self.waits, it);
        let surely = own.or(&mended.surely).or(&waiting.surely);
        let perhaps_by = || {
            let own = [(Leeway::CatchingUp, &waiting.perhaps), (Leeway::Found, &mended.perhaps)];
            own.into_iter().chain(elsewise.perhaps.iter().map(|(leeway, spans)| (*leeway, spans)))
        };
        let perhaps = perhaps_by().fold(own.or(&surely), |all, (_, spans)| all.or(spans));
        let explained = [&heard, &waiting.surely, &mended.surely];
        let begins = |at: u64| explained.iter().any(|it| it.at(at).is_some_and(|it| it.0 == at));
        let quiet = self.quiet.or(&self.releasing);
        let ends = [&heard, &waiting.surely, &mended.surely, &quiet];
        let ends = || ends.iter().flat_map(|it| it.iter()).map(|(_, end)| end);
        let (surely, perhaps) = (surely.or(&quiet), perhaps.or(&quiet));
        let first = |span: Span, explained: &Spans| first_outside(span, explained, it);
        let episode = |span: Span| {
            let (may, must) = (first(span, &surely), first(span, &perhaps));
            let is_tie = begins(span.0);
            let why = |at: u64| perhaps_by().find(|(_, spans)| spans.contains(at));
            let leeway = may.and_then(why).map(|(leeway, _)| leeway);
            let explained = surely.and(&[span].into_iter().collect());
            let handed_on = ends().filter(|at| (span.0..span.1).contains(at) && begins(*at));
            let handed_on = handed_on.collect();
            Episode { span, may, must, latest: span.1, is_tie, explained, handed_on, leeway }
        };
        let touched = self.touched.iter().filter(|at| broken.at(**at).is_none());
        let touched =
            touched.map(|at| Episode { span: (*at, *at), latest: *at, ..Episode::default() });
        let mut episodes: Vec<Episode> = broken.iter().map(episode).chain(touched).collect();
        episodes.sort_by_key(|episode| episode.span);
        episodes
    }

    /// When an absence of the vault explains that it is broken: it became so then, or at once afterwards.
    fn broke_in_absences(&self, it: &Infrastructure) -> Spans {
        let windows = long_absences(it).map(|(from, until)| (from, until + it.deadline));
        let windows: Vec<Span> = windows.collect();
        let of = |late: &Overdue| {
            let window =
                windows.iter().find(|(from, until)| (*from..*until).contains(&late.due))?;
            Some((late.span.0.max(window.0), late.span.1.min(window.1)))
        };
        self.overdue.iter().filter_map(of).collect()
    }
}
