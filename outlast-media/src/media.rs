//! A media server: all that its doors and its threads share.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use outlast_spool::{Item, Room, Spool};
use outlast_types::{DropId, Environment, Pulse, Timestamp, WorkloadName, hex};
use outlast_wire::api::{MEDIA_SHIPMENTS_MAX, MediaState, Pending, SHIPMENT_IDLE_MAX, Waiting};
use outlast_wire::{ApiClient, CallError, Credentials, IdentityHandle, Roads, Trust};

use crate::answers::Answers;
use crate::cache::Cache;
use crate::config::{MediaConfig, MediaLimits};
use crate::error::MediaError;
use crate::export::spool_of;
use crate::files::age;
use crate::line::Line;
use crate::link::Link;
use crate::mode::{KeptMode, Mode};
use crate::queue::Queue;
use crate::restores::Restores;
use crate::tally::Tallies;
use crate::tickets::Tickets;
use crate::words::{Shipment, Word, Words};

/// How many of what was refused or dropped are remembered to be told.
const LOSSES_MAX: usize = 20;
/// What was refused is told for so long.
const TELL_LOSSES: Duration = Duration::from_secs(24 * 3600);
/// Shipments that ended are remembered, as long as something of them may be on its way.
const ENDED_MAX: usize = 1000;
/// That the disk takes nothing is told for so long after it was tried: agents try again long before.
const TELL_DISK: Duration = Duration::from_secs(15 * 60);
/// Words that are handed in at one time.
const WORDS_AT_ONCE: usize = 100;

/// What a media server is.
pub(crate) struct Media {
    pub(crate) environment: Environment,
    pub(crate) identity: IdentityHandle,
    pub(crate) trust: Trust,
    pub(crate) spool: Arc<Spool>,
    pub(crate) link: Link,
    pub(crate) tickets: Tickets,
    pub(crate) answers: Answers,
    pub(crate) words: Words,
    pub(crate) tallies: Tallies,
    pub(crate) cache: Cache,
    pub(crate) line: Arc<Line>,
    pub(crate) restores: Restores,
    pub(crate) queue: Queue,
    pub(crate) counters: Counters,
    /// Beaten whenever the vault was heard.
    pub(crate) vault_heard: Pulse,
    mode: KeptMode,
    room: Mutex<Room>,
    losses: Mutex<VecDeque<Loss>>,
    /// Shipments that ended at the vault, the newest of them, with when that was known here.
    ended: Mutex<VecDeque<(Shipment, Timestamp)>>,
    /// How many of the shipments that wait were named to the vault in this round.
    named: AtomicUsize,
    /// Why the spool's disk took nothing when it was last tried.
    disk: Mutex<Option<Loss>>,
    /// Names this process.
    run: String,
}

/// What was counted since the start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) taken: AtomicU64,
    pub(crate) taken_bytes: AtomicU64,
    pub(crate) forwarded: AtomicU64,
    pub(crate) forwarded_bytes: AtomicU64,
    /// Those that the vault had already.
    pub(crate) known: AtomicU64,
    /// Those that the vault will never take.
    pub(crate) refused: AtomicU64,
    /// Those of shipments that were cancelled, or of which nothing came any more.
    pub(crate) dropped: AtomicU64,
    /// Those that were damaged in the spool, or vanished from it.
    pub(crate) spoiled: AtomicU64,
    /// Those that found no room.
    pub(crate) turned_away: AtomicU64,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64, more: u64) {
        counter.fetch_add(more, Ordering::Relaxed);
    }
}

/// What left the spool and did not reach the vault.
#[derive(Debug, Clone)]
struct Loss {
    at: Timestamp,
    text: String,
}

impl Media {
    pub(crate) fn open(
        config: &MediaConfig,
        identity: IdentityHandle,
        environment: Environment,
    ) -> Result<Self, MediaError> {
        let dir = &config.dir;
        let trust = Trust::new(&identity, &environment.clock);
        let now = environment.clock.now();
        let MediaLimits { room, cache, calendar, restores } = config.limits.clone();
        let spool = Spool::open(&spool_of(dir), room, environment.clone())?;
        let roads = Roads::through(config.proxies.clone());
        let client = ApiClient::over(&config.upstream, Credentials::Handle(&identity), &roads)?;
        let mut run = [0; 16];
        environment.random.fill(&mut run);
        let queue = Queue::new(config.streams);
        spool.waiting().iter().for_each(|(workload, _)| queue.wake(workload));
        Ok(Self {
            link: Link::new(client, &environment),
            tickets: Tickets::open(dir, &identity, &trust, &environment)?,
            answers: Answers::open(dir, &trust, &environment)?,
            words: Words::open(dir, now)?,
            tallies: Tallies::open(dir)?,
            cache: Cache::open(dir, cache)?,
            line: Arc::new(Line::new(calendar, &environment)),
            restores: Restores::new(restores, &environment),
            queue,
            counters: Counters::default(),
            vault_heard: Pulse::default(),
            mode: KeptMode::open(dir)?,
            room: Mutex::new(room),
            losses: Mutex::default(),
            ended: Mutex::default(),
            named: AtomicUsize::new(0),
            disk: Mutex::default(),
            run: hex::encode(&run),
            environment,
            identity,
            trust,
            spool,
        })
    }

