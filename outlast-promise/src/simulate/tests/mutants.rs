//! Broken on purpose: ledgers whose rules are wrong, each of which the oracle must notice.

use outlast_types::{Safe, Timestamp, WorkloadName};

use super::*;
use crate::cause::{Key, Subject};
use crate::class::Part;
use crate::event::{Event, Order};
use crate::incident::{Change, Incident};
use crate::ledger::Ledger;
use crate::simulate::drive::{Bend, Names, Rows, Watch, play};
use crate::status::Settings;

const HOUR: Duration = Duration::from_secs(3600);

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Wrong {
    /// A promise breaks a second too early, or a bit more than a minute too late.
    Early,
    Late,
    /// An agent may be silent for two minutes more, or two less.
    PatientWithAgents,
    ImpatientWithAgents,
    /// A pause, or a retirement, never ends; a pause is not heard.
    PauseForever,
    RetiredForever,
    DeafForPauses,
    /// Whoever was explained once is never told of.
    FoldSwallows,
    /// After half an hour, what an outage held up is explained no more, although it comes.
    GivesUpWhileItMoves,
    /// Nothing is explained: every broken promise pages.
    FoldsNothing,
    /// No incident resolves, or none of one kind.
    NeverResolves,
    NeverResolvesWorkloads,
    /// Each is told twice, or again each day.
    TellsTwice,
    /// What vanished: a drop that waits counts as vaulted.
    WaitingIsVaulted,
    /// A suspect drop renews the promise.
    SuspectIsVaulted,
    /// A rejected drop is nobody's business.
    RejectedIsNothing,
    /// A vault that was away does not know it.
    ForgetsAbsence,
    /// A clock that is set back stands still until it is where it was.
    TrustsClock,
    /// A restart forgets what is open.
    ForgetsOpen,
    /// The share's trouble is not heard.
    DeafForShares,
    /// Of what is declared, nothing is heard.
    DeafForDeclarations,
    /// An agent's clock is nobody's business.
    DeafForClocks,
    /// One workload in ten is forgotten.
    Forgetful,
    /// A repository that is lost is nobody's business.
    DeafForRepositories,
    /// A page does not wait for a window to end, or for days off, or for a release.
    PagesInWindows,
    PagesOnDaysOff,
    PagesInReleases,
    /// What waited for a window or a release to end is never told; or a release is given more time than
    /// policy says.
    QuietSwallows,
    PatientWithReleases,
    /// What drops say of releases is not heard.
    DeafForReleases,
    /// Turns come on days off, by the clocks of another place, an hour late, or whenever the last drop was.
    TurnsOnDaysOff,
    TurnsOfElsewhere,
    TurnsLate,
    TurnsAreAges,
    /// Half a drop of a writer that died counts.
    HalfIsVaulted,
    /// A renaming is not heard, or pages again for what is open.
    DeafForRenamings,
    PagesAgainForRenamings,
    /// That a release begins is not heard, or not that it is over.
    DeafForDeploys,
    DeploysNeverEnd,
    /// Of hand-overs this is not heard: what is confirmed, what is withdrawn, what lies there, how they stand.
    DeafForConfirmations,
    DeafForWithdrawals,
    DeafForLies,
    DeafForHandovers,
    /// What a job read counts as confirmed; what counts is what is vaulted, or either instead of both.
    ReadIsConfirmed,
    SafeIsVaulted,
    BothIsEither,
    /// A product is given more time than policy says, or less.
    PatientWithProducts,
    ImpatientWithProducts,
    /// A job that failed, or a directory that takes nothing, is nobody's business.
    DeafForFailedJobs,
    DeafForRooms,
}

const ALL: [Wrong; 49] = [
    Wrong::Early,
    Wrong::Late,
    Wrong::PatientWithAgents,
    Wrong::ImpatientWithAgents,
    Wrong::PauseForever,
    Wrong::RetiredForever,
    Wrong::DeafForPauses,
    Wrong::FoldSwallows,
    Wrong::FoldsNothing,
    Wrong::NeverResolves,
    Wrong::NeverResolvesWorkloads,
    Wrong::TellsTwice,
    Wrong::WaitingIsVaulted,
    Wrong::SuspectIsVaulted,
    Wrong::RejectedIsNothing,
    Wrong::ForgetsAbsence,
    Wrong::TrustsClock,
    Wrong::ForgetsOpen,
    Wrong::DeafForShares,
    Wrong::DeafForDeclarations,
    Wrong::DeafForClocks,
    Wrong::Forgetful,
    Wrong::DeafForRepositories,
    Wrong::PagesInWindows,
    Wrong::PagesOnDaysOff,
    Wrong::PagesInReleases,
    Wrong::QuietSwallows,
    Wrong::PatientWithReleases,
    Wrong::DeafForReleases,
    Wrong::TurnsOnDaysOff,
    Wrong::TurnsOfElsewhere,
    Wrong::TurnsLate,
    Wrong::TurnsAreAges,
    Wrong::HalfIsVaulted,
    Wrong::DeafForRenamings,
    Wrong::PagesAgainForRenamings,
    Wrong::DeafForDeploys,
    Wrong::DeploysNeverEnd,
    Wrong::DeafForConfirmations,
    Wrong::DeafForWithdrawals,
    Wrong::DeafForLies,
    Wrong::DeafForHandovers,
    Wrong::ReadIsConfirmed,
    Wrong::SafeIsVaulted,
    Wrong::BothIsEither,
    Wrong::PatientWithProducts,
    Wrong::ImpatientWithProducts,
    Wrong::DeafForFailedJobs,
    Wrong::DeafForRooms,
];

