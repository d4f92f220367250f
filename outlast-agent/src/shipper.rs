//! The shipper: carries drops hop by hop, and leaves alone for a while what failed.
//!
//! It changes nothing but its own memory of failures. What came of each hop are actions.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use outlast_drop::{DropAddress, DropLimits, ReceiptState, Rejection, Share};
use outlast_types::{Backoff, Environment, WorkloadName};

use crate::Shutdown;
use crate::action::{Action, Hop, Parcel};
use crate::custody::Proven;
use crate::destination::{Content, Delivered, Failure, Taken, Waiting};
use crate::hauls::{Arrival, Hauls, Loaded, News};
use crate::line::Line;
use crate::problem::{Met, Problem};
use crate::statement::{Scribe, Statement};
use crate::workload::{Place, place};

/// The longest pause after failures of one workload, or of one drop.
const PAUSE_MAX: Duration = Duration::from_secs(600);
/// A drop that could not be read as often as this no longer holds up the newer ones: better an old
/// drop published late than none of those after it.
const READS_BEFORE_OVERTAKING: u32 = 3;
/// A drop that waits at media servers is asked for after this, however seldom the share is polled, at least
/// this often at first, and so many times.
const ASKED_FIRST: Duration = Duration::from_secs(5);
const ASKED_AGAIN: Duration = Duration::from_secs(15);
const ASKED_OFTEN: u32 = 40;
/// A vault that lacks what was sent as often as this has a trouble that somebody must look at.
const LACKING_PATIENCE: u32 = 5;
/// Media servers that are named in a report.
const HOLDERS_TOLD: usize = 16;
/// How long a media server's word stands by itself when the bill of a drop is lost. After that the
/// drop is read again: a media server may have lost its disk.
const HOLDER_PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// Carries drops over a [`Line`].
pub(crate) struct Shipper {
    hauls: Hauls,
    scribe: Arc<Scribe>,
    environment: Environment,
    /// The first pause after failures.
    pause: Duration,
    retries: BTreeMap<WorkloadName, WorkloadRetry>,
    /// Attempts that failed.
    failures: u64,
}

/// Recent failures of a workload's drops.
#[derive(Default)]
struct WorkloadRetry {
    backoff: Backoff,
    /// Why its drops are not shipped, while that is so. The first reason stays, so that a trouble
    /// that lasts is seen to be one.
    problem: Option<Problem>,
    drops: HashMap<Place, DropRetry>,
}

/// A drop that is tried again later.
#[derive(Default)]
struct DropRetry {
    backoff: Backoff,
    /// When its holders are asked again, which is no failure.
    asked: Backoff,
    /// Why, if that is a problem.
    problem: Option<Problem>,
    /// The media servers at which it waits.
    holders: Vec<String>,
    /// How often the vault lacked something of it that had been sent.
    lacking: u32,
}

/// How a workload goes on after one of its drops was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// The drop is done with; the next one may be tried.
    Next,
    /// The drop stays behind; the next one may be tried.
    Overtake,
    /// The others would fail, too, or overtake this one.
    Stop,
}

/// A drop that has come a hop further, or stays where it is.
pub(crate) struct Hopped {
    /// The share on which it lies.
    pub(crate) share: Share,
    pub(crate) parcel: Parcel,
    pub(crate) step: Step,
    /// Whether it is not under way any more.
    pub(crate) has_stopped: bool,
    /// Under which the log tells of it.
    pub(crate) span: tracing::Span,
}

/// The outcome of one hop.
#[derive(Debug, Default)]
pub(crate) struct Step {
    pub(crate) actions: Vec<Action>,
    pub(crate) problems: Vec<Problem>,
    /// The content that was put where it is durable.
    pub(crate) taken: Taken,
    /// `None`: the drop has come one hop further, and goes on from there.
    pub(crate) turn: Option<Turn>,
}

impl Shipper {
    pub(crate) fn new(
        scribe: Arc<Scribe>,
        environment: Environment,
        pause: Duration,
        quick: Duration,
        places: usize,
    ) -> Self {
        let hauls = Hauls::new(environment.clone(), quick, places);
        let retries = BTreeMap::new();
        Self { hauls, scribe, environment, pause, retries, failures: 0 }
    }

