//! Loads under way, each on a thread of its own, so that a drop that takes long keeps nobody waiting.
//!
//! Every load begins in the quick lane, where the others wait for it, for a moment. One that takes
//! longer goes on in the long lane, beside the others, and its workload is known to take long: its
//! next loads begin there. The long lane has room for one. While nobody else wants it, its load goes
//! on for as long as it takes: nothing is read twice for the sake of turns. If another wants it, its
//! turn ends; it is broken off, what it brought to the destination stays there, and its next turn is
//! twice as long, so that all of them come to their ends.
//!
//! So whoever drops something huge, or something slow, delays others once, by the moment of the
//! quick lane; and other huge drops by a turn.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use outlast_drop::{DropLimits, Share};
use outlast_types::{Environment, WorkloadName};

use crate::Shutdown;
use crate::action::Parcel;
use crate::destination::{Cargo, Content, Failure, Taken};
use crate::line::Line;

/// The first turn in the long lane, if others wait for it. Each next one is twice as long.
const TURN: Duration = Duration::from_secs(600);
const DOUBLINGS_MAX: u32 = 10;
/// Loads that were told to end and have not yet: with as many, none begins.
const ENDING_MAX: usize = 2;
/// How often it is looked whether the time of the quick lane is over.
const LOOK: Duration = Duration::from_millis(20);
/// Workloads of which it is known that they take long.
const LONG_MAX: usize = 10_000;

/// The loads under way.
pub(crate) struct Hauls {
    environment: Environment,
    /// How long the others wait for a load.
    quick: Duration,
    /// The load in the long lane.
    lane: Option<Haul>,
    /// Loads that were told to end, or that have ended and were not collected.
    ending: Vec<Haul>,
    /// Workloads whose loads take long, and how many turns of each were over before its end.
    long: BTreeMap<WorkloadName, u32>,
}

/// One load.
struct Haul {
    share: Share,
    parcel: Parcel,
    began: Duration,
    stop: Shutdown,
    loaded: Receiver<Loaded>,
    thread: JoinHandle<()>,
}

/// A load that has ended.
pub(crate) struct Loaded {
    /// The content, if all of it is known to be as it was sealed.
    pub(crate) content: Option<Content>,
    pub(crate) result: Result<Taken, Failure>,
}

/// The outcome of beginning a load.
pub(crate) enum Begun {
    /// It has ended already.
    Ended(Loaded),
    /// It goes on beside the others.
    GoesOn,
    /// There is no room for it now, or one of its workload is under way.
    Waits,
}

impl Hauls {
    pub(crate) fn new(environment: Environment, quick: Duration) -> Self {
        Self { environment, quick, lane: None, ending: Vec::new(), long: BTreeMap::new() }
    }

    /// Begins to load a drop, and waits a moment for it.
    pub(crate) fn load(
        &mut self,
        line: &Arc<Line>,
        share: &Share,
        parcel: &Parcel,
        limits: DropLimits,
        shutdown: &Shutdown,
    ) -> Begun {
        let workload = &parcel.address.workload;
        let is_long = self.long.contains_key(workload);
        let is_full = self.ending.len() >= ENDING_MAX;
        if self.is_under_way(workload) || is_full || (is_long && !self.make_room()) {
            return Begun::Waits;
        }
        let haul = match self.begin(line, share, parcel, limits, shutdown) {
            Ok(haul) => haul,
            Err(error) => {
                let reason = format!("no thread can be started to read it: {error}");
                let result = Err(Failure::Workload(reason));
                return Begun::Ended(Loaded { content: None, result });
            }
        };
        if is_long {
            self.lane = Some(haul);
            return Begun::GoesOn;
        }
        match self.wait(haul) {
            Ok(loaded) => Begun::Ended(loaded),
            Err(haul) => {
                if self.long.len() < LONG_MAX {
                    self.long.insert(workload.clone(), 0);
                }
                if self.make_room() {
                    self.lane = Some(*haul);
                } else {
                    self.end(*haul);
                }
                Begun::GoesOn
            }
        }
    }

