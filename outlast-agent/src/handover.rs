//! The hand-overs of an agent: drops that another backup product reads, beside their way to the vault.
//!
//! Each has a [room](room) of its own with two threads. One takes up each second what commands say, lets go what may go, and
//! shows how things are ([`clerk`]); the other copies drops from the share and lets them appear ([`stager`]). Passes
//! over the share tell both what lies there, and hear from them what became of it.
//!
//! **Nothing here holds up the passes.** A directory may be full, gone, or on a disk that hangs: then nothing appears there, the
//! vault is told, and shipping reads the share. What a pass wants to know of a directory it hears at once, or not now.
//!
//! **The share is read once.** While a drop is being copied, its workload's turn waits for a moment, and shipping reads the
//! copy, whose every byte was proved. A copy condemns nobody: if it cannot be read, the share is.

mod account;
mod clerk;
mod confirmer;
mod door;
mod heard;
mod room;
mod stager;
mod telling;
mod troubles;
mod waiting;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use outlast_drop::{DropAddress, DropLimits, Rejection, Share};
use outlast_types::{ContentHash, Environment, Interrupt, ShareId, Timestamp, WorkloadName};
use outlast_wire::api::{HeardDelivery, REPORT_DELIVERIES_MAX, REPORT_HANDOVERS_MAX};
use outlast_wire::confirmation::Confirmation;
use outlast_wire::receipts::Authority;

use crate::Shutdown;
use crate::board::Handed;
use crate::config::Handover;
use crate::custody::CustodyState;
use crate::seal_keys::SealKeys;
use crate::state::StateDirectory;

pub use confirmer::Asking;
use room::Room;
pub(crate) use telling::Telling;
use troubles::Kind;
use waiting::key_of;

/// How long the end waits for what is under way: a disk may hang, and whatever was begun is found at the next start.
const END_MAX: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(20);
/// So long nothing is asked again of drops of which none may go.
const STAY: Duration = Duration::from_secs(300);
/// Receipts that are written in one pass, of each hand-over.
const TOLD_MAX: usize = 1000;

/// All hand-overs of an agent.
pub(crate) struct Handovers {
    rooms: Vec<Arc<Room>>,
    environment: Environment,
    /// Drops of which the vault has said that none goes for now, and when, by the timer.
    staying: Mutex<BTreeMap<WorkloadName, (Vec<DropAddress>, Duration)>>,
    /// How products are asked, if they are.
    asking: OnceLock<Asking>,
}

/// Threads under way, with their names.
pub(crate) type Threads = Vec<(String, JoinHandle<()>)>;

impl Handovers {
    pub(crate) fn new(
        handovers: &[Handover],
        state: &StateDirectory,
        environment: &Environment,
        authority: &Authority,
        keys: &Arc<SealKeys>,
    ) -> Self {
        let room = |handover: &Handover| {
            let (environment, authority) = (environment.clone(), authority.clone());
            let note = state.note_of_handover(&handover.rules.name);
            Arc::new(Room::new(handover.clone(), note, environment, authority, Arc::clone(keys)))
        };
        let rooms: Vec<Arc<Room>> = handovers.iter().map(room).collect();
        // What one has copied already need not be read from the share again for the next.
        for room in &rooms {
            let others = rooms.iter().filter(|it| !Arc::ptr_eq(it, room)).map(Arc::downgrade);
            room.knows(others.collect());
        }
        let (asking, staying) = (OnceLock::new(), Mutex::default());
        Self { rooms, environment: environment.clone(), staying, asking }
    }

    /// Lets products be asked what they have, where their hand-over says so. Before the work begins.
    pub(crate) fn ask_by(&self, asking: Asking) {
        let _ = self.asking.set(asking);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rooms.is_empty()
    }

    /// Begins the work of all.
    pub(crate) fn start(&self, shutdown: &Shutdown) -> Threads {
        let mut threads = Vec::new();
        for room in &self.rooms {
            room.say_what_is_clear();
            threads.extend(begin(room, shutdown, "clerk", clerk::run));
            threads.extend(begin(room, shutdown, "stager", stager::run));
            if let (Some(confirming), Some(asking)) = (room.confirm, self.asking.get()) {
                let asking = asking.clone();
                let ask = move |room: &Room, stop: &Shutdown| {
                    confirmer::run(room, confirming, &asking, stop);
                };
                threads.extend(begin(room, shutdown, "confirmer", ask));
            }
        }
        threads
    }