    /// Whether a drop has to wait because of what failed before, and why.
    pub(crate) fn held_up(&self, address: &DropAddress) -> Option<(Turn, Option<Problem>)> {
        let now = self.now();
        let retry = self.retries.get(&address.workload)?;
        if retry.backoff.is_waiting(now) {
            return Some((Turn::Stop, retry.problem.clone()));
        }
        let drop = retry.drops.get(&place(address)).filter(|drop| drop.is_waiting(now))?;
        Some((drop.turn(), drop.problem.clone()))
    }

    /// Begins to carry a drop, for which there must be a place; the outcome if that cannot be.
    pub(crate) fn begin(
        &mut self,
        line: &Arc<Line>,
        share: &Share,
        parcel: Parcel,
        limits: DropLimits,
        shutdown: &Shutdown,
    ) -> Option<Step> {
        let address = parcel.address.clone();
        let error = self.hauls.begin(line, share, parcel, limits, shutdown).err()?;
        let mut step = Step::default();
        let reason = format!("no thread can be started to read it: {error}");
        self.failed(&address, Failure::Workload(reason), &mut step);
        Some(step)
    }

    /// The outcome of one hop that has ended, if one has.
    pub(crate) fn hopped(&mut self) -> Option<Hopped> {
        let Arrival { share, mut parcel, news, is_last, span } = self.hauls.collect()?;
        let step = span.in_scope(|| match news {
            News::Loaded(loaded) => self.loaded(&share, &mut parcel, loaded),
            News::Delivered(delivered) => {
                self.delivered(&mut parcel, delivered.map(|delivered| *delivered))
            }
        });
        if !is_last {
            self.hauls.advance(&parcel);
        }
        Some(Hopped { share, parcel, step, has_stopped: is_last, span })
    }

    /// How many attempts have failed and are made again.
    pub(crate) fn failures(&self) -> u64 {
        self.failures
    }

    pub(crate) fn hauls(&self) -> &Hauls {
        &self.hauls
    }

    pub(crate) fn hauls_mut(&mut self) -> &mut Hauls {
        &mut self.hauls
    }

    /// Waits for all that is under way, after the end was asked for.
    pub(crate) fn close(&mut self) {
        self.hauls.close();
    }

    /// A drop was read; it is accepted as soon as all of it is known to be as it was sealed.
    fn loaded(&mut self, share: &Share, parcel: &mut Parcel, loaded: Loaded) -> Step {
        let mut step = Step::default();
        let Loaded { content, result } = loaded;
        let address = parcel.address.clone();
        if let Some(content) = content {
            // Sealed again since it was seen, it is another drop, and has another custody.
            let is_another = std::mem::replace(&mut parcel.seal, content.seal) != content.seal;
            if is_another || parcel.hop < Hop::Accepted {
                self.state(share, &address, ReceiptState::Accepted, content, &mut step);
                parcel.hop = Hop::Accepted;
            }
        }
        match (result, content) {
            (Ok(taken), Some(content)) if taken.is_relayed => {
                // That it is shipped is for media servers to say.
                let proven = Proven::Shipped { seal: content.seal, holder: None };
                step.actions.push(Action::Advance { address, proven });
                (parcel.hop, parcel.is_loaded) = (Hop::Shipped, true);
                step.taken = taken;
            }
            (Ok(taken), Some(content)) => {
                self.state(share, &address, ReceiptState::Shipped, content, &mut step);
                (parcel.hop, parcel.is_loaded) = (Hop::Shipped, true);
                step.taken = taken;
            }
            // A destination that does not say what it took has taken nothing.
            (Ok(_), None) => self.failed(&address, Failure::NotLoaded, &mut step),
            (Err(failure), _) => self.failed(&address, failure, &mut step),
        }
        step
    }

