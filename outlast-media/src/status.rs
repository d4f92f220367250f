//! How a media server is doing: for its operators, for metrics, and for the vault.

use std::sync::atomic::Ordering;

use outlast_civil::Rate;
use outlast_types::{Timestamp, WorkloadName};
use outlast_wire::api::{MEDIA_ROWS_MAX, MediaReport, MediaRow, MediaState};
use serde::{Deserialize, Serialize};

use crate::media::Media;
use crate::mode::Mode;

/// The most of a report's sentences.
const PROBLEMS_MAX: usize = 50;

/// What a media server says of itself to whoever may ask on its host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaStatus {
    /// The name in its certificate.
    pub name: String,
    pub version: String,
    pub report: MediaReport,
    /// Until when it is worked on, and why, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<Maintenance>,
    /// Since when the vault does not answer, if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vault_away_since: Option<Timestamp>,
    pub taken: Tally,
    pub forwarded: Tally,
    /// Objects that the vault had already.
    pub known: u64,
    /// Objects that the vault will never take.
    pub refused: u64,
    /// Objects of shipments that are over.
    pub dropped: u64,
    /// Objects that were damaged in the spool, or vanished from it.
    #[serde(default)]
    pub spoiled: u64,
    /// Objects for which there was no room.
    pub turned_away: u64,
}

/// Objects and their bytes, since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    pub objects: u64,
    pub bytes: u64,
}

/// What operators said of their work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maintenance {
    pub until: Timestamp,
    pub reason: String,
}

impl MediaStatus {
    /// How long the oldest object has waited, in seconds.
    pub fn oldest_seconds(&self) -> u64 {
        self.report.rows.first().map_or(0, |row| row.oldest_seconds)
    }
}

impl Media {
    pub(crate) fn status(&self) -> MediaStatus {
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.counters;
        let mut report = self.report();
        let away = self.link.away();
        if let Some(away) = &away {
            let text = format!("the vault cannot be reached since {}: {}", away.since, away.reason);
            report.problems.insert(0, text);
        }
        MediaStatus {
            name: self.name(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            report,
            maintenance: match self.mode() {
                Mode::Maintenance { until, reason } => Some(Maintenance { until, reason }),
                Mode::Taking | Mode::Draining => None,
            },
            vault_away_since: away.map(|away| away.since),
            taken: Tally { objects: count(&counters.taken), bytes: count(&counters.taken_bytes) },
            forwarded: Tally {
                objects: count(&counters.forwarded),
                bytes: count(&counters.forwarded_bytes),
            },
            known: count(&counters.known),
            refused: count(&counters.refused),
            dropped: count(&counters.dropped),
            spoiled: count(&counters.spoiled),
            turned_away: count(&counters.turned_away),
        }
    }

    /// What the vault is told: nothing of the vault's being away, since it hears this when it is not.
    pub(crate) fn report(&self) -> MediaReport {
        let (now, room) = (self.now(), self.room());
        let usage = self.spool.usage();
        let allowed = match self.line.allowed() {
            Rate::Unlimited => None,
            Rate::PerSecond(rate) => Some(rate),
        };
        let rate = self.line.rate();
        let mut problems = self.problems();
        problems.truncate(PROBLEMS_MAX);
        MediaReport {
            spool: self.spool.id(),
            run: self.run().to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            at: now,
            state: self.state(),
            rows: self.rows(now),
            objects: usage.items,
            bytes: usage.bytes,
            room: room.total,
            room_left: room.total.saturating_sub(usage.bytes),
            line_allowed: allowed,
            line_rate: rate,
            empty_in_seconds: empty_in(usage.bytes, rate, allowed),
            problems,
            shipments: Vec::new(),
        }
    }

    /// What waits by workload, those first that wait longest.
    fn rows(&self, now: Timestamp) -> Vec<MediaRow> {
        let usage = self.spool.usage_by_workload();
        let row = |(workload, oldest): (WorkloadName, Timestamp)| {
            let of = usage.get(&workload).copied().unwrap_or_default();
            let oldest_seconds = now.since(oldest).as_secs();
            MediaRow { workload, objects: of.items, bytes: of.bytes, oldest_seconds }
        };
        let mut rows: Vec<MediaRow> = self.spool.waiting().into_iter().map(row).collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.oldest_seconds));
        rows.truncate(MEDIA_ROWS_MAX);
        rows
    }
}

/// When so many bytes have gone, in seconds: as fast as those of the last minute, as far as the calendar allows that now.
fn empty_in(bytes: u64, rate: u64, allowed: Option<u64>) -> Option<u64> {
    match bytes {
        0 => Some(0),
        bytes => bytes.checked_div(allowed.map_or(rate, |allowed| rate.min(allowed))),
    }
}

/// The word for a state, as people and metrics have it.
pub fn word_of(state: MediaState) -> &'static str {
    match state {
        MediaState::Taking => "taking",
        MediaState::Draining => "draining",
        MediaState::Drained => "drained",
        MediaState::Maintenance => "maintenance",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_promises_an_end_that_the_calendar_does_not_allow() {
        assert_eq!(empty_in(0, 0, Some(0)), Some(0));
        assert_eq!(empty_in(1000, 0, None), None);
        assert_eq!(empty_in(1000, 100, None), Some(10));
        assert_eq!(empty_in(1000, 100, Some(500)), Some(10));
        assert_eq!(empty_in(1000, 100, Some(10)), Some(100));
        assert_eq!(empty_in(1000, 100, Some(0)), None);
    }
}
