//! How one workload lives: its drops, what befalls it, and what the vault gets to know of that.

use std::time::Duration;

use outlast_types::{Safe, WorkloadName};

use super::dice::Dice;
use super::happening::{Happening, What};
use super::infrastructure::Infrastructure;
use super::pact::Pact;
use super::product::{Given, Lying, Product};
use super::scenario::Scenario;
use super::spans::{Span, Spans};
use super::zone::Zone;
use crate::promise::Promise;

const MINUTE: u64 = 60;
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// One workload, and all that the vault hears of it.
#[derive(Debug, Clone)]
pub(crate) struct Life {
    pub(crate) name: WorkloadName,
    pub(crate) agent: usize,
    /// What policy promises of it, in seconds; the default if it does not name it.
    pub(crate) rpo: u64,
    pub(crate) is_in_policy: bool,
    /// What policy promises of it besides, or instead.
    pub(crate) pact: Option<Pact>,
    /// What counts of it, if its drops are handed over, too.
    pub(crate) safe: Option<Safe>,
    /// How they lie there, and when one found no room.
    pub(crate) lying: Vec<Lying>,
    pub(crate) roomless: Vec<Span>,
    /// In order of the receiver's time.
    pub(crate) marks: Vec<(u64, Mark)>,
    pub(crate) drops: u64,
    pub(crate) instances: u64,
    pub(crate) vanished: u64,
}

/// What the vault hears of a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Its agent sees a sealed drop that is not vaulted.
    Waiting,
    /// A drop is vaulted that its agent saw first at `seen`.
    Vaulted {
        seen: u64,
        drop: u32,
    },
    /// The backup product has a drop, which the vault has by then, or not; or has it no more.
    Confirmed {
        seen: u64,
        drop: u32,
        vaulted: bool,
    },
    Withdrawn {
        drop: u32,
    },
    /// A drop of it lies there that is not confirmed, and whether all such were read; or none does.
    Lies {
        read: Option<bool>,
    },
    /// What the drop says that is vaulted next, of that time: by which release it was written, and whether
    /// it is its instance's last.
    Released {
        seen: u64,
        release: u64,
        is_last: bool,
    },
    /// A drop is vaulted that is no recovery point.
    Suspected,
    /// Its agent gave up a drop whose writer died.
    Died,
    /// Its agent refused a drop.
    Rejected,
    /// Operators' orders, with how long they hold.
    Paused {
        lasts: u64,
    },
    Retired {
        lasts: u64,
    },
    Resumed,
    /// It is called by another name from now on.
    Renamed,
    /// Somebody says that a release of it begins, and after how long it is over, if they say that.
    Deploying {
        lasts: Option<u64>,
    },
    /// Its repository is missing, and is there again.
    Lost,
    Found,
    /// Its team declares this, or nothing more.
    Declared {
        rpo: Option<u64>,
    },
}

/// How a workload drops by nature.
#[derive(Debug, Clone, Copy)]
struct Nature {
    zone: Zone,
    /// Seconds after midnight, in its own zone, at which its day begins.
    hour: u64,
    /// Drops this often, beginning with its hour.
    every: u64,
    /// When it is there first.
    born: u64,
    is_mute: bool,
}

/// What a drop says of who wrote it.
#[derive(Debug, Clone, Copy)]
struct Claim {
    release: u64,
    is_last: bool,
}

/// A drop that was sealed.
#[derive(Debug, Clone, Copy)]
struct Sealed {
    /// When its agent saw it, and when the vault published it, by the receiver's time.
    seen: u64,
    vaulted: u64,
    kind: Kind,
    claim: Option<Claim>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Good,
    Suspect,
    Bad,
}

/// What is needed to live.
pub(crate) struct World<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) infrastructure: &'a Infrastructure,
    /// By agent.
    pub(crate) products: &'a [Product],
}

