//! What agents said of their shipments: that one begins, that one is cancelled. It is kept until the vault
//! has heard it, so that nobody waits for a vault that is away; and what began until it is over, to be said
//! again to a vault that was put back.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use outlast_types::{DropId, Timestamp, WorkloadName};
use outlast_wire::statement::Statement;

use crate::error::MediaError;
use crate::files::Documents;

/// The longest statement that is kept, in bytes: what is signed is short, certificates are not.
const BYTES_MAX: u64 = 128 << 10;
/// More shipments at one time are an attack on our disk.
const KEPT_MAX: usize = 50_000;

/// What was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Word {
    Begin,
    Cancel,
}

impl Word {
    fn as_str(self) -> &'static str {
        match self {
            Self::Begin => "begin",
            Self::Cancel => "cancel",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Begin, Self::Cancel].into_iter().find(|word| word.as_str() == text)
    }
}

/// One shipment: its workload and its drop.
pub(crate) type Shipment = (WorkloadName, DropId);

/// What is kept of what was said.
pub(crate) struct Words {
    documents: Documents,
    kept: Mutex<BTreeMap<Shipment, Kept>>,
}

#[derive(Debug, Clone, Copy)]
struct Kept {
    word: Word,
    /// Since when nothing was heard of it, by our own clock.
    heard: Timestamp,
    /// Whether the vault has heard it, as far as this process knows.
    is_told: bool,
}

impl Words {
    /// What is kept in `directory`; the time of what was there before is `now`.
    pub(crate) fn open(directory: &Path, now: Timestamp) -> Result<Self, MediaError> {
        let documents = Documents::open(directory.join("words"), BYTES_MAX)?;
        let mut kept = BTreeMap::new();
        for name in documents.names()? {
            let [workload, drop, word] = &name[..] else { continue };
            let shipment = WorkloadName::new(workload).ok().zip(drop.parse().ok());
            let (Some(shipment), Some(word)) = (shipment, Word::parse(word)) else { continue };
            let new = Kept { word, heard: now, is_told: false };
            let known = kept.entry(shipment).or_insert(new);
            // A kill between the two leaves both; what was said last counts.
            known.word = known.word.max(word);
        }
        Ok(Self { documents, kept: Mutex::new(kept) })
    }

    /// Keeps what was said of a shipment, durably, in the place of what was said before.
    pub(crate) fn keep(
        &self,
        shipment: &Shipment,
        word: Word,
        words: &Statement,
        is_told: bool,
        now: Timestamp,
    ) -> Result<(), MediaError> {
        let mut kept = self.lock();
        let path = self.documents.directory();
        let malformed = |reason: String| MediaError::Malformed { path: path.to_owned(), reason };
        if kept.len() >= KEPT_MAX && !kept.contains_key(shipment) {
            return Err(malformed("there are more shipments than can be kept".to_owned()));
        }
        let text = serde_json::to_vec(words).map_err(|error| malformed(error.to_string()))?;
        if text.len() as u64 > BYTES_MAX {
            return Err(malformed("what was said is longer than any that is kept".to_owned()));
        }
        self.write(shipment, word, &text)?;
        let before = kept.insert(shipment.clone(), Kept { word, heard: now, is_told });
        if let Some(before) = before.filter(|before| before.word != word) {
            self.remove(shipment, before.word);
        }
        Ok(())
    }

    /// What the vault has not heard yet, as far as is known; at most `count`.
    pub(crate) fn untold(&self, count: usize) -> Vec<(Shipment, Word, Statement)> {
        let untold: Vec<(Shipment, Word)> = {
            let kept = self.lock();
            let untold = kept.iter().filter(|(_, kept)| !kept.is_told);
            untold.take(count).map(|(shipment, kept)| (shipment.clone(), kept.word)).collect()
        };
        let mut found = Vec::new();
        for (shipment, word) in untold {
            match self.read(&shipment, word) {
                Some(words) => found.push((shipment, word, words)),
                // It is of no use to anybody.
                None => self.forget(&shipment),
            }
        }
        found
    }

