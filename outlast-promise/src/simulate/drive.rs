//! The ledger in the hands of a vault to which all this happens.

use std::collections::BTreeMap;
use std::iter::{Copied, Peekable};
use std::slice;

use outlast_types::{Timestamp, WorkloadName};

use super::infrastructure::{Absence, CLOCK_AHEAD, Infrastructure};
use super::life::{Life, Mark, seconds};
use super::oracle;
use super::pact;
use super::product::{CONFIRM_WITHIN, READ_WITHIN, Told};
use super::scenario::{InvalidScenario, Scenario};
use super::verdict::{Outcome, PageSent, judge};
use super::words::{self, Moment};
use super::world::History;
use crate::cause::{Key, Subject};
use crate::class::Part;
use crate::event::Event;
use crate::form::Row;
use crate::handed::HandoverRule;
use crate::incident::Change;
use crate::ledger::Ledger;
use crate::policy::{Policy, Said};
use crate::promise::Promise;
use crate::status::Settings;

/// Plays a scenario, and judges who was paged.
pub fn simulate(scenario: &Scenario) -> Result<Outcome, InvalidScenario> {
    play(scenario, Bend::default(), |ledger| ledger)
}

/// What keeps account: the ledger, or one that is broken on purpose.
pub(crate) trait Watch {
    fn apply_all(&mut self, events: Vec<Event>, now: Timestamp) -> Vec<Change>;
    fn tick(&mut self, now: Timestamp) -> Vec<Change>;
    fn next_deadline(&self) -> Option<Timestamp>;
    fn slept_until(&mut self, now: Timestamp);
    /// Is stored, dies, and is there again, where workloads have other names since.
    fn restart(&mut self, settings: Settings, stored: (&mut Rows, &Names), now: Timestamp);
}

/// By each name of before, how the workload is called now.
pub(crate) type Names = BTreeMap<WorkloadName, WorkloadName>;

/// What is stored of a ledger, by part and key.
pub(crate) type Rows = BTreeMap<(&'static str, String), String>;

impl Watch for Ledger {
    fn apply_all(&mut self, events: Vec<Event>, now: Timestamp) -> Vec<Change> {
        Self::apply_all(self, events, now)
    }

    fn tick(&mut self, now: Timestamp) -> Vec<Change> {
        Self::tick(self, now)
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        Self::next_deadline(self)
    }

    fn slept_until(&mut self, now: Timestamp) {
        Self::slept_until(self, now);
    }

    fn restart(&mut self, settings: Settings, (rows, names): (&mut Rows, &Names), now: Timestamp) {
        let unsaved = self.unsaved();
        if unsaved.is_whole {
            rows.clear();
        }
        for row in unsaved.rows {
            match row.state {
                Some(state) => drop(rows.insert((row.part, row.key), state)),
                None => drop(rows.remove(&(row.part, row.key))),
            }
        }
        let stored = rows.iter().map(|((part, key), state)| Row {
            part: (*part).to_owned(),
            key: key.clone(),
            state: state.clone(),
        });
        // One that cannot be read begins anew, as a vault's does, and the oracle will have its say.
        let last = rows.len() as u64;
        *self = Self::resume_renamed(settings.clone(), stored, names, now)
            .unwrap_or_else(|_| Self::new(settings, last, now));
    }
}

/// By how many seconds the rules that the ledger goes by are not those of the scenario.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bend {
    pub(crate) rpo: i64,
    pub(crate) agent_deadline: i64,
    pub(crate) handover: i64,
    /// What is done to what policy says of each workload.
    pub(crate) part: Option<fn(&mut Part)>,
}

/// Plays a scenario with a ledger that `make` may have changed, and under rules that are bent.
pub(crate) fn play<W: Watch>(
    scenario: &Scenario,
    bend: Bend,
    make: impl FnOnce(Ledger) -> W,
) -> Result<Outcome, InvalidScenario> {
    scenario.judge()?;
    let history = History::of(scenario);
    let settings = settings_of(scenario, &history.lives, bend);
    let watch = make(Ledger::new(settings.clone(), 0, scenario.start));
    let mut vault = Vault {
        start: scenario.start,
        infrastructure: &history.infrastructure,
        handed: history.handed.iter().map(|told| told.iter().copied().peekable()).collect(),
        watch,
        settings,
        rows: Rows::new(),
        now: 0,
        set_back: 0,
        names: history.lives.iter().map(|life| life.name.clone()).collect(),
        first_names: Names::new(),
        former: Names::new(),
        said: vec![Word::default(); history.infrastructure.agents.len()],
        open: BTreeMap::new(),
        sent: Vec::new(),
        events: 0,
    };
    // The oracle knows the whole history; it needs no ledger, and no ledger needs it.
    let expected = std::thread::scope(|scope| {
        let oracle = scope.spawn(|| oracle::expected(&history));
        vault.run(&history);
        oracle.join().ok()
    });
    let expected = expected.unwrap_or_else(|| oracle::expected(&history));
    let (sent, events) = (vault.sent, vault.events);
    Ok(judge(scenario, &history, &expected, sent, events))
}