    /// Says of threads that ended although nobody asked them to.
    pub(crate) fn look_after(&self, threads: &Threads) {
        if let Some((name, _)) = threads.iter().find(|(_, thread)| thread.is_finished()) {
            let reason = format!(
                "its thread \"{name}\" had ended badly, and nothing is handed over: restart the agent"
            );
            self.rooms
                .iter()
                .filter(|room| name.ends_with(room.name()))
                .for_each(|room| room.trouble(Kind::Thread, Some(reason.clone())));
        }
    }

    /// Waits a moment for threads that were asked to end.
    pub(crate) fn end(&self, threads: Threads) {
        let timer = &self.environment.timer;
        let began = timer.elapsed();
        let is_late = || timer.elapsed().saturating_sub(began) >= END_MAX;
        while threads.iter().any(|(_, thread)| !thread.is_finished()) && !is_late() {
            timer.pause(LOOK, &Interrupt::default());
        }
        for (name, thread) in threads {
            if !thread.is_finished() {
                tracing::warn!("\"{name}\" does not end: its disk may hang; it is not waited for");
            } else if thread.join().is_err() {
                tracing::error!("the thread \"{name}\" had ended badly");
            }
        }
    }

    /// The share that is served now, if one is.
    pub(crate) fn serve(&self, share: Option<&Share>) {
        self.rooms.iter().for_each(|room| room.serve(share));
    }

    /// A pass sees a drop.
    pub(crate) fn see(
        &self,
        address: &DropAddress,
        custody: &CustodyState,
        how: (DropLimits, Option<Timestamp>),
    ) {
        let (seal, is_wanted) = match custody {
            CustodyState::Sealed(seal) | CustodyState::Accepted(seal) => (*seal, true),
            CustodyState::Shipped { seal, .. } => (*seal, false),
            CustodyState::Vaulted(secured) => (secured.seal(), false),
            _ => return self.of(&address.workload).for_each(|room| room.is_none(&key_of(address))),
        };
        let is_wanted = is_wanted && !self.is_instead(&address.workload);
        let (limits, first_seen) = how;
        let candidate = (address, seal, limits, first_seen);
        self.of(&address.workload).for_each(|room| room.see(candidate, is_wanted));
    }

    /// A drop that a pass sees is not to be handed over, and nothing here is against it leaving the share.
    pub(crate) fn exempt(&self, address: &DropAddress) {
        self.of(&address.workload).for_each(|room| room.exempt(&key_of(address)));
    }

    /// A pass is done with a drop for now.
    pub(crate) fn forget(&self, address: &DropAddress) {
        self.of(&address.workload).for_each(|room| room.is_none(&key_of(address)));
    }

    /// Whether drops of a workload are not shipped, since a product is to have them alone.
    pub(crate) fn is_instead(&self, workload: &WorkloadName) -> bool {
        self.of(workload).any(|room| room.rules.instead)
    }

    /// Whether a workload's drops leave the share for a confirmation alone, by the rules of all that are to have them.
    pub(crate) fn frees_alone(&self, workload: &WorkloadName) -> bool {
        self.of(workload).next().is_some()
            && self.of(workload).all(|room| room.rules.frees.wants_no_vault())
    }

    /// Whether a drop lies, or lay, where each product reads that is to have it alone.
    pub(crate) fn has(&self, address: &DropAddress) -> bool {
        let mut alone = self.of(&address.workload).filter(|room| room.rules.instead);
        alone.all(|room| room.has(&key_of(address)))
    }

    /// Why a drop with this seal cannot be taken, if whoever read it found that.
    pub(crate) fn rejection(&self, address: &DropAddress, seal: ContentHash) -> Option<Rejection> {
        self.of(&address.workload).find_map(|room| room.rejection(&key_of(address), seal))
    }

    /// The hand-overs that are to have a drop, if the product of each has it.
    pub(crate) fn confirmed_by(&self, address: &DropAddress) -> Option<Vec<String>> {
        let rooms = self.of(&address.workload);
        let named = |room: &Room| room.confirms(&key_of(address)).then(|| room.name().to_owned());
        rooms.map(named).collect()
    }

    /// Of these drops of a workload, which are all that are confirmed, none goes for now, by the vault's word.
    pub(crate) fn stay(&self, workload: &WorkloadName, drops: Vec<DropAddress>, now: Duration) {
        let mut staying = self.staying.lock().unwrap_or_else(PoisonError::into_inner);
        staying.insert(workload.clone(), (drops, now));
    }