    /// A drop was handed over, or whoever has it was asked what became of it.
    fn delivered(&mut self, parcel: &mut Parcel, delivered: Result<Delivered, Failure>) -> Step {
        let mut step = Step::default();
        let address = &parcel.address.clone();
        match delivered {
            Ok(Delivered { receipt, secured }) => {
                if secured.state == ReceiptState::Vaulted {
                    self.succeeded(address);
                    step.actions.push(Action::Record(Box::new(receipt)));
                    step.actions.push(Action::Hold { address: address.clone(), secured });
                    step.turn = Some(Turn::Next);
                    return step;
                }
                let holder_name = vec![secured.by.name().to_owned()];
                let holder = Some(secured);
                if parcel.holder.as_ref().map(|it| &it.held) != holder.as_ref().map(|it| &it.held) {
                    let proven = Proven::Shipped { seal: parcel.seal, holder };
                    step.actions.push(Action::Record(Box::new(receipt)));
                    step.actions.push(Action::Advance { address: address.clone(), proven });
                }
                self.wait_for_holder(address, &mut step);
                self.note_holders(address, holder_name);
            }
            Err(Failure::Waiting(Waiting { at, shipped })) => {
                step.actions.extend(shipped.map(Action::Record));
                self.wait_for_holder(address, &mut step);
                self.note_holders(address, at);
            }
            Err(Failure::NotLoaded) if self.is_held(parcel) => {
                self.wait_for_holder(address, &mut step);
            }
            // It goes on from there: it is read again, and the verdict about it stands.
            Err(Failure::NotLoaded) if !parcel.is_loaded => parcel.hop = Hop::Accepted,
            Err(failure) => {
                if let Failure::Forgotten(_) | Failure::Lacking(_) = failure {
                    // Whatever was said of it before, nobody has it now. The verdict stands.
                    let proven = Proven::Accepted { seal: parcel.seal };
                    step.actions.push(Action::Advance { address: address.clone(), proven });
                }
                self.failed(address, failure, &mut step);
            }
        }
        step
    }

    /// Whether a media server has a drop, as far as its word reaches.
    fn is_held(&self, parcel: &Parcel) -> bool {
        let now = self.environment.clock.now();
        parcel.holder.as_ref().is_some_and(|holder| now.since(holder.at) < HOLDER_PATIENCE)
    }

    /// A drop has arrived, so the way is free for the others of its workload.
    fn succeeded(&mut self, address: &DropAddress) {
        if let Some(retry) = self.retries.get_mut(&address.workload) {
            retry.backoff.succeeded();
            retry.problem = None;
            retry.drops.remove(&place(address));
        }
    }

    /// Asks the holder of a drop again later. That is no failure, and holds up nothing.
    fn wait_for_holder(&mut self, address: &DropAddress, step: &mut Step) {
        let now = self.now();
        let retry = self.retries.entry(address.workload.clone()).or_default();
        retry.backoff.succeeded();
        retry.problem = None;
        let drop = retry.drops.entry(place(address)).or_default();
        drop.problem = None;
        // What is on its way mostly arrives soon, and its arrival is to be heard soon.
        let is_young = drop.asked.failures() < ASKED_OFTEN;
        let pause_max = if is_young { ASKED_AGAIN } else { PAUSE_MAX };
        let first = self.pause.min(ASKED_FIRST);
        drop.asked.failed(now, first, pause_max, &*self.environment.random);
        step.turn = Some(Turn::Overtake);
    }

    /// Remembers where a drop waits, for those who ask.
    fn note_holders(&mut self, address: &DropAddress, names: Vec<String>) {
        let retry = self.retries.entry(address.workload.clone()).or_default();
        let drop = retry.drops.entry(place(address)).or_default();
        if drop.holders != names && !names.is_empty() {
            tracing::info!(drop = %address, "waits at {}", names.join(", "));
        }
        drop.holders = names;
    }

    /// Whether it is time to ask for a drop that waits at a media server.
    pub(crate) fn has_due(&self) -> bool {
        let now = self.now();
        let retries = self.retries.values().filter(|retry| !retry.backoff.is_waiting(now));
        let mut drops = retries.flat_map(|retry| retry.drops.values());
        drops.any(|drop| !drop.holders.is_empty() && !drop.is_waiting(now))
    }

    /// How many drops wait at media servers, and the names of those.
    pub(crate) fn in_transit(&self) -> (u64, Vec<String>) {
        let drops = self.retries.values().flat_map(|retry| retry.drops.values());
        let held: Vec<_> = drops.filter(|drop| !drop.holders.is_empty()).collect();
        let names: BTreeSet<&String> = held.iter().flat_map(|drop| &drop.holders).collect();
        (held.len() as u64, names.into_iter().take(HOLDERS_TOLD).cloned().collect())
    }

