//! What two operators agreed on before policy may say it: maintenance windows in which pages wait for more
//! than 24 hours without a break.
//!
//! An agreement is of windows, word for word, in one section of policy. It lets a policy say so; it changes
//! nothing by itself, so it has no delay. Whoever reads a policy compares it with [`agreed`].

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use outlast_promise::Window;
use outlast_types::Timestamp;
use serde::{Deserialize, Serialize};

use super::audit::{AuditAction, AuditLog, Event};
use super::error::VaultError;
use super::storage::{Durability, Storage, StorageError};

/// In the vault's directory.
pub const AGREEMENTS: &str = "agreements.json";
pub(crate) const BYTES_MAX: u64 = 4 << 20;
const VERSION: u32 = 1;
/// Of all, asked for and agreed on.
const COUNT_MAX: usize = 1000;
/// Windows of one.
const WINDOWS_MAX: usize = 100;
const SECTION_LENGTH_MAX: usize = 200;
/// How long what one operator asked for waits for another.
const ASKED_FOR: Duration = Duration::from_secs(30 * 86_400);

/// Windows that one operator asked for, and perhaps another agreed to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agreement {
    pub number: u64,
    /// `promise`, `classes.nightly`, `workloads.shop-*`.
    pub section: String,
    pub windows: Vec<String>,
    pub reason: String,
    pub by: String,
    pub at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_at: Option<Timestamp>,
}

impl Agreement {
    /// Whether two operators agreed on all of these windows in this section.
    pub fn covers(&self, section: &str, windows: &[Window]) -> bool {
        let is_named = |window: &Window| self.windows.contains(&window.to_string());
        self.approved_by.is_some() && self.section == section && windows.iter().all(is_named)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    version: u32,
    last: u64,
    agreements: Vec<Agreement>,
}

/// What operators agreed on, by the content of [`AGREEMENTS`].
pub fn agreed(content: &[u8]) -> io::Result<Vec<Agreement>> {
    Ok(understood(content)?.agreements)
}

fn understood(content: &[u8]) -> io::Result<Record> {
    let record: Record = serde_json::from_slice(content)?;
    if record.version > VERSION {
        let text = format!("version {} is newer than this program", record.version);
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    Ok(record)
}

/// Who says something of an agreement, and why.
pub(crate) struct Word<'a> {
    pub(crate) by: &'a str,
    pub(crate) reason: &'a str,
    pub(crate) at: Timestamp,
}

pub(crate) struct Agreements {
    storage: Storage,
    /// Held by who changes the record.
    changing: Mutex<()>,
}

impl Agreements {
    pub(crate) fn open(storage: &Storage) -> Self {
        Self { storage: Storage::clone(storage), changing: Mutex::default() }
    }

    /// All that is asked for and agreed on.
    pub(crate) fn all(&self) -> Result<Vec<Agreement>, VaultError> {
        Ok(self.read()?.agreements)
    }

    /// Asks for windows in a section.
    pub(crate) fn ask(
        &self,
        audit: &AuditLog,
        word: &Word<'_>,
        (section, windows): (&str, &[String]),
    ) -> Result<Agreement, VaultError> {
        let is_name = section.chars().count() <= SECTION_LENGTH_MAX
            && section.chars().all(|c| c.is_ascii_graphic());
        if section.is_empty() || !is_name {
            return Err(bad(format!("{:?} is no section of a policy", shown(section))));
        }
        if windows.is_empty() || windows.len() > WINDOWS_MAX {
            return Err(bad(format!("name 1 to {WINDOWS_MAX} maintenance windows")));
        }
        let parse = |text: &String| text.parse().map(|window: Window| window.to_string());
        let windows: Vec<String> = windows
            .iter()
            .map(parse)
            .collect::<Result<_, _>>()
            .map_err(|error| bad(error.to_string()))?;
        self.change(|record| {
            record
                .agreements
                .retain(|it| it.approved_by.is_some() || word.at.since(it.at) < ASKED_FOR);
            if record.agreements.len() >= COUNT_MAX {
                return Err(bad(format!("there are {COUNT_MAX}: withdraw those of the past")));
            }
            record.last += 1;
            let asked = Agreement {
                number: record.last,
                section: section.to_owned(),
                windows,
                reason: word.reason.to_owned(),
                by: word.by.to_owned(),
                at: word.at,
                approved_by: None,
                approved_at: None,
            };
            audit.record(entry(AuditAction::MaintenanceRequested, word, &asked))?;
            record.agreements.push(asked.clone());
            Ok(asked)
        })
    }

    /// Agrees to what another operator asked for: a policy may say so from now on.
    pub(crate) fn approve(
        &self,
        audit: &AuditLog,
        word: &Word<'_>,
        number: u64,
    ) -> Result<Agreement, VaultError> {
        self.change(|record| {
            let found = record.agreements.iter_mut().find(|it| it.number == number);
            let found = found.ok_or_else(|| unknown(number))?;
            if found.by == word.by {
                let reason = format!("{} asked for it: it takes another operator", found.by);
                return Err(VaultError::Denied { reason });
            }
            if let Some(by) = &found.approved_by {
                return Err(bad(format!("{by} approved it before")));
            }
            if word.at.since(found.at) >= ASKED_FOR {
                return Err(bad("nobody approved it for 30 days: ask for it anew".to_owned()));
            }
            audit.record(entry(AuditAction::MaintenanceApproved, word, found))?;
            found.approved_by = Some(word.by.to_owned());
            found.approved_at = Some(word.at);
            Ok(found.clone())
        })
    }