    /// Whether the vault has just said that of the same.
    pub(crate) fn stays<'d>(
        &self,
        workload: &WorkloadName,
        drops: impl Iterator<Item = &'d DropAddress>,
        now: Duration,
    ) -> bool {
        let mut staying = self.staying.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((known, since)) = staying.get(workload) else { return false };
        let known: BTreeSet<&DropAddress> = known.iter().collect();
        let is_same = now.saturating_sub(*since) < STAY && known == drops.collect();
        if !is_same {
            staying.remove(workload);
        }
        is_same
    }

    /// The vault does not know, or not any more, that the products of these hand-overs have a drop; what it once signed.
    pub(crate) fn tell_again<'n>(
        &self,
        address: &DropAddress,
        unknown_to: impl Iterator<Item = &'n str> + Clone,
        signed: &[Confirmation],
    ) {
        for room in self.of(&address.workload) {
            if !unknown_to.clone().any(|name| name == room.name()) {
                continue;
            }
            let signed = signed.iter().find(|it| it.handover == room.name());
            room.tell_again(&key_of(address), signed.map(|it| it.delivery.clone()));
        }
    }

    /// Whether a drop lay there that there was no room to remember: all that are held are to be seen again.
    pub(crate) fn wants_all(&self) -> bool {
        self.rooms.iter().any(|room| room.wants_all())
    }

    /// All that lies on the share was seen.
    pub(crate) fn has_seen_all(&self) {
        self.rooms.iter().for_each(|room| room.has_seen_all());
    }

    /// The workloads of which a drop is just being copied, or will be in a moment, and is to be read from there.
    pub(crate) fn holding(&self) -> BTreeSet<WorkloadName> {
        self.rooms.iter().flat_map(|room| room.holding()).collect()
    }

    /// How often something came of what passes may wait for.
    pub(crate) fn moves(&self) -> u64 {
        self.rooms.iter().map(|room| room.moves()).sum()
    }

    /// A whole copy of a drop on our own disk, if there is one.
    pub(crate) fn copy_of(&self, address: &DropAddress) -> Option<PathBuf> {
        self.of(&address.workload).find_map(|room| room.copy_of(&key_of(address)))
    }

    /// A drop need not be read again.
    pub(crate) fn loaded(&self, address: &DropAddress) {
        self.of(&address.workload).for_each(|room| room.loaded(&key_of(address)));
    }

    /// Whether no hand-over has anything against a drop leaving the share that the vault holds.
    pub(crate) fn let_go(&self, address: &DropAddress) -> bool {
        self.of(&address.workload).all(|room| room.lets_go(&key_of(address)))
    }

    /// What the share is to be told now.
    pub(crate) fn untold(&self, share: ShareId) -> Vec<Telling> {
        let of = |(number, room): (usize, &Arc<Room>)| room.untold(number, share, TOLD_MAX);
        self.rooms.iter().enumerate().flat_map(of).collect()
    }

    /// It was told.
    pub(crate) fn told(&self, telling: &Telling) {
        if let Some(room) = self.rooms.get(telling.room) {
            room.told(telling);
        }
    }

    /// What the vault is to be told of all.
    pub(crate) fn account(&self) -> Handed {
        let mut handed = Handed::default();
        let mut left = REPORT_DELIVERIES_MAX;
        for room in self.rooms.iter().take(REPORT_HANDOVERS_MAX) {
            let account = room.account(left);
            left = left.saturating_sub(account.report.deliveries.len());
            for (workload, drops) in account.unconfirmed {
                handed.unconfirmed.entry(workload).or_default().push(drops);
            }
            handed.reports.push(account.report);
        }
        handed
    }

    /// What the vault has heard.
    pub(crate) fn heard(&self, run: &str, heard: &[HeardDelivery]) {
        self.rooms.iter().for_each(|room| room.hear(run, heard));
    }

    fn of(&self, workload: &WorkloadName) -> impl Iterator<Item = &Room> {
        self.rooms.iter().map(Arc::as_ref).filter(|room| room.rules.takes(workload))
    }
}

/// Begins one work of a hand-over on a thread of its own.
fn begin(
    room: &Arc<Room>,
    shutdown: &Shutdown,
    what: &str,
    work: impl FnOnce(&Room, &Shutdown) + Send + 'static,
) -> Option<(String, JoinHandle<()>)> {
    let name = format!("{what} {}", room.name());
    let (of, stop) = (Arc::clone(room), shutdown.clone());
    // Longer names are cut by the system, in the middle of a letter.
    let thread = thread::Builder::new().name(name.chars().take(15).collect());
    match thread.spawn(move || work(&of, &stop)) {
        Ok(thread) => Some((name, thread)),
        Err(error) => {
            let reason = format!(
                "no thread can be started for it, and nothing is handed over until the agent is restarted: {error}"
            );
            room.trouble(Kind::Thread, Some(reason));
            None
        }
    }
}
