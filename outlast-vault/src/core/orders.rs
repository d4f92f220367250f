//! What operators ordered: one line each, appended and never changed.
//!
//! An order that silences a promise or begins a repository anew must outlive the catalog, which may be
//! lost and rebuilt (I6), and must be there to be shown. So it is on disk before it is carried out.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, PoisonError};

use outlast_promise::Event;
use outlast_types::{ContentHash, Day, DropId, ShareId, Timestamp, WorkloadName};
use serde::{Deserialize, Serialize};

use super::audit;
use super::error::VaultError;
use super::former::FormerNames;
use super::storage::{Durability, Storage, StorageError};

const VERSION: u32 = 4;
/// What was there before workloads were renamed.
const VERSION_OF_DESTROYED: u32 = 3;
/// What was there before repositories of retired workloads were destroyed.
const VERSION_OF_ACCEPTED: u32 = 2;
/// What was there before drops were accepted; such orders are written so.
const VERSION_OF_OTHERS: u32 = 1;
const KEY: &str = "orders.jsonl";
/// A log that is longer was not written by orders of people.
const BYTES_MAX: u64 = 64 << 20;

/// What is to be done with a workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "lowercase")]
pub(crate) enum Action {
    /// Its repository is missing for good, and is begun anew.
    Recreate { snapshots_forgotten: u64 },
    /// It is retired, nothing of it is kept any more, and its repository goes.
    Destroy { snapshots_forgotten: u64 },
    /// Nobody is paged for its recovery point before `until`.
    Pause { until: Timestamp },
    /// It will drop no more. Until `until`, drops that are still under way are no surprise.
    Retire { until: Timestamp },
    /// Its promise counts again.
    Resume,
    /// It is called `to`, and its name of before is taken for it until then.
    Rename { to: WorkloadName, until: Timestamp },
    /// A drop is a backup, whatever it looks like: one that the vault `received`, the one in quarantine at
    /// `place`, or with neither of them, one that only a backup product has.
    Accept {
        drop: DropId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        received: Option<Timestamp>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        place: Option<Place>,
    },
}

/// Which drop lies in quarantine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) share: ShareId,
    pub(crate) day: Day,
    pub(crate) seal: ContentHash,
}

impl Action {
    /// As a command names it.
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Recreate { .. } => "recreate",
            Self::Destroy { .. } => "destroy",
            Self::Pause { .. } => "pause",
            Self::Retire { .. } => "retire",
            Self::Resume => "resume",
            Self::Rename { .. } => "rename",
            Self::Accept { .. } => "accept",
        }
    }
}

/// One order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Order {
    version: u32,
    /// Counts up from 1.
    pub(crate) number: u64,
    /// By the vault's clock.
    pub(crate) at: Timestamp,
    /// Whose certificate it came with: `operator up`.
    pub(crate) by: String,
    pub(crate) workload: WorkloadName,
    pub(crate) reason: Option<String>,
    #[serde(flatten)]
    pub(crate) action: Action,
}

impl Order {
    /// As the audit log tells it.
    pub(crate) fn entry(&self) -> audit::Event {
        let event = audit::Event::by_name(self.by.clone(), audit::AuditAction::Ordered)
            .workload(&self.workload)
            .detail("order", self.action.as_str())
            .detail("number", self.number)
            .detail("ordered_at", self.at);
        let event = match &self.action {
            Action::Recreate { snapshots_forgotten } | Action::Destroy { snapshots_forgotten } => {
                event.detail("snapshots_forgotten", *snapshots_forgotten)
            }
            Action::Pause { until } | Action::Retire { until } => event.detail("until", *until),
            Action::Resume => event,
            Action::Rename { to, until } => event.detail("to", to).detail("until", *until),
            Action::Accept { drop, place, .. } => match place {
                Some(place) => event.object(drop).detail("seal", place.seal),
                None => event.object(drop),
            },
        };
        match &self.reason {
            Some(reason) => event.detail("reason", reason),
            None => event,
        }
    }

    /// Whether it takes this drop for a recovery point.
    pub(crate) fn accepts(&self, drop: DropId) -> bool {
        matches!(self.action, Action::Accept { drop: of, .. } if of == drop)
    }

    /// As the promise ledger hears it.
    pub(crate) fn event(&self) -> Event {
        self.event_by(&FormerNames::default())
    }

