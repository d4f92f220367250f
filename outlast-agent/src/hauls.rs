//! Drops under way, several side by side, each on a thread of its own, and of each workload one.
//!
//! A haul takes its drop as far as it comes in one go: it is read, and what was made of it is handed
//! over. What came of each is news, which the agent hears when it has time; it waits for none that
//! takes long.
//!
//! There is a number of places, and the last of them is for those of whom nothing is known: whatever
//! takes longer than a moment there is known to take long, and its workload's next hauls begin in the
//! other places. While nobody else wants its place, a haul goes on for as long as it takes: nothing is
//! read twice for the sake of turns. If all those places are taken and another workload that takes long
//! wants one, the turn of whoever has had one for longest ends: it is broken off, what it brought to
//! the destination stays there, and its next turn is twice as long, so that all come to their ends.
//!
//! So whoever drops something huge, or something slow, delays others by that moment at most, and
//! other huge drops by a turn; and that only when all places are taken.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use outlast_drop::{DropLimits, Share};
use outlast_types::{Environment, WorkloadName};
use tracing::Span;

use crate::Shutdown;
use crate::action::{Hop, Parcel};
use crate::destination::{Cargo, Content, Delivered, Failure, Taken};
use crate::line::Line;

/// The first turn of a haul that takes long, if others wait for its place. Each next one is twice as
/// long.
const TURN: Duration = Duration::from_secs(600);
const DOUBLINGS_MAX: u32 = 10;
/// How long one wait for news is.
const LOOK: Duration = Duration::from_millis(20);
/// Workloads of which it is known that they take long.
const LONG_MAX: usize = 10_000;
/// One for what takes long, and one for the others.
pub(crate) const PLACES_MIN: usize = 2;
/// News of one haul: that it was loaded, and that it was delivered.
const NEWS_MAX: usize = 2;

/// The hauls under way.
pub(crate) struct Hauls {
    environment: Environment,
    /// A haul that lasts longer takes long.
    quick: Duration,
    places: usize,
    under_way: Vec<Haul>,
    /// Workloads whose hauls take long, and how many turns of each were over before its end.
    long: BTreeMap<WorkloadName, u32>,
    begun: u64,
    tell: SyncSender<Message>,
    told: Receiver<Message>,
    /// How many messages were sent, and how many were heard.
    sent: Arc<AtomicU64>,
    heard: u64,
    /// Those that were heard and not collected.
    came: VecDeque<Message>,
}

/// One haul.
struct Haul {
    number: u64,
    share: Share,
    parcel: Parcel,
    began: Duration,
    stop: Shutdown,
    /// When it was told to end, if it was.
    stopped: Option<Duration>,
    is_loaded: bool,
    /// Under which the log tells of it.
    span: Span,
    thread: JoinHandle<()>,
}

/// A load that has ended.
pub(crate) struct Loaded {
    /// The content, if all of it is known to be as it was sealed.
    pub(crate) content: Option<Content>,
    pub(crate) result: Result<Taken, Failure>,
}

/// The outcome of a hop.
pub(crate) enum News {
    Loaded(Loaded),
    Delivered(Result<Box<Delivered>, Failure>),
}

/// News of a drop, which is not under way any more if they are the last.
pub(crate) struct Arrival {
    pub(crate) share: Share,
    pub(crate) parcel: Parcel,
    pub(crate) news: News,
    pub(crate) is_last: bool,
    /// Under which the log tells of the drop.
    pub(crate) span: Span,
}

/// News on their way. None is what somebody leaves behind who broke.
struct Message {
    haul: u64,
    news: Option<News>,
    is_last: bool,
}

impl Hauls {
    /// So many at a time, of which each is `quick` that lasts no longer.
    pub(crate) fn new(environment: Environment, quick: Duration, places: usize) -> Self {
        let places = places.max(PLACES_MIN);
        // Room for all that can be on its way, so that no haul waits for who hears of it.
        let (tell, told) = sync_channel(places * (NEWS_MAX + 1));
        Self {
            environment,
            quick,
            places,
            under_way: Vec::new(),
            long: BTreeMap::new(),
            begun: 0,
            tell,
            told,
            sent: Arc::default(),
            heard: 0,
            came: VecDeque::new(),
        }
    }

    /// Whether a haul of a workload can begin now.
    pub(crate) fn takes(&self, workload: &WorkloadName) -> bool {
        if self.under_way.len() >= self.places || self.is_under_way(workload) {
            return false;
        }
        !self.long.contains_key(workload) || self.long_ones().count() + 1 < self.places
    }