    /// The vault has heard it, or never will.
    pub(crate) fn told(&self, shipment: &Shipment, word: Word) {
        let mut kept = self.lock();
        let Some(known) = kept.get_mut(shipment).filter(|known| known.word == word) else { return };
        known.is_told = true;
        if word == Word::Cancel {
            kept.remove(shipment);
            self.remove(shipment, word);
        }
    }

    /// The shipment is over.
    pub(crate) fn forget(&self, shipment: &Shipment) {
        if let Some(known) = self.lock().remove(shipment) {
            self.remove(shipment, known.word);
        }
    }

    /// Lets go of what began and was heard of no more for so long.
    pub(crate) fn tidy(&self, now: Timestamp, idle: Duration) {
        let is_over = |kept: &Kept| now.since(kept.heard) > idle;
        let over: Vec<Shipment> = {
            let kept = self.lock();
            let over = kept.iter().filter(|(_, kept)| is_over(kept));
            over.map(|(shipment, _)| shipment.clone()).collect()
        };
        over.iter().for_each(|shipment| self.forget(shipment));
    }

    /// Something of the shipment came.
    pub(crate) fn heard_of(&self, shipment: &Shipment, now: Timestamp) {
        if let Some(kept) = self.lock().get_mut(shipment) {
            kept.heard = now;
        }
    }

    fn read(&self, shipment: &Shipment, word: Word) -> Option<Statement> {
        let (workload, drop) = (shipment.0.as_str(), shipment.1.to_string());
        let text = self.documents.read(&[workload, &drop, word.as_str()]);
        let text = text.inspect_err(|error| tracing::error!(%error, "cannot read what was said"));
        serde_json::from_slice(&text.ok()??).ok()
    }

    fn write(&self, shipment: &Shipment, word: Word, text: &[u8]) -> Result<(), MediaError> {
        let (workload, drop) = (shipment.0.as_str(), shipment.1.to_string());
        self.documents.write(&[workload, &drop, word.as_str()], text)
    }

    fn remove(&self, shipment: &Shipment, word: Word) {
        let (workload, drop) = (shipment.0.as_str(), shipment.1.to_string());
        if let Err(error) = self.documents.remove(&[workload, &drop, word.as_str()]) {
            tracing::warn!(%error, "cannot remove what was said of a shipment");
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Shipment, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_last_is_kept_until_it_is_told_and_a_beginning_until_it_is_over() {
        let directory = tempfile::tempdir().unwrap();
        let at = |seconds| Timestamp::from_unix(seconds, 0).unwrap();
        let open = || Words::open(directory.path(), at(0)).unwrap();
        let drop: DropId = "019c1234-5678-7abc-8def-0123456789ab".parse().unwrap();
        let shipment = ("shop-db".parse().unwrap(), drop);
        let said = |words: &Words| -> Vec<Word> {
            words.untold(10).into_iter().map(|(_, word, _)| word).collect()
        };
        let words = open();
        words.keep(&shipment, Word::Begin, &Statement::default(), false, at(0)).unwrap();
        assert_eq!(said(&words), [Word::Begin]);
        words.told(&shipment, Word::Begin);
        assert!(said(&words).is_empty());
        // A vault may have been put back meanwhile.
        assert_eq!(said(&open()), [Word::Begin]);
        let words = open();
        words.keep(&shipment, Word::Cancel, &Statement::default(), false, at(1)).unwrap();
        words.told(&shipment, Word::Begin);
        assert_eq!(said(&words), [Word::Cancel]);
        assert_eq!(said(&open()), [Word::Cancel]);
        words.told(&shipment, Word::Cancel);
        assert!(said(&words).is_empty() && said(&open()).is_empty());

        words.keep(&shipment, Word::Begin, &Statement::default(), true, at(10)).unwrap();
        words.heard_of(&shipment, at(20));
        words.tidy(at(29), Duration::from_secs(9));
        assert_eq!(said(&open()), [Word::Begin]);
        words.tidy(at(30), Duration::from_secs(9));
        assert!(said(&open()).is_empty());
    }
}