/// A ledger, and what is wrong with it.
struct Broken {
    ledger: Ledger,
    wrong: Wrong,
    /// The latest time that it was told of.
    latest: Timestamp,
    folded: BTreeSet<Key>,
}

impl Broken {
    fn new(ledger: Ledger, wrong: Wrong, start: Timestamp) -> Self {
        Self { ledger, wrong, latest: start, folded: BTreeSet::new() }
    }

    /// The time that the ledger is told.
    fn time(&mut self, now: Timestamp) -> Timestamp {
        self.latest = self.latest.max(now);
        // Time never runs backwards, it says, and stands still.
        if self.wrong == Wrong::TrustsClock { self.latest } else { now }
    }

    fn event(&self, event: Event, now: Timestamp) -> Option<Event> {
        let forever = now.saturating_add(Duration::from_secs(5000 * 86_400));
        Some(match (self.wrong, event) {
            (
                Wrong::PauseForever,
                Event::Ordered { number, workload, order: Order::Pause { .. } },
            ) => Event::Ordered { number, workload, order: Order::Pause { until: forever } },
            (
                Wrong::RetiredForever,
                Event::Ordered { number, workload, order: Order::Retire { at, .. } },
            ) => Event::Ordered { number, workload, order: Order::Retire { at, until: forever } },
            (Wrong::DeafForPauses, Event::Ordered { order: Order::Pause { .. }, .. })
            | (Wrong::RejectedIsNothing, Event::Rejected { .. })
            | (Wrong::DeafForShares, Event::ShareSeen { problem: Some(_), .. })
            | (Wrong::DeafForDeclarations, Event::Declared { .. })
            | (Wrong::DeafForRepositories, Event::Repository { .. })
            | (Wrong::DeafForReleases, Event::Released { .. })
            | (Wrong::DeafForRenamings, Event::Renamed { .. })
            | (Wrong::DeafForDeploys, Event::Deploying { .. })
            | (Wrong::DeafForConfirmations, Event::Confirmed { .. })
            | (Wrong::DeafForWithdrawals, Event::Withdrawn { .. })
            | (Wrong::DeafForLies, Event::Lying { .. })
            | (Wrong::DeafForHandovers, Event::HandedOver { .. })
            | (Wrong::DeafForClocks, Event::ClockSeen { .. }) => return None,
            (Wrong::WaitingIsVaulted, Event::Waiting { workload, .. })
            | (Wrong::HalfIsVaulted, Event::Stopped { workload, .. })
            | (Wrong::SuspectIsVaulted, Event::Suspected { workload, .. }) => {
                Event::Vaulted { workload, at: now }
            }
            (Wrong::Forgetful, Event::Vaulted { workload, at }) => {
                if now.unix_seconds() % 10 == 0 {
                    return None;
                }
                Event::Vaulted { workload, at }
            }
            (Wrong::DeploysNeverEnd, Event::Deploying { workload, at, .. }) => {
                Event::Deploying { workload, at, until: None }
            }
            (Wrong::ReadIsConfirmed, Event::Lying { workload, lies: Some((_, true)), .. }) => {
                let drop = world::drop_of(1)?;
                Event::Confirmed { workload, drop, at: now, vaulted: true }
            }
            (Wrong::DeafForFailedJobs | Wrong::DeafForRooms, event) => self.deaf_in_part(event),
            (_, event) => event,
        })
    }

    /// Of how hand-overs stand, something is not heard.
    fn deaf_in_part(&self, mut event: Event) -> Event {
        if let Event::HandedOver { handovers, .. } = &mut event {
            for handed in handovers.values_mut() {
                match self.wrong {
                    Wrong::DeafForRooms => handed.room = None,
                    _ => handed.failed = None,
                }
            }
        }
        event
    }