fn settings_of(scenario: &Scenario, lives: &[Life], bend: Bend) -> Settings {
    let rpo = |rpo: u64| Some(seconds(rpo.saturating_add_signed(bend.rpo)));
    let default = Promise::default();
    let default_rpo = rpo(Promise::RPO_DEFAULT.as_secs()).unwrap_or(Promise::RPO_DEFAULT);
    let default = Promise::new(default_rpo, default.owner()).unwrap_or_default();
    let mut policy = Policy::from(default);
    let first = scenario.start.unix_seconds() / 86_400;
    // As many days more as clocks may be set forward.
    let holidays = pact::holidays(first - 3, first + i64::from(scenario.days) * 2 + 90);
    for life in lives.iter().filter(|life| life.is_in_policy) {
        let pact = life.pact.as_ref().map(|pact| pact.part(life.rpo, bend.rpo, &holidays));
        let mut part = pact.unwrap_or_else(|| Part { rpo: rpo(life.rpo), ..Part::default() });
        part.safe = life.safe;
        bend.part.iter().for_each(|twist| twist(&mut part));
        policy.workloads.insert(life.name.clone(), Said { class: None, part });
    }
    let deadline = scenario.agent_deadline.as_secs().saturating_add_signed(bend.agent_deadline);
    let any_handover = HandoverRule {
        read_within: seconds(READ_WITHIN.saturating_add_signed(bend.handover)),
        confirm_within: seconds(CONFIRM_WITHIN.saturating_add_signed(bend.handover)),
        ..HandoverRule::default()
    };
    Settings { policy, agent_deadline: seconds(deadline), any_handover, ..Settings::default() }
}

/// What an agent reported last, and when.
#[derive(Debug, Clone, Copy, Default)]
struct Word {
    at: Option<u64>,
    is_out: bool,
    ahead: i64,
}

/// What an agent is still to tell, and when.
type Words<'a> = Peekable<Copied<slice::Iter<'a, (u64, Told)>>>;

struct Vault<'a, W> {
    start: Timestamp,
    infrastructure: &'a Infrastructure,
    /// What is still to be told of directories, by agent.
    handed: Vec<Words<'a>>,
    watch: W,
    settings: Settings,
    rows: Rows,
    now: u64,
    /// By how much its clock was set back so far.
    set_back: u64,
    /// How each workload is called now; and for others than its first name, that.
    names: Vec<WorkloadName>,
    first_names: Names,
    former: Names,
    said: Vec<Word>,
    open: BTreeMap<Key, usize>,
    sent: Vec<PageSent>,
    events: u64,
}