    /// Begins to carry a drop, from the hop to which it has come. There must be a place for it.
    pub(crate) fn begin(
        &mut self,
        line: &Arc<Line>,
        share: &Share,
        parcel: Parcel,
        limits: DropLimits,
        shutdown: &Shutdown,
    ) -> std::io::Result<()> {
        let (began, number) = (self.environment.timer.elapsed(), self.begun);
        let stop = Shutdown::default();
        let span = Span::current();
        let thread = {
            let span = span.clone();
            let (line, share, parcel) = (Arc::clone(line), share.clone(), parcel.clone());
            let (stop, shutdown) = (stop.clone(), shutdown.clone());
            let (tell, sent) = (self.tell.clone(), Arc::clone(&self.sent));
            let teller = Teller { haul: number, tell, sent, has_ended: false };
            thread::Builder::new().name("haul".to_owned()).spawn(move || {
                let _span = span.entered();
                let (share, address, limits) = (&share, &parcel.address, &limits);
                let (first_seen, stop, shutdown) = (parcel.first_seen, &stop, &shutdown);
                let copy = parcel.copy.as_deref().map(|path| (path, parcel.seal));
                let cargo = Cargo { share, address, copy, first_seen, limits, stop, shutdown };
                carry(&line, &cargo, &parcel, teller);
            })?
        };
        self.begun += 1;
        let (share, stopped, is_loaded) = (share.clone(), None, parcel.hop == Hop::Shipped);
        let haul = Haul { number, share, parcel, began, stop, stopped, is_loaded, span, thread };
        self.under_way.push(haul);
        Ok(())
    }

    /// Waits a moment for news of hauls that are quick so far; `false` if there is none of these.
    pub(crate) fn wait(&mut self) -> bool {
        self.note_long();
        let now = self.environment.timer.elapsed();
        // One that ends because it was told to is waited for just as long.
        let is_awaited = |haul: &Haul| match haul.stopped {
            Some(stopped) => now.saturating_sub(stopped) < self.quick,
            None => !self.long.contains_key(&haul.parcel.address.workload),
        };
        if !self.under_way.iter().any(is_awaited) {
            return false;
        }
        if let Ok(message) = self.told.recv_timeout(LOOK) {
            self.hear(message);
        }
        true
    }

    /// Makes room for workloads that wait: for one that takes long, and for one of which that is not
    /// known.
    pub(crate) fn make_room(&mut self, long_waits: bool, other_waits: bool) {
        self.note_long();
        let now = self.environment.timer.elapsed();
        let since = |began: Duration| now.saturating_sub(began);
        // Whoever ends makes room already; but one that does not hear keeps nobody waiting for ever.
        let ends = |haul: &Haul| haul.stopped.is_some_and(|stopped| since(stopped) < self.quick);
        let long = self.long_ones().count();
        if long + 1 < self.places || self.under_way.iter().any(ends) {
            return;
        }
        let turn = |haul: &Haul| {
            let turns = self.long.get(&haul.parcel.address.workload).copied().unwrap_or(0);
            TURN * (1 << turns.min(DOUBLINGS_MAX))
        };
        let going = || self.long_ones().filter(|(_, haul)| haul.stopped.is_none());
        let over = going().filter(|(_, haul)| since(haul.began) >= turn(haul));
        let over = over.max_by_key(|(_, haul)| since(haul.began)).map(|(position, _)| position);
        // The last place is for others: whoever turned out to take long there begins again in a turn.
        let last = || going().max_by_key(|(_, haul)| (haul.began, haul.number));
        let is_crowded = long == self.places && other_waits;
        if let Some(position) = over.filter(|_| long_waits || is_crowded) {
            let workload = self.under_way[position].parcel.address.workload.clone();
            let turns = self.long.get(&workload).copied().unwrap_or(0);
            self.long.insert(workload, turns.saturating_add(1));
            self.end(position, now);
        } else if let Some((position, _)) = last().filter(|_| is_crowded) {
            self.end(position, now);
        }
    }

    fn end(&mut self, position: usize, now: Duration) {
        let haul = &mut self.under_way[position];
        tracing::info!(drop = %haul.parcel.address, "others wait; it goes on in a later turn");
        haul.stop.request();
        haul.stopped = Some(now);
    }

    /// Notes the workloads whose hauls turn out to take long.
    fn note_long(&mut self) {
        let now = self.environment.timer.elapsed();
        for haul in &self.under_way {
            let workload = &haul.parcel.address.workload;
            let is_long = now.saturating_sub(haul.began) >= self.quick;
            if is_long && !self.long.contains_key(workload) && self.long.len() < LONG_MAX {
                self.long.insert(workload.clone(), 0);
            }
        }
    }

    fn long_ones(&self) -> impl Iterator<Item = (usize, &Haul)> {
        let is_long = |haul: &Haul| self.long.contains_key(&haul.parcel.address.workload);
        self.under_way.iter().enumerate().filter(move |(_, haul)| is_long(haul))
    }