    fn changes(&mut self, changes: Vec<Change>) -> Vec<Change> {
        let is_workloads =
            |change: &Change| matches!(change.incident().key().subject, Subject::Workload(_));
        let mut told = Vec::new();
        for change in changes {
            let is_opened = matches!(change, Change::Opened(_));
            let is_gone = match self.wrong {
                Wrong::NeverResolves => !is_opened,
                Wrong::NeverResolvesWorkloads => !is_opened && is_workloads(&change),
                // What was folded before it was told is never told.
                Wrong::FoldSwallows | Wrong::QuietSwallows => {
                    is_opened && self.folded.contains(&change.incident().key())
                }
                _ => false,
            };
            if !is_gone {
                told.push(change.clone());
            }
            if self.wrong == Wrong::TellsTwice && is_opened {
                told.push(change);
            }
        }
        if matches!(self.wrong, Wrong::FoldSwallows | Wrong::FoldsNothing) {
            let folded = self.ledger.incidents().filter(|incident| incident.folded_into.is_some());
            for incident in folded {
                if self.folded.insert(incident.key()) && self.wrong == Wrong::FoldsNothing {
                    told.push(Change::Opened(incident));
                }
            }
        }
        if self.wrong == Wrong::GivesUpWhileItMoves {
            told.extend(self.given_up().into_iter().map(Change::Opened));
        }
        if self.wrong == Wrong::QuietSwallows {
            let waits = self.ledger.incidents().filter(|incident| incident.waits.is_some());
            self.folded.extend(waits.map(|incident| incident.key()));
        }
        told
    }
}

impl Broken {
    /// What waits for an outage that is over since half an hour, each once.
    fn given_up(&mut self) -> Vec<Incident> {
        let now = self.ledger.now();
        let is_slow = |it: &Incident| {
            it.catching_up.as_ref().is_some_and(|it| now.since(it.since) > HOUR / 2)
        };
        let slow: BTreeSet<u64> = self.ledger.incidents().filter(is_slow).map(|it| it.id).collect();
        let of_it = |it: &Incident| it.folded_into.is_some_and(|id| slow.contains(&id));
        let held_up: Vec<Incident> = self.ledger.incidents().filter(of_it).collect();
        held_up.into_iter().filter(|it| self.folded.insert(it.key())).collect()
    }
}

fn new_name(event: &Event) -> Option<WorkloadName> {
    match event {
        Event::Renamed { to, .. } => Some(to.clone()),
        _ => None,
    }
}

impl Watch for Broken {
    fn apply_all(&mut self, events: Vec<Event>, now: Timestamp) -> Vec<Change> {
        let time = self.time(now);
        let events: Vec<Event> =
            events.into_iter().filter_map(|event| self.event(event, now)).collect();
        let renamed: Vec<WorkloadName> = events.iter().filter_map(new_name).collect();
        let mut changes = self.ledger.apply_all(events, time);
        if self.wrong == Wrong::PagesAgainForRenamings {
            let open =
                self.ledger.incidents().filter(|it| it.folded_into.is_none() && it.waits.is_none());
            let of = |key: &Key| {
                renamed.iter().any(|name| key.subject == Subject::Workload(name.clone()))
            };
            changes.extend(open.filter(|it| of(&it.key())).map(Change::Opened));
        }
        self.changes(changes)
    }

    fn tick(&mut self, now: Timestamp) -> Vec<Change> {
        let time = self.time(now);
        let changes = self.ledger.tick(time);
        self.changes(changes)
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        self.ledger.next_deadline()
    }

    fn slept_until(&mut self, now: Timestamp) {
        self.time(now);
        match self.wrong {
            Wrong::ForgetsAbsence => drop(self.ledger.tick(now)),
            _ => self.ledger.slept_until(now),
        }
    }

    fn restart(&mut self, settings: Settings, (rows, names): (&mut Rows, &Names), now: Timestamp) {
        self.time(now);
        if self.wrong == Wrong::ForgetsAbsence {
            self.ledger.tick(now);
            return;
        }
        if self.wrong == Wrong::ForgetsOpen {
            self.ledger.mark_saved();
            rows.clear();
            self.ledger = Ledger::new(settings, 1000, now);
            return;
        }
        let deaf = Names::new();
        let names = if self.wrong == Wrong::DeafForRenamings { &deaf } else { names };
        Watch::restart(&mut self.ledger, settings, (rows, names), now);
    }
}