impl World<'_> {
    /// The life of the `number`th workload, under what happens to it.
    pub(crate) fn life(&self, number: u32, happenings: &[Happening]) -> Option<Life> {
        let mut dice = Dice::of(self.scenario.seed, 1, number.into());
        let (nature, rpo, is_in_policy) = self.nature(&mut dice);
        let pact = self.pact(nature, number);
        let agent = usize::try_from(number).ok()? % self.infrastructure.agents.len();
        let is_plain = pact.as_ref().is_none_or(|pact| !pact.has_turns() && pact.grace == 0);
        let (safe, rpo) = match is_plain && nature.every == DAY && !nature.is_mute {
            true => self.safe((number, agent), self.hour_of(nature), rpo),
            false => (None, rpo),
        };
        let is_in_policy = is_in_policy || pact.is_some() || safe.is_some();
        let mut life = Life {
            name: Scenario::workload(number)?,
            agent,
            rpo,
            is_in_policy,
            pact,
            safe,
            lying: Vec::new(),
            roomless: Vec::new(),
            marks: Vec::new(),
            drops: 0,
            instances: 1,
            vanished: 0,
        };
        let sealed = self.drops(&mut life, nature, happenings, &mut dice);
        let given = self.mark_drops(&mut life, sealed);
        self.hand_over(&mut life, &given, happenings);
        self.mark_orders(&mut life, happenings);
        let end = self.infrastructure.end;
        life.marks.retain(|(at, _)| *at < end);
        life.marks.sort_by_key(|(at, _)| *at);
        Some(life)
    }

    fn nature(&self, dice: &mut Dice) -> (Nature, u64, bool) {
        let index = usize::try_from(dice.within(0, 4)).unwrap_or(0);
        let zone = Zone::ALL[index];
        let hour = dice.within(0, 24) * HOUR + dice.within(0, 12) * 5 * MINUTE + dice.within(0, 60);
        let default = Promise::RPO_DEFAULT.as_secs();
        // Most drop once a day, and so it is promised if nobody says anything else.
        let (every, rpo, is_in_policy) = match dice.within(0, 100) {
            0..2 => (HOUR, 150 * MINUTE, true),
            2..8 => (6 * HOUR, 8 * HOUR, true),
            8..16 => (7 * DAY, 8 * DAY, true),
            16..40 => (DAY, 30 * HOUR, true),
            _ => (DAY, default, false),
        };
        let late = dice.permille(150);
        let born = dice.within(0, self.scenario.seconds());
        let is_mute = is_in_policy && dice.permille(10);
        (
            Nature { zone, hour, every, born: if late { born } else { 0 }, is_mute },
            rpo,
            is_in_policy,
        )
    }

    /// At which second of the day its drop is begun, by a clock that shows UTC.
    fn hour_of(&self, nature: Nature) -> u64 {
        let ahead = nature.zone.offset(self.scenario.start.unix_seconds());
        (nature.hour + DAY).saturating_add_signed(-ahead) % DAY
    }

    /// What is promised of it by more than an RPO, if anything is.
    fn pact(&self, nature: Nature, number: u32) -> Option<Pact> {
        let mut dice = Dice::of(self.scenario.seed, 3, number.into());
        let (hour, every) = (i64::try_from(nature.hour).ok()?, i64::try_from(nature.every).ok()?);
        let first = u64::try_from(self.scenario.start.unix_seconds() / 86_400).ok()?;
        let days = (first, first + u64::from(self.scenario.days));
        Pact::of(&mut dice, nature.zone, hour, every, days)
    }

    /// All times at which a drop is due to be made, by the world's time. Whoever rests drops nothing
    /// meanwhile.
    fn schedule(&self, nature: Nature, pact: Option<&Pact>) -> Vec<u64> {
        let start = self.scenario.start.unix_seconds();
        let (first, days) = (start.div_euclid(86_400), i64::from(self.scenario.days));
        let mut times = Vec::new();
        for day in first - 1..=first + days {
            if nature.every >= DAY && (day * 86_400) % i64::try_from(nature.every).unwrap_or(1) != 0
                || pact.is_some_and(|pact| pact.has_turns() && pact.is_off(day))
            {
                continue;
            }
            let mut second = nature.hour % nature.every.min(DAY);
            if nature.every >= DAY {
                second = nature.hour;
            }
            while second < DAY {
                let at = nature.zone.instant(day, i64::try_from(second).unwrap_or(0)) - start;
                times.extend(u64::try_from(at));
                second += nature.every;
            }
        }
        times
    }

    /// The drops that are sealed, as the vault gets to see them.
    fn drops(
        &self,
        life: &mut Life,
        nature: Nature,
        happenings: &[Happening],
        dice: &mut Dice,
    ) -> Vec<Sealed> {
        let mut befalls = Befalls::of(happenings, dice);
        let (mut sealed, mut release, mut green_at) = (Vec::new(), 0, 0);
        let pact = life.pact.clone();
        let mut releases = Dice::of(self.scenario.seed, 4, dice.clone().next());
        for due in self.schedule(nature, pact.as_ref()) {
            // The same numbers are thrown whatever happens, so that one thing less changes nothing else.
            let (takes, again, retries) =
                (dice.within(20, 1800), dice.within(300, 2400), dice.permille(700));
            let (beside, travels) = (dice.within(30, 1200), dice.within(5, 900));
            let green = nature.every + releases.within(0, 5 * HOUR);
            // Blue is gone, and green is not up yet.
            let is_between = due < green_at;
            if nature.is_mute || due < nature.born || befalls.is_silent(due) || is_between {
                continue;
            }
            let mut at = due + takes;
            if befalls.crash_loop.contains(due) {
                // Each attempt dies, and so does the next.
                (life.instances, life.vanished) = (life.instances + 3, life.vanished + 3);
                let died = self.seen(life.agent, self.infrastructure.heard_at(at));
                life.marks.push((died, Mark::Died));
                continue;
            }
            if befalls.takes_next(What::Crash, due) {
                life.vanished += 1;
                life.instances += 1;
                if !retries {
                    continue;
                }
                at += again;
            }
            let kind = befalls.kind(due);
            let mut copies = 1;
            if befalls.takes_next(What::Release, due) {
                // Blue and green both drop, and blue is gone.
                (copies, life.instances, life.vanished) =
                    (2, life.instances + 1, life.vanished + 1);
            }
            if befalls.scaled_out.contains(due) {
                (copies, life.instances, life.vanished) =
                    (3, life.instances + 2, life.vanished + 2);
            }
            // Who gets time for releases says which it is, and says goodbye before the next one is up.
            let is_told = pact.as_ref().is_some_and(|pact| pact.grace > 0);
            let mut claim = is_told.then_some(Claim { release, is_last: false });
            let mut beside = beside;
            if is_told && copies == 2 {
                claim = Some(Claim { release, is_last: true });
                (release, green_at, beside) = (release + 1, at + green, green);
            }
            for copy in 0..copies {
                let kind = if copy == 0 { kind } else { Kind::Good };
                let made = self.seal(life.agent, at + copy * beside, travels, kind);
                sealed.extend(made.map(|made| Sealed { claim, ..made }));
                claim = claim.map(|_| Claim { release, is_last: false });
            }
        }
        life.drops = sealed.len() as u64;
        sealed
    }

    /// A drop that is finished at `at`, by the world's time: it is seen by the agent, and travels.
    fn seal(&self, agent: usize, at: u64, travels: u64, kind: Kind) -> Option<Sealed> {
        let it = self.infrastructure;
        let at = it.heard_at(at);
        let share_out = &it.agents[agent].share_out;
        // Who finds no share tries again when it is back.
        let at = share_out.first_outside(at) + if share_out.contains(at) { travels } else { 0 };
        let seen = self.seen(agent, at);
        let mut vaulted = seen + travels;
        if let Some((_, until)) = it.slow.at(vaulted) {
            vaulted = until + travels;
        }
        let reached = it.reachable(agent, vaulted);
        if reached > vaulted {
            vaulted = it.reachable(agent, reached + travels / 2 + 1);
        }
        (seen < it.end).then_some(Sealed { seen, vaulted, kind, claim: None })
    }

    /// The first report from `from` on in which an agent tells of its share.
    fn seen(&self, agent: usize, from: u64) -> u64 {
        let it = self.infrastructure;
        let mut at = from;
        loop {
            let report = it.next_report(agent, at);
            match it.agents[agent].share_out.at(report) {
                Some((_, until)) => at = until,
                None => return report,
            }
        }
    }

    /// Notes what is heard of drops on their way to the vault. Returns those that are good.
    fn mark_drops(&self, life: &mut Life, mut sealed: Vec<Sealed>) -> Vec<Given> {
        // Those of one workload travel one after the other.
        sealed.sort_by_key(|drop| drop.seen);
        let mut last = 0;
        for drop in &mut sealed {
            last = drop.vaulted.max(last);
            drop.vaulted = last;
        }
        let mut given = Vec::new();
        for (number, (index, drop)) in (0..).zip(sealed.iter().enumerate()) {
            if drop.kind == Kind::Bad {
                life.marks.push((drop.seen, Mark::Rejected));
                continue;
            }
            life.marks.push((drop.seen, Mark::Waiting));
            let mark = match drop.kind {
                Kind::Good => {
                    let Sealed { seen, vaulted, .. } = *drop;
                    given.push(Given { drop: number, seen, vaulted });
                    Mark::Vaulted { seen, drop: number }
                }
                _ => Mark::Suspected,
            };
            if let (Kind::Good, Some(Claim { release, is_last })) = (drop.kind, drop.claim) {
                let said = Mark::Released { seen: drop.seen, release, is_last };
                life.marks.push((drop.vaulted, said));
            }
            life.marks.push((drop.vaulted, mark));
            // What still waits is told again by the next report.
            let mut others = sealed[index + 1..].iter().take_while(|it| it.seen < it.vaulted);
            let waits = |other: &Sealed| other.kind != Kind::Bad && other.seen <= drop.vaulted;
            if let Some(other) = others.find(|other| waits(other)) {
                let told = self.seen(life.agent, drop.vaulted + 1);
                if told < other.vaulted {
                    life.marks.push((told, Mark::Waiting));
                }
            }
        }
        given
    }

    fn mark_orders(&self, life: &mut Life, happenings: &[Happening]) {
        let it = self.infrastructure;
        // Somebody orders it again until the vault is there.
        let heard = |at: u64| it.away.first_outside(it.heard_at(at));
        // A vault takes orders of what it knows.
        let named = life.marks.iter().filter(|(_, mark)| *mark != Mark::Died);
        let named = named.map(|(at, _)| *at).min();
        let known = if life.is_in_policy { Some(0) } else { named };
        let mut orders = Vec::new();
        for Happening { at, what, lasts, .. } in happenings.iter().copied() {
            match what {
                What::Pause => orders.push((heard(at), Mark::Paused { lasts })),
                What::Retire => orders.push((heard(at), Mark::Retired { lasts })),
                What::Resume => orders.push((heard(at), Mark::Resumed)),
                What::Rename => orders.push((heard(at), Mark::Renamed)),
                What::Deploy => {
                    let lasts = (lasts % 4 != 0).then_some(lasts);
                    orders.push((heard(at), Mark::Deploying { lasts }));
                }
                What::RepositoryLost => {
                    orders.push((heard(at), Mark::Lost));
                    orders.push((heard(at + lasts), Mark::Found));
                }
                What::Tighten => {
                    let seen = |at| self.seen(life.agent, it.heard_at(at));
                    orders.push((seen(at), Mark::Declared { rpo: Some(life.rpo / 2) }));
                    orders.push((seen(at + lasts), Mark::Declared { rpo: None }));
                }
                _ => {}
            }
        }
        orders.retain(|(at, _)| known.is_some_and(|known| known < *at));
        life.marks.extend(orders);
    }
}

