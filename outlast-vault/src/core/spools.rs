//! What media servers last said of their spools, in memory: a vault that begins anew hears it again
//! within a minute.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use outlast_types::{Timestamp, WorkloadName};
use outlast_wire::api::{MEDIA_REPORT_GOOD_FOR, MediaReport, Waiting};

/// Media servers that are remembered; more would be an attack on our memory.
const MEDIA_SERVERS_MAX: usize = 64;

/// The last report of each media server, by the name in its certificate.
#[derive(Default)]
pub(crate) struct Spools(Mutex<BTreeMap<String, Heard>>);

struct Heard {
    at: Timestamp,
    report: MediaReport,
}

impl Spools {
    /// Notes what a media server said at `now`, by the vault's clock.
    pub(crate) fn note(&self, media: &str, report: MediaReport, now: Timestamp) {
        let mut heard = self.heard();
        if heard.len() >= MEDIA_SERVERS_MAX && !heard.contains_key(media) {
            let oldest =
                heard.iter().min_by_key(|(_, heard)| heard.at).map(|(name, _)| name.clone());
            oldest.and_then(|name| heard.remove(&name));
        }
        heard.insert(media.to_owned(), Heard { at: now, report });
    }

    /// Where something of a workload waits, as far as media servers said so not long before `now`.
    pub(crate) fn waiting(&self, workload: &WorkloadName, now: Timestamp) -> Vec<Waiting> {
        let heard = self.heard();
        let good = heard.iter().filter(|(_, heard)| {
            let until = heard.at.saturating_add(MEDIA_REPORT_GOOD_FOR);
            heard.at <= now && now < until
        });
        let rows = good.flat_map(|(media, heard)| {
            let rows = heard.report.rows.iter().map(move |row| (media, heard.report.spool, row));
            rows.filter(|(_, _, row)| row.workload == *workload && row.objects > 0)
        });
        rows.map(|(media, spool, row)| Waiting {
            media: media.clone(),
            spool,
            objects: row.objects,
        })
        .collect()
    }

    fn heard(&self) -> MutexGuard<'_, BTreeMap<String, Heard>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use outlast_types::SpoolId;
    use outlast_types::SystemRandom;
    use outlast_wire::api::{MediaRow, MediaState};

    use super::*;

    fn report(workload: &WorkloadName, objects: u64) -> MediaReport {
        MediaReport {
            spool: SpoolId::new(&SystemRandom),
            run: "1".to_owned(),
            version: "0".to_owned(),
            at: Timestamp::EPOCH,
            state: MediaState::Taking,
            rows: vec![MediaRow {
                workload: workload.clone(),
                objects,
                bytes: objects,
                oldest_seconds: 0,
            }],
            objects,
            bytes: objects,
            room: 100,
            room_left: 50,
            line_allowed: None,
            line_rate: 0,
            empty_in_seconds: None,
            problems: Vec::new(),
        }
    }

    #[test]
    fn what_waits_is_what_a_media_server_said_last_and_not_long_ago() {
        let spools = Spools::default();
        let (shop, now) = (WorkloadName::new("shop").unwrap(), Timestamp::EPOCH);
        let after = |seconds| now.saturating_add(Duration::from_secs(seconds));
        assert_eq!(spools.waiting(&shop, now), []);
        spools.note("eu-1", report(&shop, 3), now);
        spools.note("eu-2", report(&WorkloadName::new("other").unwrap(), 3), now);
        let waiting = spools.waiting(&shop, after(599));
        assert_eq!(
            waiting.iter().map(|it| (&*it.media, it.objects)).collect::<Vec<_>>(),
            [("eu-1", 3)]
        );
        assert_eq!(spools.waiting(&shop, after(600)), [], "that is too long ago");
        spools.note("eu-1", report(&shop, 0), after(1));
        assert_eq!(spools.waiting(&shop, after(2)), [], "it was handed on");
    }

    #[test]
    fn no_more_media_servers_are_remembered_than_memory_is_meant_for() {
        let spools = Spools::default();
        let shop = WorkloadName::new("shop").unwrap();
        for number in 0..MEDIA_SERVERS_MAX as u64 + 10 {
            let at = Timestamp::EPOCH.saturating_add(Duration::from_secs(number));
            spools.note(&format!("eu-{number}"), report(&shop, 1), at);
        }
        assert_eq!(spools.heard().len(), MEDIA_SERVERS_MAX);
        assert!(!spools.heard().contains_key("eu-0"), "the oldest goes first");
    }
}