impl<W: Watch> Vault<'_, W> {
    fn run(&mut self, history: &History) {
        let it = self.infrastructure;
        let marks = history.marks();
        let mut marks = marks.iter().peekable();
        let mut reports: Vec<_> =
            (0..it.agents.len()).map(|agent| it.reports(agent).peekable()).collect();
        let mut absences = it.absences.iter().peekable();
        let mut set_back = it.set_back.iter().peekable();
        let mut drops = 0;
        loop {
            let next = marks.peek().map(|(at, ..)| *at);
            let report = reports.iter_mut().filter_map(|reports| reports.peek().copied()).min();
            let absence = absences.peek().map(|absence| absence.span.0);
            let back = set_back.peek().map(|(at, _)| *at);
            let next = [next, report, absence, back].into_iter().flatten().min();
            let Some(second) = next.filter(|next| *next < it.end) else { break };
            self.pass_until(second);
            if let Some((_, by)) = set_back.next_if(|(at, _)| *at == second) {
                self.tick();
                self.set_back += by;
                self.tick();
            }
            if let Some(absence) = absences.next_if(|absence| absence.span.0 == second) {
                self.absent(*absence);
                continue;
            }
            let (mut events, mut handed) = (Vec::new(), Vec::new());
            for (agent, reports) in reports.iter_mut().enumerate() {
                if reports.next_if_eq(&second).is_some() {
                    events.extend(self.report(agent));
                    handed.extend(self.hand_over(agent));
                }
            }
            while let Some((_, index, mark)) = marks.next_if(|(at, ..)| *at == second) {
                drops += 1;
                if *mark == Mark::Renamed {
                    let before = std::mem::take(&mut events);
                    self.hear(before);
                    self.rename(*index, drops);
                    continue;
                }
                let name = self.names[*index].clone();
                let life = (&history.lives[*index], *index, name);
                events.extend(self.moment().event(life, *mark, drops));
            }
            // What became of drops is told until then.
            events.extend(handed);
            self.hear(events);
        }
        self.pass_until(it.end);
        self.tick();
    }

    fn hear(&mut self, events: Vec<Event>) {
        self.events += events.len() as u64;
        let changes = self.watch.apply_all(events, self.wall());
        self.note(&changes);
    }

    /// A workload gets another name: policy says of it what it said, the vault begins anew, and is told.
    fn rename(&mut self, index: usize, number: u64) {
        let from = self.names[index].clone();
        let first = self.first_names.get(&from).unwrap_or(&from).clone();
        let Ok(to) = WorkloadName::new(&format!("{first}-{number}")) else { return };
        self.settings.policy.carry_over(&from, &to);
        self.first_names.insert(to.clone(), first);
        self.names[index] = to.clone();
        let known_by_it = self.former.values_mut().filter(|present| **present == from);
        known_by_it.for_each(|present| present.clone_from(&to));
        self.former.insert(from, to.clone());
        self.tick();
        self.begin_anew();
        self.hear(vec![Event::Renamed { number, workload: to.clone(), to }]);
    }

    /// What agents said to the one before, they say again.
    fn begin_anew(&mut self) {
        let now = self.wall();
        self.watch.restart(self.settings.clone(), (&mut self.rows, &self.former), now);
        self.said.iter_mut().for_each(|word| word.at = None);
    }

    /// What a page is about, by the first name of a workload: a renaming changes nothing of what is expected.
    fn by_first_name(&self, key: Key) -> Key {
        let first = match &key.subject {
            Subject::Workload(name) => self.first_names.get(name).cloned(),
            _ => None,
        };
        first.map_or(key.clone(), |first| Key { subject: Subject::Workload(first), ..key })
    }

    fn wall(&self) -> Timestamp {
        self.start.saturating_add(seconds(self.now)).saturating_sub(seconds(self.set_back))
    }

    /// A vault ticks every second; only those ticks matter at which the ledger wants to say something.
    fn pass_until(&mut self, second: u64) {
        loop {
            let deadline = self.watch.next_deadline();
            let due = deadline.map(|at| self.now + at.since(self.wall()).as_secs().max(1));
            let Some(due) = due.filter(|due| *due < second) else { break };
            self.now = due;
            self.tick();
        }
        self.now = second;
    }

    fn tick(&mut self) {
        let changes = self.watch.tick(self.wall());
        self.note(&changes);
    }

    /// The vault hears nothing for a while: it is down, or its host sleeps.
    fn absent(&mut self, absence: Absence) {
        self.tick();
        self.now = absence.span.1;
        if absence.is_down {
            self.begin_anew();
        } else {
            self.watch.slept_until(self.wall());
        }
        self.tick();
    }

    fn note(&mut self, changes: &[Change]) {
        for change in changes {
            let incident = change.incident();
            let key = self.by_first_name(incident.key());
            match change {
                Change::Opened(_) => {
                    self.open.insert(key.clone(), self.sent.len());
                    let (code, sentence) = (incident.cause.code(), incident.cause.to_string());
                    let (opened, resolved) = (self.now, None);
                    let (at, team) = (self.wall(), incident.team.clone());
                    self.sent.push(PageSent { key, opened, at, resolved, code, team, sentence });
                }
                Change::Resolved(_) => {
                    if let Some(index) = self.open.remove(&key) {
                        self.sent[index].resolved = Some(self.now);
                    }
                }
            }
        }
    }

    /// What an agent reports of itself and its share.
    fn report(&mut self, agent: usize) -> Vec<Event> {
        let source = words::source(agent);
        let known = &self.infrastructure.agents[agent];
        let is_out = known.share_out.contains(self.now);
        let ahead = if known.clock_off.contains(self.now) { CLOCK_AHEAD } else { 0 };
        let word = Word { at: Some(self.now), is_out, ahead };
        let before = std::mem::replace(&mut self.said[agent], word);
        let mut events = vec![Event::AgentHeard { source: source.clone(), certificate: None }];
        events.push(Event::ShareSeen {
            source: source.clone(),
            problem: is_out.then(|| "there is no outlast-share.json: is it mounted?".to_owned()),
            usable: !is_out,
        });
        // One that is as the last one was says nothing more by these.
        let is_next = before.at.is_some_and(|at| self.now - at == self.infrastructure.period);
        if !is_out && (before.is_out || !is_next) {
            events.push(Event::Looked { source: source.clone(), began: self.wall() });
        }
        if before.ahead != ahead {
            events.push(Event::ClockSeen { source, ahead });
        }
        events
    }

    /// What an agent reports of the directory in which it hands drops over, if that is news.
    fn hand_over(&mut self, agent: usize) -> Option<Event> {
        let now = self.now;
        let (_, told) = self.handed[agent].next_if(|(at, _)| *at <= now)?;
        Some(self.moment().handed(agent, &told))
    }

    fn moment(&self) -> Moment {
        Moment { second: self.now, wall: self.wall() }
    }
}