    /// The same where workloads are known by the names that they have now.
    pub(crate) fn event_by(&self, names: &FormerNames) -> Event {
        let (number, workload) = (self.number, names.present(&self.workload).clone());
        let order = match self.action {
            Action::Rename { ref to, .. } => {
                return Event::Renamed { number, workload, to: names.present(to).clone() };
            }
            Action::Recreate { .. } | Action::Destroy { .. } => {
                outlast_promise::Order::Recreate { at: self.at }
            }
            Action::Pause { until } => outlast_promise::Order::Pause { until },
            Action::Retire { until } => outlast_promise::Order::Retire { at: self.at, until },
            Action::Resume => outlast_promise::Order::Resume,
            Action::Accept { drop, received: None, place: None } => {
                outlast_promise::Order::AcceptHanded { drop }
            }
            Action::Accept { drop, received, .. } => {
                outlast_promise::Order::Accept { drop, received }
            }
        };
        Event::Ordered { number, workload, order }
    }
}

/// An order before it is written down.
pub(crate) struct NewOrder<'a> {
    pub(crate) at: Timestamp,
    pub(crate) by: &'a str,
    pub(crate) workload: &'a WorkloadName,
    pub(crate) reason: Option<&'a str>,
    pub(crate) action: Action,
}

/// All orders of a vault.
pub(crate) struct Orders {
    storage: Storage,
    state: Mutex<State>,
}

struct State {
    known: Vec<Order>,
    /// Where the next order goes: behind the last whole line.
    end: u64,
}

impl Orders {
    pub(crate) fn open(storage: &Storage) -> Result<Self, VaultError> {
        let cannot = |action| StorageError::of(&**storage, action, KEY);
        let content = storage.read(KEY, BYTES_MAX).map_err(cannot("open"))?.unwrap_or_default();
        let invalid = |reason: String| {
            cannot("understand")(io::Error::new(io::ErrorKind::InvalidData, reason))
        };
        let mut known = Vec::new();
        let mut end = 0;
        for (number, line) in (1..).zip(content.split_inclusive(|byte| *byte == b'\n')) {
            let is_whole = line.ends_with(b"\n");
            let text = line.strip_suffix(b"\n").unwrap_or(line);
            match serde_json::from_slice::<Order>(text) {
                _ if text.is_empty() => {}
                Ok(order) if order.version <= VERSION => known.push(order),
                Ok(Order { version, .. }) => {
                    let text = format!("an order of version {version} is newer than this program");
                    return Err(invalid(text).into());
                }
                // It was not carried out, and whoever gave it was not told that it was.
                Err(error) if error.is_eof() => {
                    tracing::warn!(file = KEY, number, "an order was cut off by a crash");
                }
                Err(error) => {
                    return Err(invalid(format!("line {number} is not an order: {error}")).into());
                }
            }
            if is_whole {
                end += line.len() as u64;
            }
        }
        let orders =
            Self { storage: Storage::clone(storage), state: Mutex::new(State { known, end }) };
        orders.end_last_line(&content)?;
        Ok(orders)
    }