    /// Says that a drop has reached `state`.
    fn state(
        &self,
        share: &Share,
        address: &DropAddress,
        state: ReceiptState,
        content: Content,
        step: &mut Step,
    ) {
        let Content { seal, bytes } = content;
        let statement = Statement { seal: Some(seal), size: Some(bytes), ..state.into() };
        match self.scribe.sign(share, address, statement) {
            Ok(receipt) => step.actions.push(Action::Record(Box::new(receipt))),
            Err(reason) => {
                let met = Met::ReceiptUnwritten(address.clone(), state);
                step.problems.push(met.because(reason));
            }
        }
        let proven = match state {
            ReceiptState::Accepted => Proven::Accepted { seal },
            _ => Proven::Shipped { seal, holder: None },
        };
        step.actions.push(Action::Advance { address: address.clone(), proven });
    }

    /// Notes a failure, and how the workload goes on.
    fn failed(&mut self, address: &DropAddress, failure: Failure, step: &mut Step) {
        let now = self.now();
        let random = &*self.environment.random;
        self.failures += u64::from(!matches!(
            failure,
            Failure::Stopped | Failure::Refused(_) | Failure::Waiting(_)
        ));
        let retry = self.retries.entry(address.workload.clone()).or_default();
        let told = |reason: String| format!("{address} is not shipped yet: {reason}");
        let workload = || address.workload.clone();
        let problem = match failure {
            Failure::Stopped => return step.turn = Some(Turn::Stop),
            Failure::Refused(rejection) => {
                step.actions.push(refuse(address, rejection));
                return step.turn = Some(Turn::Next);
            }
            Failure::Unreachable(reason) => {
                step.problems.push(Met::Unreachable.because(reason));
                return step.turn = Some(Turn::Stop);
            }
            Failure::Share(reason) => {
                let drop = retry.drops.entry(place(address)).or_default();
                drop.backoff.failed(now, self.pause, PAUSE_MAX, random);
                let met = Met::DropUnreadable(address.clone());
                let problem = drop.problem.get_or_insert_with(|| met.because(reason));
                step.problems.push(problem.clone());
                return step.turn = Some(drop.turn());
            }
            Failure::Waiting(_) => return self.wait_for_holder(address, step),
            Failure::Lacking(reason) => {
                let drop = retry.drops.entry(place(address)).or_default();
                drop.lacking += 1;
                drop.holders.clear();
                // However often it was asked for, it is on its way anew.
                drop.asked.succeeded();
                drop.backoff.failed(now, self.pause, PAUSE_MAX, random);
                // Media servers may die, and what they had is sent again. Again and again is another matter.
                if drop.lacking >= LACKING_PATIENCE {
                    let text = format!("{reason}, which was sent {} times", drop.lacking);
                    let problem = Met::NotShipped(workload()).because(told(text));
                    step.problems.push(drop.problem.insert(problem).clone());
                } else {
                    tracing::info!(drop = %address, "sent again: {reason}");
                }
                return step.turn = Some(Turn::Overtake);
            }
            Failure::Forgotten(reason) => Met::Forgotten(workload()).because(told(reason)),
            Failure::Workload(reason) => Met::NotShipped(workload()).because(told(reason)),
            Failure::NotLoaded => {
                let reason = "what was read of it is not at hand".to_owned();
                Met::NotShipped(workload()).because(told(reason))
            }
        };
        retry.backoff.failed(now, self.pause, PAUSE_MAX, random);
        step.problems.push(retry.problem.get_or_insert(problem).clone());
        step.turn = Some(Turn::Stop);
    }

    /// Forgets a drop that is done with.
    pub(crate) fn forget(&mut self, address: &DropAddress) {
        if let Some(retry) = self.retries.get_mut(&address.workload) {
            retry.drops.remove(&place(address));
        }
    }

    /// Forgets all drops of a workload but those that were `sighted` just now.
    pub(crate) fn retain(&mut self, workload: &WorkloadName, sighted: &HashSet<Place>) {
        if let Some(retry) = self.retries.get_mut(workload) {
            retry.drops.retain(|place, _| sighted.contains(place));
        }
    }

    fn now(&self) -> Duration {
        self.environment.timer.elapsed()
    }
}

impl DropRetry {
    fn is_waiting(&self, now: Duration) -> bool {
        self.backoff.is_waiting(now) || self.asked.is_waiting(now)
    }

    fn turn(&self) -> Turn {
        let is_given_way =
            self.problem.is_none() || self.backoff.failures() >= READS_BEFORE_OVERTAKING;
        if is_given_way { Turn::Overtake } else { Turn::Stop }
    }
}

fn refuse(address: &DropAddress, rejection: Rejection) -> Action {
    Action::Refuse { address: address.clone(), rejection }
}

#[cfg(test)]
mod tests;
