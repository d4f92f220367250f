//! What operators ordered: one line each, appended and never changed.
//!
//! An order that silences a promise or begins a repository anew must outlive the catalog, which may be
//! lost and rebuilt (I6), and must be there to be shown. So it is on disk before it is carried out.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use outlast_fs::durable;
use outlast_promise::Event;
use outlast_types::{Timestamp, WorkloadName};
use serde::{Deserialize, Serialize};

use crate::VaultError;

const VERSION: u32 = 1;
const FILE: &str = "orders.jsonl";
/// A log that is longer was not written by orders of people.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// What is to be done with a workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "lowercase")]
pub(crate) enum Action {
    /// Its repository is missing for good, and is begun anew.
    Recreate { snapshots_forgotten: u64 },
    /// Nobody is paged for its recovery point before `until`.
    Pause { until: Timestamp },
    /// It will drop no more. Until `until`, drops that are still under way are no surprise.
    Retire { until: Timestamp },
    /// Its promise counts again.
    Resume,
}

impl Action {
    /// As a command names it.
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Recreate { .. } => "recreate",
            Self::Pause { .. } => "pause",
            Self::Retire { .. } => "retire",
            Self::Resume => "resume",
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
    /// As the promise ledger hears it.
    pub(crate) fn event(&self) -> Event {
        let order = match self.action {
            Action::Recreate { .. } => outlast_promise::Order::Recreate { at: self.at },
            Action::Pause { until } => outlast_promise::Order::Pause { until },
            Action::Retire { until } => outlast_promise::Order::Retire { at: self.at, until },
            Action::Resume => outlast_promise::Order::Resume,
        };
        Event::Ordered { number: self.number, workload: self.workload.clone(), order }
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
    path: PathBuf,
    state: Mutex<State>,
}

struct State {
    file: File,
    known: Vec<Order>,
    /// Whether a write failed, perhaps in the midst of a line.
    is_torn: bool,
}

impl Orders {
    pub(crate) fn open(dir: &Path) -> Result<Self, VaultError> {
        let path = dir.join(FILE);
        let mut content = Vec::new();
        let file = open(&path)
            .and_then(|file| {
                (&file).take(FILE_BYTES_MAX + 1).read_to_end(&mut content)?;
                // Two lines must not become one: the last writer may have been killed in the midst.
                if content.last().is_some_and(|last| *last != b'\n') {
                    (&file).write_all(b"\n")?;
                }
                file.sync_all()?;
                durable::sync_directory(dir)?;
                Ok(file)
            })
            .map_err(VaultError::io("open", &path))?;
        let mut known = Vec::new();
        for (number, line) in (1..).zip(content.split(|byte| *byte == b'\n')) {
            match serde_json::from_slice::<Order>(line) {
                _ if line.is_empty() => {}
                Ok(order) if order.version <= VERSION => known.push(order),
                Ok(Order { version, .. }) => {
                    let text = format!("an order of version {version} is newer than this program");
                    return Err(invalid(&path, text));
                }
                // It was not carried out, and whoever gave it was not told that it was.
                Err(error) if error.is_eof() => {
                    tracing::warn!(path = %path.display(), number, "an order was cut off by a crash");
                }
                Err(error) => {
                    return Err(invalid(&path, format!("line {number} is not an order: {error}")));
                }
            }
        }
        Ok(Self { path, state: Mutex::new(State { file, known, is_torn: false }) })
    }

    /// Writes an order down. It is on disk when this returns.
    pub(crate) fn append(&self, new: NewOrder<'_>) -> Result<Order, VaultError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let order = Order {
            version: VERSION,
            number: state.known.last().map_or(1, |last| last.number + 1),
            at: new.at,
            by: new.by.to_owned(),
            workload: new.workload.clone(),
            reason: new.reason.map(str::to_owned),
            action: new.action,
        };
        let document = serde_json::to_string(&order)
            .map_err(|error| VaultError::io("write", &self.path)(error.into()))?;
        let line = format!("{}{document}\n", if state.is_torn { "\n" } else { "" });
        let written =
            (&state.file).write_all(line.as_bytes()).and_then(|()| state.file.sync_data());
        state.is_torn = written.is_err();
        written.map_err(VaultError::io("write", &self.path))?;
        tracing::warn!(
            number = order.number, by = order.by, workload = %order.workload,
            reason = order.reason, "an operator orders: {}", order.action.as_str()
        );
        state.known.push(order.clone());
        Ok(order)
    }

    /// The newest order about each workload.
    pub(crate) fn newest(&self) -> BTreeMap<WorkloadName, Order> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.known.iter().map(|order| (order.workload.clone(), order.clone())).collect()
    }

    /// Whether what was vaulted of the workload at `at` went with a repository that was begun anew.
    pub(crate) fn gave_up(&self, workload: &WorkloadName, at: Timestamp) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.known.iter().any(|order| {
            matches!(order.action, Action::Recreate { .. })
                && order.workload == *workload
                && at <= order.at
        })
    }

    /// All orders, or those about one workload, in the order in which they were given.
    pub(crate) fn list(&self, workload: Option<&WorkloadName>) -> Vec<Order> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let about = |order: &&Order| workload.is_none_or(|workload| order.workload == *workload);
        state.known.iter().filter(about).cloned().collect()
    }
}

fn open(path: &Path) -> io::Result<File> {
    File::options().create(true).read(true).append(true).mode(0o600).open(path)
}

fn invalid(path: &Path, reason: String) -> VaultError {
    VaultError::io("understand", path)(io::Error::new(io::ErrorKind::InvalidData, reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(orders: &Orders, action: Action) -> Order {
        let workload = WorkloadName::new("shop-db").unwrap();
        let reason = Some("its volume burned \u{1f525}");
        let at = Timestamp::EPOCH;
        let new = NewOrder { at, by: "operator up", workload: &workload, reason, action };
        orders.append(new).unwrap()
    }

    #[test]
    fn an_order_is_remembered_for_ever_and_one_that_was_cut_off_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let orders = Orders::open(directory.path()).unwrap();
        let first = append(&orders, Action::Recreate { snapshots_forgotten: 3 });
        let second = append(&orders, Action::Pause { until: Timestamp::EPOCH });
        drop(orders);
        let path = directory.path().join(FILE);
        let whole = std::fs::read(&path).unwrap();
        durable::replace(&path, &[&whole[..], &whole[..40]].concat(), 0o600).unwrap();
        let orders = Orders::open(directory.path()).unwrap();
        assert_eq!(orders.list(None), [first.clone(), second.clone()]);
        let third = append(&orders, Action::Resume);
        assert_eq!(third.number, 3);
        drop(orders);
        // What a crash cut off is in the midst now, and still no order.
        let again = Orders::open(directory.path()).unwrap();
        assert_eq!(again.list(Some(&first.workload)), [first, second, third]);
    }

    #[test]
    fn a_log_of_orders_that_cannot_be_understood_stops_the_vault() {
        let directory = tempfile::tempdir().unwrap();
        durable::replace(&directory.path().join(FILE), b"{}\n{}\n", 0o600).unwrap();
        let error = Orders::open(directory.path()).err().unwrap().to_string();
        assert!(error.contains("orders.jsonl") && error.contains("line 1"), "{error}");
    }
}