    /// Two orders must not become one line: the last writer may have been killed in the midst of
    /// one, or right before its end.
    fn end_last_line(&self, content: &[u8]) -> Result<(), VaultError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let length = content.len() as u64;
        if state.end < length {
            self.write(length, b"\n")?;
            state.end = length + 1;
        }
        Ok(())
    }

    fn write(&self, at: u64, content: &[u8]) -> Result<(), StorageError> {
        let written = self.storage.append(KEY, at, content, Durability::Durable);
        written.map_err(StorageError::of(&*self.storage, "write", KEY))
    }

    /// Writes an order down. It is on disk when this returns.
    pub(crate) fn append(&self, new: NewOrder<'_>) -> Result<Order, VaultError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let order = Order {
            version: match new.action {
                Action::Rename { .. } => VERSION,
                Action::Destroy { .. } => VERSION_OF_DESTROYED,
                Action::Accept { .. } => VERSION_OF_ACCEPTED,
                _ => VERSION_OF_OTHERS,
            },
            number: state.known.last().map_or(1, |last| last.number + 1),
            at: new.at,
            by: new.by.to_owned(),
            workload: new.workload.clone(),
            reason: new.reason.map(str::to_owned),
            action: new.action,
        };
        let mut line = serde_json::to_vec(&order)
            .map_err(|error| StorageError::of(&*self.storage, "write", KEY)(error.into()))?;
        line.push(b'\n');
        // What an append that failed may have left there is written over.
        self.write(state.end, &line)?;
        state.end += line.len() as u64;
        tracing::warn!(
            number = order.number, by = order.by, workload = %order.workload,
            reason = order.reason, "an operator orders: {}", order.action.as_str()
        );
        state.known.push(order.clone());
        Ok(order)
    }

    /// The names that workloads had before.
    pub(crate) fn former(&self) -> FormerNames {
        let mut names = FormerNames::default();
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for order in &state.known {
            if let Action::Rename { to, until } = &order.action {
                names.rename(&order.workload, to, *until);
            }
        }
        names
    }

    /// The number of the last one.
    pub(crate) fn last(&self) -> u64 {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.known.last().map_or(0, |order| order.number)
    }

    /// Whether an operator has accepted a drop.
    pub(crate) fn has_accepted(&self, workload: &WorkloadName, drop: DropId) -> bool {
        let names = self.former();
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state
            .known
            .iter()
            .any(|order| order.accepts(drop) && names.is_same(&order.workload, workload))
    }

    /// The drops in quarantine on a share that were accepted after `since`, the newest last.
    pub(crate) fn accepted_on(
        &self,
        share: ShareId,
        since: Timestamp,
    ) -> Vec<(WorkloadName, DropId, Place)> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let accepted = state.known.iter().filter(|order| order.at >= since);
        let accepted = accepted.filter_map(|order| match order.action {
            Action::Accept { drop, place: Some(place), .. } if place.share == share => {
                Some((order.workload.clone(), drop, place))
            }
            _ => None,
        });
        accepted.collect()
    }

    /// The newest order about each workload, by the name that it has now, but for how it is called.
    pub(crate) fn newest(&self) -> BTreeMap<WorkloadName, Order> {
        let names = self.former();
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let by_name = |order: &Order| (names.present(&order.workload).clone(), order.clone());
        let others =
            state.known.iter().filter(|order| !matches!(order.action, Action::Rename { .. }));
        others.map(by_name).collect()
    }

    /// Whether what was vaulted of the workload at `at` went with a repository that was begun anew, or
    /// destroyed.
    pub(crate) fn gave_up(&self, workload: &WorkloadName, at: Timestamp) -> bool {
        let names = self.former();
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.known.iter().any(|order| {
            matches!(order.action, Action::Recreate { .. } | Action::Destroy { .. })
                && names.is_same(&order.workload, workload)
                && at <= order.at
        })
    }

    /// All orders, or those about one workload, in the order in which they were given.
    pub(crate) fn list(&self, workload: Option<&WorkloadName>) -> Vec<Order> {
        let names = self.former();
        let is_about = |of: &WorkloadName| workload.is_none_or(|it| names.is_same(it, of));
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let about = |order: &&Order| is_about(&order.workload);
        state.known.iter().filter(about).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::core::storage::memory::MemoryStorage;

    fn append(orders: &Orders, action: Action) -> Order {
        let workload = WorkloadName::new("shop-db").unwrap();
        let reason = Some("its volume burned \u{1f525}");
        let at = Timestamp::EPOCH;
        let new = NewOrder { at, by: "operator up", workload: &workload, reason, action };
        orders.append(new).unwrap()
    }

    #[test]
    fn an_order_is_remembered_for_ever_and_one_that_was_cut_off_is_not() {
        let memory = Arc::new(MemoryStorage::default());
        let storage: Storage = Arc::clone(&memory) as Storage;
        let orders = Orders::open(&storage).unwrap();
        let first = append(&orders, Action::Recreate { snapshots_forgotten: 3 });
        let second = append(&orders, Action::Pause { until: Timestamp::EPOCH });
        drop(orders);
        let whole = storage.read(KEY, BYTES_MAX).unwrap().unwrap();
        for cut in [40, 1, whole.len() - 1] {
            // Of the whole log once more, all but the end of the last line: an order that nobody was
            // told of, or one that lacks nothing but its end.
            let torn = [&whole[..], &whole[..cut]].concat();
            storage.replace(KEY, &torn, Durability::Durable).unwrap();
            let orders = Orders::open(&storage).unwrap();
            let before = orders.list(None);
            assert_eq!(before[..2], [first.clone(), second.clone()]);
            let third = append(&orders, Action::Resume);
            assert_eq!(third.number, before.last().unwrap().number + 1);
            drop(orders);
            // What a crash cut off is in the midst now, and still no order.
            let again = Orders::open(&storage).unwrap();
            assert_eq!(again.list(Some(&first.workload)), [&before[..], &[third]].concat());
        }
    }

    #[test]
    fn a_log_of_orders_that_cannot_be_understood_stops_the_vault() {
        let storage: Storage = Arc::new(MemoryStorage::default());
        storage.replace(KEY, b"{}\n{}\n", Durability::Durable).unwrap();
        let error = Orders::open(&storage).err().unwrap().to_string();
        assert!(error.contains("orders.jsonl") && error.contains("line 1"), "{error}");
    }
}