    /// Takes it back, approved or not. A policy that says so is refused from then on; one that is in force stays
    /// until another is taken over.
    pub(crate) fn withdraw(
        &self,
        audit: &AuditLog,
        word: &Word<'_>,
        number: u64,
    ) -> Result<Agreement, VaultError> {
        self.change(|record| {
            let place = record.agreements.iter().position(|it| it.number == number);
            let place = place.ok_or_else(|| unknown(number))?;
            audit.record(entry(
                AuditAction::MaintenanceWithdrawn,
                word,
                &record.agreements[place],
            ))?;
            Ok(record.agreements.remove(place))
        })
    }

    /// Changes the record. What is done is in the audit log first: a kill in between says it twice.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut Record) -> Result<T, VaultError>,
    ) -> Result<T, VaultError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut record = self.read()?;
        let result = change(&mut record)?;
        let cannot = StorageError::of(&*self.storage, "write", AGREEMENTS);
        let written = serde_json::to_vec(&record)
            .map_err(io::Error::from)
            .and_then(|content| self.storage.replace(AGREEMENTS, &content, Durability::Durable));
        written.map_err(cannot)?;
        Ok(result)
    }

    fn read(&self) -> Result<Record, VaultError> {
        let cannot = |action| StorageError::of(&*self.storage, action, AGREEMENTS);
        let content = self.storage.read(AGREEMENTS, BYTES_MAX).map_err(cannot("read"))?;
        let none = Record { version: VERSION, last: 0, agreements: Vec::new() };
        let Some(content) = content else { return Ok(none) };
        Ok(understood(&content).map_err(cannot("understand"))?)
    }
}

fn entry(action: AuditAction, word: &Word<'_>, of: &Agreement) -> Event {
    let event = Event::by_name(word.by.to_owned(), action).object(of.number);
    let event = event.detail("reason", word.reason).detail("section", &of.section);
    event.detail("requested_by", &of.by).content(serde_json::json!({ "windows": of.windows }))
}

fn bad(reason: String) -> VaultError {
    VaultError::BadAnswer { reason }
}

fn unknown(number: u64) -> VaultError {
    bad(format!("there is no request policy:{number}"))
}

fn shown(text: &str) -> String {
    text.chars().take(SECTION_LENGTH_MAX).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use outlast_types::SystemClock;

    use super::*;
    use crate::core::storage::memory::MemoryStorage;

    #[test]
    fn a_long_window_takes_two_operators_and_is_in_the_log() {
        let storage: Storage = Arc::new(MemoryStorage::default());
        let audit = AuditLog::open(&storage, Arc::new(SystemClock)).unwrap();
        let agreements = Agreements::open(&storage);
        let word = |by| Word { by, reason: "new storage", at: Timestamp::EPOCH };
        let windows = ["sat,sun 0:00-24:00 new storage".to_owned()];
        let meant: Vec<Window> = windows.iter().map(|text| text.parse().unwrap()).collect();
        let [one, two] = ["operator one", "operator two"];
        let asked = agreements.ask(&audit, &word(one), ("classes.x", &windows)).unwrap();
        assert!(!asked.covers("classes.x", &meant), "one operator alone");
        let denied = agreements.approve(&audit, &word(one), asked.number).unwrap_err();
        assert!(matches!(denied, VaultError::Denied { .. }), "{denied}");
        let late = Word { at: Timestamp::EPOCH.saturating_add(ASKED_FOR), ..word(two) };
        assert!(agreements.approve(&audit, &late, asked.number).is_err(), "nobody waits for ever");
        agreements.approve(&audit, &word(two), asked.number).unwrap();
        let content = storage.read(AGREEMENTS, BYTES_MAX).unwrap().unwrap();
        let all = agreed(&content).unwrap();
        assert!(all[0].covers("classes.x", &meant), "however the hours are written");
        assert!(!all[0].covers("classes.y", &meant), "not for others");
        let more: Window = "mon 00:00-24:00 new storage".parse().unwrap();
        assert!(!all[0].covers("classes.x", &[meant[0].clone(), more]), "not for more");
        assert!(agreements.approve(&audit, &word(two), asked.number).is_err());
        agreements.withdraw(&audit, &word(one), asked.number).unwrap();
        assert!(agreements.all().unwrap().is_empty());
        assert!(agreements.withdraw(&audit, &word(one), asked.number).is_err());
        for section in ["", "a b", "\u{1b}[2J"] {
            assert!(
                agreements.ask(&audit, &word(one), (section, &windows)).is_err(),
                "{section:?}"
            );
        }
        assert!(agreements.ask(&audit, &word(one), ("promise", &["sat".to_owned()])).is_err());
        let next = agreements.ask(&audit, &word(one), ("promise", &windows)).unwrap();
        assert_eq!(next.number, 2, "a number is given once");
    }
}