    /// What may change while it is at work, from now on.
    pub(crate) fn set_limits(&self, limits: MediaLimits) {
        let MediaLimits { room, cache, calendar, restores } = limits;
        self.spool.set_room(room);
        *lock(&self.room) = room;
        self.cache.set_max(cache);
        self.line.set_calendar(calendar);
        self.restores.set_rate(restores);
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.environment.clock.now()
    }

    pub(crate) fn run(&self) -> &str {
        &self.run
    }

    pub(crate) fn room(&self) -> Room {
        *lock(&self.room)
    }

    /// As others know it: the name in its certificate.
    pub(crate) fn name(&self) -> String {
        self.identity.get().peer().name().to_owned()
    }

    /// What operators told it.
    pub(crate) fn mode(&self) -> Mode {
        self.mode.get(self.now())
    }

    pub(crate) fn set_mode(&self, mode: Mode) -> Result<(), MediaError> {
        tracing::info!(?mode, "told what to do with what comes");
        self.mode.set(mode)
    }

    /// What it does with what comes.
    pub(crate) fn state(&self) -> MediaState {
        match self.mode() {
            Mode::Taking => MediaState::Taking,
            Mode::Maintenance { .. } => MediaState::Maintenance,
            Mode::Draining if self.spool.usage().items > 0 => MediaState::Draining,
            // Words that nobody heard would be lost, too.
            Mode::Draining if !self.words.untold(1).is_empty() => MediaState::Draining,
            Mode::Draining => MediaState::Drained,
        }
    }

    /// An object is in the spool, durably, or was there before.
    pub(crate) fn took(
        &self,
        workload: &WorkloadName,
        shipment: Option<DropId>,
        name: [u8; 32],
        size: u64,
    ) {
        if let Some(drop) = shipment {
            let shipment = (workload.clone(), drop);
            self.tallies.took(&self.spool, &shipment, name, size);
            self.words.heard_of(&shipment, self.now());
        }
        self.queue.wake(workload);
    }

    /// What left the spool and will not come to the vault by itself: counted, logged and reported.
    pub(crate) fn lost(&self, text: String) {
        tracing::warn!("{text}");
        let mut losses = lock(&self.losses);
        if losses.len() >= LOSSES_MAX {
            losses.pop_front();
        }
        losses.push_back(Loss { at: self.now(), text });
    }

    /// What the spool's disk said when something was to be stored.
    pub(crate) fn tried_disk(&self, result: Result<(), &std::io::Error>) {
        let trouble = |error: &std::io::Error| Loss { at: self.now(), text: error.to_string() };
        *lock(&self.disk) = result.err().map(trouble);
    }

    /// What keeps it from its work although the vault can be reached, in whole sentences.
    pub(crate) fn problems(&self) -> Vec<String> {
        let now = self.now();
        let mut problems = Vec::new();
        let (usage, room) = (self.spool.usage(), self.room());
        let for_packs = room.total.saturating_sub(room.reserve());
        if usage.bytes >= for_packs.saturating_sub(for_packs / 50) {
            // In words that stay the same, since the vault tells what is another.
            problems.push("the spool is full, and agents are told to come later".to_owned());
        }
        if let Some(disk) = lock(&self.disk).as_ref().filter(|it| now.since(it.at) < TELL_DISK) {
            let text = "the spool's disk takes nothing, and agents are told to come later";
            problems.push(format!("{text}: {}", disk.text));
        }
        problems.extend(self.queue.problems(self.environment.timer.elapsed()));
        let losses = lock(&self.losses);
        let told = losses.iter().rev().filter(|loss| now.since(loss.at) < TELL_LOSSES);
        problems.extend(told.map(|loss| format!("{}: {}", loss.at, loss.text)));
        problems
    }

    /// What waits here of a workload, for an agent whose vault is away.
    pub(crate) fn waits(&self, workload: &WorkloadName) -> Pending {
        let usage = self.spool.usage_by_workload().get(workload).copied().unwrap_or_default();
        let (media, spool) = (self.name(), self.spool.id());
        let waiting = vec![Waiting { media, spool, objects: usage.items }];
        Pending { by_vault: false, waiting, ..Pending::default() }
    }

    /// Drops what waits of a shipment that nobody wants any more.
    pub(crate) fn drop_shipment(&self, shipment: &Shipment, why: &str) {
        let items = self.spool.of_shipment(&shipment.0, Some(shipment.1));
        self.tallies.forget(shipment);
        self.drop_items(&items, &format!("drop {} of {}", shipment.1, shipment.0), why);
    }

