//! The way from the catalog's outbox to the log that keeps for ever what must be told.
//!
//! An entry goes into the outbox in the transaction of its cause, and leaves it when the log has it:
//! a kill at any moment between loses no page, and tells one twice at worst.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use outlast_catalog::{Catalog, Entry, IncidentRecord};
use outlast_promise::Change;

use super::error::VaultError;
use super::incidents::{Chronicle, IncidentEntry};

/// Entries that are handed on together.
const BATCH: u32 = 256;

pub(crate) struct Outbox {
    chronicle: Arc<dyn Chronicle>,
    /// Whether something may lie there.
    has_news: AtomicBool,
    /// One at a time, so that entries keep their order.
    delivering: Mutex<()>,
}

impl Outbox {
    pub(crate) fn new(chronicle: Arc<dyn Chronicle>) -> Self {
        Self { chronicle, has_news: AtomicBool::new(true), delivering: Mutex::default() }
    }

    /// Something was put into the outbox: hands it on.
    pub(crate) fn deliver_news(&self, catalog: &Catalog) {
        self.has_news.store(true, Ordering::Release);
        self.deliver(catalog);
    }

    /// Hands on what lies in the outbox, if there is anything. What cannot be handed on stays there,
    /// for the next time: its cause is committed, and nobody else need wait.
    pub(crate) fn deliver(&self, catalog: &Catalog) {
        let _one_at_a_time = self.delivering.lock().unwrap_or_else(PoisonError::into_inner);
        if self.has_news.swap(false, Ordering::AcqRel)
            && let Err(error) = self.hand_on(catalog)
        {
            self.has_news.store(true, Ordering::Release);
            tracing::error!(%error, "what must be told cannot be written down, and is told later");
        }
    }

    fn hand_on(&self, catalog: &Catalog) -> Result<(), VaultError> {
        loop {
            let entries = catalog.outbox(BATCH)?;
            let Some((last, _)) = entries.last() else { return Ok(()) };
            for (number, text) in &entries {
                match serde_json::from_str::<IncidentEntry>(text) {
                    Ok(entry) => self.chronicle.append(*number, &entry)?,
                    // Told here, at least, rather than in the way of all that come after it.
                    Err(error) => {
                        tracing::error!(%error, number, "an entry of the outbox is damaged: {text}");
                    }
                }
            }
            self.chronicle.all_appended()?;
            catalog.handed_on(*last)?;
        }
    }

    /// Makes catalog and log agree at a start: new entries are numbered on after those of the log, and
    /// incidents that were told before there was a log go into it. Only then, and where the catalog
    /// was lost, is all of the log read, which is that of years.
    ///
    /// Returns the history of incidents that the log has, if `is_lost`.
    pub(crate) fn agree(
        &self,
        catalog: &Catalog,
        is_lost: bool,
    ) -> Result<Vec<IncidentRecord>, VaultError> {
        if let (Some(last), false) = (self.chronicle.last(), is_lost) {
            catalog.number_outbox_after(last)?;
            return Ok(Vec::new());
        }
        let mut last = 0;
        let mut history = BTreeMap::new();
        self.chronicle.replay(&mut |number, entry| {
            last = last.max(number);
            history.insert(entry.incident, entry);
        })?;
        catalog.number_outbox_after(last)?;
        let mut untold = catalog.incidents()?;
        untold.retain(|record| !history.contains_key(&record.id));
        untold.reverse();
        if !untold.is_empty() && catalog.outbox(1)?.is_empty() {
            let old_news =
                |record| in_json(&IncidentEntry { is_old_news: true, ..IncidentEntry::of(record) });
            let outbox: Vec<String> = untold.iter().map(old_news).collect();
            catalog.commit(&Entry { outbox: &outbox, ..Entry::default() })?;
            self.deliver_news(catalog);
        }
        Ok(history.into_values().map(IncidentEntry::record).collect())
    }
}

/// The entries that tell of these incidents.
pub(crate) fn entries(incidents: &[IncidentRecord]) -> Vec<String> {
    incidents.iter().map(|record| in_json(&IncidentEntry::of(record))).collect()
}

/// The entries that tell of these changes.
pub(crate) fn entries_of(changes: &[Change]) -> Vec<String> {
    changes.iter().map(|change| in_json(&IncidentEntry::told(change.incident()))).collect()
}

fn in_json(entry: &IncidentEntry) -> String {
    // Texts, numbers and times: nothing that JSON cannot say.
    serde_json::to_string(entry).unwrap_or_default()
}

#[cfg(test)]
mod tests;
