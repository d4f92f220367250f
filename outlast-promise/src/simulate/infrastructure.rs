//! What lies between the instances and the vault's ledger, and when it does not work.

use super::dice::Dice;
use super::happening::{Happening, What, Whom};
use super::scenario::Scenario;
use super::spans::{Span, Spans};

/// Two absences of the vault are at least so many deadlines apart, as are changes of its clock: what lies
/// closer is left out.
const APART: u64 = 3;

/// By how much a clock of an agent that is off is ahead, in seconds.
pub(crate) const CLOCK_AHEAD: i64 = 1200;

/// All of it, by the receiver's time.
#[derive(Debug, Clone)]
pub(crate) struct Infrastructure {
    pub(crate) end: u64,
    /// What the vault's clock shows at the beginning, in seconds since 1970.
    pub(crate) start: i64,
    /// Each agent speaks so often.
    pub(crate) period: u64,
    pub(crate) deadline: u64,
    pub(crate) agents: Vec<Agent>,
    /// When the vault hears nothing: down, or asleep.
    pub(crate) away: Spans,
    pub(crate) absences: Vec<Absence>,
    pub(crate) slow: Spans,
    /// When the vault's clock is set back, and by how much.
    pub(crate) set_back: Vec<(u64, u64)>,
    /// When the world's time jumps for the vault, by the world's time, and by how much.
    forward: Vec<(u64, u64)>,
}

/// A time in which the vault hears nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Absence {
    pub(crate) span: Span,
    /// Whether it is started anew afterwards.
    pub(crate) is_down: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Agent {
    /// When it does not reach the vault, or is not there.
    pub(crate) unreachable: Spans,
    pub(crate) share_out: Spans,
    pub(crate) clock_off: Spans,
    /// When in its period it speaks.
    phase: u64,
}

impl Infrastructure {
    pub(crate) fn of(scenario: &Scenario, happenings: &[Happening]) -> Self {
        let deadline = scenario.agent_deadline.as_secs();
        let of = |whom: Whom, what: What| {
            happenings.iter().filter(move |it| it.whom == whom && it.what == what)
        };
        let vault = |what| of(Whom::Vault, what);
        let mut infrastructure = Self {
            end: 0,
            start: scenario.start.unix_seconds(),
            period: (deadline * 2 / 5).max(1),
            deadline,
            agents: Vec::new(),
            away: Spans::default(),
            absences: Vec::new(),
            slow: Spans::default(),
            set_back: Vec::new(),
            forward: Vec::new(),
        };
        infrastructure.set_clock(happenings, scenario.seconds());
        let it = infrastructure.clone();
        let span = |happening: &Happening| it.span(happening);
        infrastructure.slow = vault(What::VaultSlow).map(span).collect();
        infrastructure.end = it.heard_at(scenario.seconds());
        let agent = |number: u32| {
            let of = |what| of(Whom::Agent(number), what).map(span);
            let gone = of(What::AgentDown).chain(of(What::AgentReplaced)).chain(of(What::LinkDown));
            Agent {
                unreachable: gone.collect(),
                share_out: of(What::ShareOut).collect(),
                clock_off: of(What::AgentClock).collect(),
                phase: Dice::of(scenario.seed, 2, number.into()).within(0, it.period),
            }
        };
        infrastructure.agents = (0..scenario.agents).map(agent).collect();
        infrastructure
    }

    /// The vault's absences and what is done to its clock.
    fn set_clock(&mut self, happenings: &[Happening], end: u64) {
        let (mut free, mut jumped) = (0, 0);
        for happening in happenings.iter().filter(|it| it.whom == Whom::Vault) {
            let Happening { at, what, lasts, .. } = *happening;
            // What would go beyond the end is left out, too.
            if what == What::VaultSlow || at + jumped < free || at + lasts >= end {
                continue;
            }
            let from = at + jumped;
            match what {
                What::VaultDown | What::VaultRestart => {
                    let span = (from, from + lasts);
                    self.absences.push(Absence { span, is_down: true });
                    free = from + lasts;
                }
                What::ClockForward => {
                    jumped += lasts;
                    self.forward.push((at, lasts));
                    let span = (from, from + lasts);
                    self.absences.push(Absence { span, is_down: false });
                    free = from + lasts;
                }
                What::ClockBack => {
                    self.set_back.push((from, lasts));
                    free = from;
                }
                _ => {}
            }
            free += APART * self.deadline;
        }
        self.away = self.absences.iter().map(|absence| absence.span).collect();
    }

    /// How long nothing may move of what an outage held up: half an hour, and a deadline at least.
    pub(crate) fn patience(&self) -> u64 {
        self.deadline.max(1800)
    }

    /// The receiver's time at a time of the world.
    pub(crate) fn heard_at(&self, world: u64) -> u64 {
        let passed = self.forward.iter().take_while(|(at, _)| *at <= world);
        world + passed.map(|(_, by)| by).sum::<u64>()
    }

    pub(crate) fn span(&self, happening: &Happening) -> Span {
        (self.heard_at(happening.at), self.heard_at(happening.at + happening.lasts))
    }

    /// The first moment from `from` on at which the vault can hear an agent.
    pub(crate) fn reachable(&self, agent: usize, from: u64) -> u64 {
        let mut at = from;
        loop {
            let next = self.agents[agent].unreachable.first_outside(self.away.first_outside(at));
            if next == at {
                return at;
            }
            at = next;
        }
    }

    /// When the vault was away, each time until it has heard an agent again.
    pub(crate) fn away_from(&self, agent: usize) -> Spans {
        self.away.iter().map(|(from, until)| (from, self.next_report(agent, until))).collect()
    }

    /// The first report of an agent that is heard from `from` on.
    pub(crate) fn next_report(&self, agent: usize, from: u64) -> u64 {
        let phase = self.agents[agent].phase;
        let mut at = from;
        loop {
            let periods = at.saturating_sub(phase).div_ceil(self.period);
            let next = phase + periods * self.period;
            at = self.reachable(agent, next);
            if at == next {
                return at;
            }
        }
    }

    /// All reports of an agent.
    pub(crate) fn reports(&self, agent: usize) -> impl Iterator<Item = u64> + '_ {
        let mut next = 0;
        std::iter::from_fn(move || {
            let at = self.next_report(agent, next);
            next = at + 1;
            (at < self.end).then_some(at)
        })
    }
}