    /// The vault has published a drop.
    pub(crate) fn published(&self, shipment: &Shipment) {
        self.words.forget(shipment);
        self.tallies.forget(shipment);
        self.ended(shipment, self.now());
    }

    /// A shipment was over at the vault at `known`: published or cancelled, through whichever media server. What
    /// came of it before then nobody needs: it is of an attempt that something else has replaced, and an index
    /// would wait for packs that nobody sends any more.
    pub(crate) fn ended(&self, shipment: &Shipment, known: Timestamp) {
        {
            let mut ended = lock(&self.ended);
            if ended.len() >= ENDED_MAX {
                ended.pop_front();
            }
            ended.push_back((shipment.clone(), known));
        }
        let mut items = self.spool.of_shipment(&shipment.0, Some(shipment.1));
        // The vault may have just taken what is on the line.
        items.retain(|item| item.arrival.at() <= known && !self.queue.is_on_the_line(item));
        self.drop_superseded(&items, shipment);
    }

    /// Drops an item if its shipment was over when it had come; whether it was.
    pub(crate) fn is_superseded(&self, item: &Item) -> bool {
        let Some(drop) = item.shipment else { return false };
        let shipment = (item.key.workload.clone(), drop);
        let is_of_it = |(ended, known): &(Shipment, Timestamp)| {
            *ended == shipment && item.arrival.at() <= *known
        };
        let is_superseded = lock(&self.ended).iter().any(is_of_it);
        if is_superseded {
            self.drop_superseded(std::slice::from_ref(item), &shipment);
        }
        is_superseded
    }

    fn drop_superseded(&self, items: &[Item], (workload, drop): &Shipment) {
        self.drop_items(items, &format!("drop {drop} of {workload}"), "it is over at the vault");
    }

    /// Some of the shipments of which something waits, others each time: the vault is asked whether they are over.
    pub(crate) fn to_be_named(&self) -> Vec<Shipment> {
        let all: Vec<Shipment> = self.spool.shipments().into_keys().collect();
        let from = self.named.load(Ordering::Relaxed);
        let from = if from < all.len() { from } else { 0 };
        let named: Vec<Shipment> = all.into_iter().skip(from).take(MEDIA_SHIPMENTS_MAX).collect();
        self.named.store(from + named.len(), Ordering::Relaxed);
        named
    }

    fn drop_items(&self, items: &[Item], of: &str, why: &str) {
        let mut bytes = 0;
        for item in items {
            if let Err(error) = self.spool.remove(item) {
                tracing::error!(%error, "cannot drop what nobody wants");
                return;
            }
            bytes += item.size;
        }
        if items.is_empty() {
            return;
        }
        Counters::add(&self.counters.dropped, items.len() as u64);
        // Nobody is to do anything about it, so it is no problem.
        tracing::info!(objects = items.len(), bytes, of, why, "dropped what nobody wants");
    }

    /// Hands in what agents said while the vault was away, in the order in which shipments are named.
    pub(crate) fn hand_in_words(&self) {
        for (shipment, word, words) in self.words.untold(WORDS_AT_ONCE) {
            let carried = self.link.call(|client| match word {
                Word::Begin => client.carry_begin(&words),
                Word::Cancel => client.carry_cancel(&words),
            });
            match carried {
                Ok(Ok(_)) => self.words.told(&shipment, word),
                Ok(Err(error @ CallError::Refused { .. })) => {
                    let (workload, drop) = &shipment;
                    tracing::warn!(%workload, %drop, %error, "the vault does not hear what was said");
                    self.words.told(&shipment, word);
                }
                // Later.
                Ok(Err(_)) | Err(_) => return,
            }
        }
    }

    /// What is done now and then: what is over is let go.
    pub(crate) fn tidy(&self) {
        let now = self.now();
        for (shipment, shipped) in self.spool.shipments() {
            if now.since(shipped.last) > SHIPMENT_IDLE_MAX {
                let days = SHIPMENT_IDLE_MAX.as_secs() / 86_400;
                self.drop_shipment(&shipment, &format!("nothing of it came for {days} days"));
            }
        }
        for (workload, _) in self.spool.waiting() {
            let mut items = self.spool.of_shipment(&workload, None);
            items.retain(|item| now.since(item.arrival.at()) > SHIPMENT_IDLE_MAX);
            let of = format!("{workload} that came for no drop");
            self.drop_items(&items, &of, "they waited for 14 days");
        }
        self.words.tidy(now, SHIPMENT_IDLE_MAX);
        let waiting = self.spool.usage_by_workload();
        self.tickets.tidy(|workload| waiting.contains_key(workload));
        let is_over = |_: &Shipment, path: &std::path::Path| {
            age(path, now).is_some_and(|age| age > SHIPMENT_IDLE_MAX)
        };
        let tidied = self.tallies.tidy(is_over).and_then(|()| self.answers.tidy());
        if let Err(error) = tidied {
            tracing::warn!(%error, "cannot tidy up");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