    /// Whether a workload is known to take long.
    pub(crate) fn is_long(&self, workload: &WorkloadName) -> bool {
        self.long.contains_key(workload)
    }

    /// Whether a drop of a workload is under way.
    pub(crate) fn is_under_way(&self, workload: &WorkloadName) -> bool {
        self.under_way.iter().any(|haul| haul.parcel.address.workload == *workload)
    }

    /// How many are under way.
    pub(crate) fn count(&self) -> u64 {
        self.under_way.iter().filter(|haul| !haul.thread.is_finished()).count() as u64
    }

    /// Whether there are news that were not collected.
    pub(crate) fn has_news(&self) -> bool {
        self.sent.load(Ordering::Acquire) != self.heard || !self.came.is_empty()
    }

    /// Collects one piece of news after the other, until there are no more.
    pub(crate) fn collect(&mut self) -> Option<Arrival> {
        loop {
            let message = match self.came.pop_front() {
                Some(message) => message,
                None => {
                    let message = self.told.try_recv().ok()?;
                    self.hear(message);
                    continue;
                }
            };
            let is_it = |haul: &Haul| haul.number == message.haul;
            let Some(position) = self.under_way.iter().position(is_it) else { continue };
            let haul = &mut self.under_way[position];
            haul.is_loaded |= message.news.as_ref().is_some_and(News::is_success);
            if !message.is_last {
                let (share, parcel) = (haul.share.clone(), haul.parcel.clone());
                let span = haul.span.clone();
                let Some(news) = message.news else { continue };
                return Some(Arrival { share, parcel, news, is_last: false, span });
            }
            let Haul { share, parcel, is_loaded, span, thread, .. } =
                self.under_way.swap_remove(position);
            // A panic of it is the agent's, as if there were no other thread.
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
            if is_loaded {
                self.long.remove(&parcel.address.workload);
            }
            let news = message.news.unwrap_or(News::Delivered(Err(Failure::Stopped)));
            return Some(Arrival { share, parcel, news, is_last: true, span });
        }
    }

    fn hear(&mut self, message: Message) {
        self.heard += 1;
        self.came.push_back(message);
    }

    /// A drop that is under way has come a hop further.
    pub(crate) fn advance(&mut self, parcel: &Parcel) {
        let is_it = |haul: &&mut Haul| haul.parcel.address == parcel.address;
        if let Some(haul) = self.under_way.iter_mut().find(is_it) {
            haul.parcel = parcel.clone();
        }
    }

    /// Waits for all to end, after the agent was asked to.
    pub(crate) fn close(&mut self) {
        let under_way = std::mem::take(&mut self.under_way);
        under_way.iter().for_each(|haul| haul.stop.request());
        for haul in under_way {
            // What it did is found at the next start.
            let _ = haul.thread.join();
        }
        while self.collect().is_some() {}
    }
}

impl Drop for Hauls {
    fn drop(&mut self) {
        self.close();
    }
}

impl News {
    fn is_success(&self) -> bool {
        match self {
            Self::Loaded(loaded) => loaded.result.is_ok(),
            Self::Delivered(delivered) => delivered.is_ok(),
        }
    }
}

/// Carries a drop as far as it comes.
fn carry(line: &Line, cargo: &Cargo<'_>, parcel: &Parcel, mut teller: Teller) {
    let mut seal = parcel.seal;
    if parcel.hop < Hop::Shipped {
        let mut content = None;
        let result = line.load(cargo, &mut |accepted| content = Some(accepted));
        let goes_on = content.filter(|_| result.is_ok());
        teller.tell(News::Loaded(Loaded { content, result }), goes_on.is_none());
        let Some(content) = goes_on else { return };
        seal = content.seal;
    }
    let delivered = match cargo.shutdown.is_requested() {
        true => Err(Failure::Stopped),
        false => line.deliver(cargo, seal),
    };
    teller.tell(News::Delivered(delivered.map(Box::new)), true);
}

/// Tells what came of a haul; also that it broke.
struct Teller {
    haul: u64,
    tell: SyncSender<Message>,
    sent: Arc<AtomicU64>,
    has_ended: bool,
}

impl Teller {
    fn tell(&mut self, news: News, is_last: bool) {
        self.has_ended = is_last;
        self.send(Some(news), is_last);
    }

    fn send(&self, news: Option<News>, is_last: bool) {
        self.sent.fetch_add(1, Ordering::Release);
        // Nobody listens any more when the agent has ended.
        let _ = self.tell.send(Message { haul: self.haul, news, is_last });
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        if !self.has_ended {
            self.send(None, true);
        }
    }
}

#[cfg(test)]
mod tests;