/// What befalls one workload, by the world's time.
struct Befalls<'a> {
    happenings: &'a [Happening],
    used: Vec<bool>,
    stopped: Spans,
    suspect: Spans,
    scaled_out: Spans,
    crash_loop: Spans,
}

impl<'a> Befalls<'a> {
    fn of(happenings: &'a [Happening], dice: &mut Dice) -> Self {
        let spans = |what: What| -> Spans {
            let all = happenings.iter().filter(|it| it.what == what);
            all.map(|it| (it.at, it.at + it.lasts)).collect()
        };
        // Who is retired drops no more, until it is ordered back; one in four was forgotten somewhere.
        let mut retired = Vec::new();
        for (index, retire) in happenings.iter().enumerate() {
            if retire.what == What::Retire && !dice.permille(250) {
                let back = happenings[index + 1..].iter();
                let back =
                    back.filter(|it| matches!(it.what, What::Resume | What::Pause)).map(|it| it.at);
                retired.push((retire.at, back.min().unwrap_or(u64::MAX)));
            }
        }
        Self {
            happenings,
            used: vec![false; happenings.len()],
            stopped: spans(What::Stopped).or(&retired.into_iter().collect()),
            suspect: spans(What::Suspect),
            scaled_out: spans(What::ScaleOut),
            crash_loop: spans(What::CrashLoop),
        }
    }

    fn is_silent(&self, at: u64) -> bool {
        self.stopped.contains(at)
    }

    /// What becomes of the drop that is due.
    fn kind(&mut self, due: u64) -> Kind {
        if self.takes_next(What::BadDrop, due) {
            Kind::Bad
        } else if self.suspect.contains(due) {
            Kind::Suspect
        } else {
            Kind::Good
        }
    }

    /// Whether something befell it since its last drop that touches the next one only.
    fn takes_next(&mut self, what: What, due: u64) -> bool {
        let mut found = false;
        for (happening, used) in self.happenings.iter().zip(&mut self.used) {
            if happening.what == what && happening.at <= due && !*used {
                (*used, found) = (true, true);
            }
        }
        found
    }
}

/// Seconds as a length of time.
pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