    fn begin(
        &self,
        line: &Arc<Line>,
        share: &Share,
        parcel: &Parcel,
        limits: DropLimits,
        shutdown: &Shutdown,
    ) -> std::io::Result<Haul> {
        let began = self.environment.timer.elapsed();
        let stop = Shutdown::default();
        let (sender, loaded) = sync_channel(1);
        let (line, share, parcel) = (Arc::clone(line), share.clone(), parcel.clone());
        let thread = {
            let (share, address) = (share.clone(), parcel.address.clone());
            let (stop, shutdown) = (stop.clone(), shutdown.clone());
            let span = tracing::Span::current();
            thread::Builder::new().name("load".to_owned()).spawn(move || {
                let _span = span.entered();
                let mut content = None;
                let (share, address, limits) = (&share, &address, &limits);
                let cargo = Cargo { share, address, limits, stop: &stop, shutdown: &shutdown };
                let result = line.load(&cargo, &mut |accepted| content = Some(accepted));
                // Nobody listens any more when the agent has ended.
                let _ = sender.send(Loaded { content, result });
            })?
        };
        Ok(Haul { share, parcel, began, stop, loaded, thread })
    }

    /// Waits for a load as long as the quick lane lasts.
    fn wait(&self, haul: Haul) -> Result<Loaded, Box<Haul>> {
        loop {
            match haul.loaded.recv_timeout(LOOK) {
                Ok(loaded) => return Ok(loaded),
                Err(RecvTimeoutError::Disconnected) => return Ok(haul.broken()),
                Err(RecvTimeoutError::Timeout) => {
                    self.environment.pulse.beat();
                    if self.age(&haul) >= self.quick {
                        return Err(Box::new(haul));
                    }
                }
            }
        }
    }

    /// Whether the long lane is free now; the turn of the load in it may be over.
    fn make_room(&mut self) -> bool {
        let Some(haul) = self.lane.take() else { return true };
        let workload = &haul.parcel.address.workload;
        let turns = self.long.get(workload).copied().unwrap_or(0);
        if haul.is_over() {
            self.ending.push(haul);
            return true;
        }
        if self.age(&haul) < TURN * (1 << turns.min(DOUBLINGS_MAX)) {
            self.lane = Some(haul);
            return false;
        }
        tracing::info!(drop = %haul.parcel.address, "others wait; it goes on in a later turn");
        self.long.insert(workload.clone(), turns.saturating_add(1));
        self.end(haul);
        true
    }

    fn end(&mut self, haul: Haul) {
        haul.stop.request();
        self.ending.push(haul);
    }

    fn age(&self, haul: &Haul) -> Duration {
        self.environment.timer.elapsed().saturating_sub(haul.began)
    }

    fn under_way(&self) -> impl Iterator<Item = &Haul> {
        self.lane.iter().chain(&self.ending)
    }

    /// Whether a drop of a workload is being read beside the others.
    pub(crate) fn is_under_way(&self, workload: &WorkloadName) -> bool {
        self.under_way().any(|haul| haul.parcel.address.workload == *workload)
    }

    /// How many loads are under way beside the others.
    pub(crate) fn count(&self) -> u64 {
        self.under_way().filter(|haul| !haul.is_over()).count() as u64
    }

    /// Whether some have ended that were not collected.
    pub(crate) fn has_ended(&self) -> bool {
        self.under_way().any(Haul::is_over)
    }

    /// Collects the loads that have ended beside the others, each with its share and its drop.
    pub(crate) fn collect(&mut self) -> Vec<(Share, Parcel, Loaded)> {
        let mut ended = Vec::new();
        let lane = self.lane.take();
        for haul in lane.into_iter().chain(std::mem::take(&mut self.ending)) {
            let loaded = match haul.loaded.try_recv() {
                Ok(loaded) => loaded,
                Err(TryRecvError::Empty) => {
                    if haul.stop.is_requested() {
                        self.ending.push(haul);
                    } else {
                        self.lane = Some(haul);
                    }
                    continue;
                }
                Err(TryRecvError::Disconnected) => {
                    haul.broken();
                    continue;
                }
            };
            if loaded.result.is_ok() {
                self.long.remove(&haul.parcel.address.workload);
            }
            ended.push((haul.share, haul.parcel, loaded));
        }
        ended
    }

    /// Waits for all to end, after the agent was asked to.
    pub(crate) fn close(&mut self) {
        for haul in self.lane.take().into_iter().chain(std::mem::take(&mut self.ending)) {
            haul.stop.request();
            // What it did is found at the next start.
            let _ = haul.thread.join();
        }
    }
}

impl Drop for Hauls {
    fn drop(&mut self) {
        self.close();
    }
}

impl Haul {
    /// Whether it has ended, and waits to be collected.
    fn is_over(&self) -> bool {
        self.thread.is_finished()
    }

    /// A load that ended without a result. A panic of it is the agent's, as if there were no other
    /// thread.
    fn broken(self) -> Loaded {
        if let Err(panic) = self.thread.join() {
            std::panic::resume_unwind(panic);
        }
        Loaded { content: None, result: Err(Failure::Stopped) }
    }
}

#[cfg(test)]
mod tests;