/// A busy month or two.
fn busy(seed: u64) -> Scenario {
    let mut scenario = calm(Scenario::of_everything(10, 40, seed));
    for what in What::ALL {
        let hours = what.usual_hours() * 3600 / 8;
        scenario.chances.set(*what, Some(Duration::from_secs(hours)));
    }
    scenario.agents = 2;
    scenario
}

/// What is wrong with what policy says of a workload.
fn twist(wrong: Wrong) -> Option<fn(&mut Part)> {
    Some(match wrong {
        Wrong::PagesInWindows => |part| part.maintenance = None,
        Wrong::PagesOnDaysOff => |part| {
            if part.schedule.is_none() {
                (part.weekdays, part.holidays) = (None, None);
            }
        },
        Wrong::PagesInReleases => |part| part.deploy_grace = None,
        Wrong::PatientWithReleases => |part| {
            part.deploy_grace = part.deploy_grace.map(|grace| grace * 3);
        },
        Wrong::TurnsOnDaysOff => |part| {
            if part.schedule.is_some() {
                (part.weekdays, part.holidays) = (None, None);
            }
        },
        Wrong::TurnsOfElsewhere => |part| part.zone = None,
        Wrong::TurnsLate => |part| part.deadline = part.deadline.map(|it| it + HOUR),
        Wrong::TurnsAreAges => |part| {
            if part.schedule.take().is_some() {
                part.rpo = Some(HOUR * 26);
            }
        },
        Wrong::SafeIsVaulted => |part| part.safe = None,
        Wrong::BothIsEither => |part| {
            part.safe = part.safe.map(|safe| if safe == Safe::Both { Safe::Either } else { safe });
        },
        _ => return None,
    })
}

fn play_with(wrong: Wrong, scenario: &Scenario) -> Outcome {
    let mut bend = Bend { part: twist(wrong), ..Bend::default() };
    match wrong {
        Wrong::Early => bend.rpo = -1,
        Wrong::Late => bend.rpo = 62,
        Wrong::PatientWithAgents => bend.agent_deadline = 600,
        Wrong::ImpatientWithAgents => bend.agent_deadline = -600,
        Wrong::PatientWithProducts => bend.handover = 7200,
        Wrong::ImpatientWithProducts => bend.handover = -7200,
        _ => {}
    }
    play(scenario, bend, |ledger| Broken::new(ledger, wrong, scenario.start)).unwrap()
}

#[test]
fn i2_i3_a_ledger_that_is_not_broken_is_right_where_broken_ones_are_noticed() {
    for seed in seeds(9).skip(1) {
        assert_right(&busy(seed));
    }
}

#[test]
fn the_oracle_notices_every_rule_that_is_broken_on_purpose() {
    let mut survivors = Vec::new();
    for wrong in ALL {
        let killed = (1..=8).find(|seed| !play_with(wrong, &busy(*seed)).is_right());
        if killed.is_none() {
            survivors.push(wrong);
        }
    }
    assert!(survivors.is_empty(), "{survivors:?} were not noticed");
}

#[test]
fn what_an_outage_held_up_is_nobodys_page_while_it_comes() {
    // The line is back after three days; a part comes at once, and the rest when the vault is not slow any more.
    let of = |seed| {
        let mut scenario = quiet(&[(100, What::LinkDown, Whom::Agent(0), 72)]);
        let (at, lasts) = (172 * 3600 + 480, 4000);
        scenario.happenings.push(Happening { at, what: What::VaultSlow, whom: Whom::Vault, lasts });
        Scenario { workloads: 60, seed, ..scenario }
    };
    for seed in 1..=4 {
        assert_right(&of(seed));
    }
    let is_noticed = |seed| !play_with(Wrong::GivesUpWhileItMoves, &of(seed)).is_right();
    assert!((1..=4).any(is_noticed));
}

#[test]
fn a_broken_rule_shrinks_to_next_to_nothing() {
    // One agent that speaks seldom, since it is played many times.
    let busy =
        |seed| Scenario { agents: 1, agent_deadline: Duration::from_secs(6000), ..busy(seed) };
    let is_wrong = |seed: &u64| !play_with(Wrong::PauseForever, &busy(*seed)).is_right();
    let scenario = busy((1..20).find(is_wrong).unwrap());
    let smaller = shrink::shrink_while(&scenario, 600, |scenario| {
        Some(play_with(Wrong::PauseForever, scenario))
    });
    let outcome = play_with(Wrong::PauseForever, &smaller);
    assert!(!outcome.is_right());
    assert_eq!(smaller.played().len(), 1, "{smaller:?}");
    assert!(smaller.happenings.len() <= 5, "{smaller:?}");
    assert!(smaller.happenings.iter().any(|it| it.what == What::Pause), "{smaller:?}");
}
