//! What always lies in the directory, also when no drop does: a page for whoever restores, a sign of life, and a list of all
//! drops. So a job that finds nothing has found a fault.
//!
//! They are replaced whole, and not while a job reads: a product that notes a file that changed under it calls the whole
//! job partially successful.

use std::path::PathBuf;
use std::time::Duration;

use outlast_drop::hash::{Algorithm, Digest};
use outlast_drop::proof;
use outlast_fs::durable;
use outlast_types::Timestamp;
use serde::Serialize;

use crate::desk::Desk;
use crate::error::HandoverError;
use crate::leave::Reading;
use crate::names::{HEARTBEAT_FILE, LIST_FILE, List, Listed, README_FILE};
use crate::readme;

/// How often there is a sign of life.
const BEAT: Duration = Duration::from_secs(60);

impl Desk {
    /// Writes what has changed, unless somebody reads. `trouble` is what people should know.
    pub fn show(&mut self, trouble: Option<&str>) -> Result<(), HandoverError> {
        let now = self.environment.clock.now();
        if let Some(Reading::Lease { .. }) = self.is_read(now)? {
            return Ok(());
        }
        let readme = readme::text(&self.rules);
        if self.front.readme.as_ref() != Some(&readme) {
            self.replace(README_FILE, readme.as_bytes())?;
            self.front.readme = Some(readme);
        }
        if self.front.is_changed {
            let bytes = self.list(now).map_err(|error| self.unwritten(LIST_FILE, error))?;
            self.replace(LIST_FILE, &bytes)?;
            self.front.is_changed = false;
            self.front.beaten = None;
        }
        // That there is trouble, and that there is none any more, is told at once.
        let is_news = self.front.is_troubled != trouble.is_some();
        let is_due = self.front.beaten.is_none_or(|last| now.since(last) >= BEAT || now < last);
        if is_due || is_news {
            let bytes = self
                .heartbeat(now, trouble)
                .map_err(|error| self.unwritten(HEARTBEAT_FILE, error))?;
            self.replace(HEARTBEAT_FILE, &bytes)?;
            self.front.beaten = Some(now);
            self.front.is_troubled = trouble.is_some();
        }
        Ok(())
    }

    fn unwritten(&self, name: &str, error: serde_json::Error) -> HandoverError {
        HandoverError::io("write", &self.path_of(name))(error.into())
    }

    fn path_of(&self, name: &str) -> PathBuf {
        self.place.directory().join(name)
    }

    /// Replaces a file by one that was made beside the directory, so that nothing unfinished is ever seen.
    fn replace(&self, name: &str, content: &[u8]) -> Result<(), HandoverError> {
        let (made, path) = (self.place.desk().join(name), self.path_of(name));
        let failed = |error: std::io::Error| HandoverError::io("write", &path)(error);
        durable::replace(&made, content, self.rules.mode).map_err(failed)?;
        crate::build::give(std::slice::from_ref(&made), &self.rules)?;
        durable::move_over(&made, &path).map_err(failed)
    }

    fn list(&self, now: Timestamp) -> serde_json::Result<Vec<u8>> {
        let mut drops: Vec<Listed> = self
            .ledger
            .offers()
            .map(|it| Listed {
                workload: it.offer.workload.clone(),
                drop: it.offer.drop,
                path: it.offer.path.clone(),
                appeared: it.offer.appeared,
                files: it.offer.files,
                bytes: it.offer.bytes,
            })
            .collect();
        drops.sort_by(|one, other| one.path.cmp(&other.path));
        let handover = self.rules.name.clone();
        let list = List { version: 1, handover, at: now, complete: !self.is_rebuilding, drops };
        with_hash(&list)
    }

    fn heartbeat(&self, now: Timestamp, trouble: Option<&str>) -> serde_json::Result<Vec<u8>> {
        let state = match (self.is_rebuilding, trouble) {
            (true, _) => "rebuilding",
            (false, Some(_)) => "trouble",
            (false, None) => "well",
        };
        let offered = self.ledger.offers().filter(|it| !self.ledger.is_confirmed(it));
        let oldest = offered.map(|it| it.offer.appeared).min();
        with_hash(&serde_json::json!({
            "version": 1,
            "handover": self.rules.name,
            "at": now,
            "state": state,
            "trouble": trouble,
            "drops": self.ledger.offers().count(),
            "bytes": self.ledger.bytes(),
            "oldest_unconfirmed": oldest,
        }))
    }
}

fn with_hash(value: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut body = serde_json::to_vec(value)?;
    body.pop();
    let digest = Digest::of(Algorithm::Blake3, &body).to_string();
    Ok(proof::join(body, "self", &digest))
}
