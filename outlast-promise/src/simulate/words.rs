//! What is heard, in the ledger's words.

use std::collections::BTreeMap;

use outlast_types::{RejectionCode, Timestamp, WorkloadName};

use super::life::{Life, Mark, seconds};
use super::product::{HANDOVER, Told};
use super::scenario::Scenario;
use super::world::{drop_of, handed_of, share_of};
use crate::event::{Event, Order, Source};
use crate::handed::{FailedJob, Handed, Room};
use crate::promise::Declaration;
use crate::stopped::Stopped;

/// The moment at which something is heard: the receiver's second, and what the vault's clock shows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) second: u64,
    pub(crate) wall: Timestamp,
}

/// An agent, and its share.
pub(crate) fn source(agent: usize) -> Source {
    let number = u32::try_from(agent).unwrap_or(u32::MAX);
    Source { agent: Scenario::agent(number), share: share_of(number) }
}

impl Moment {
    /// What the vault's clock showed at a second, if nobody had set it since.
    fn past(self, second: u64) -> Timestamp {
        self.wall.saturating_sub(seconds(self.second - second))
    }

    /// What is heard of a workload: who it is, its number and its name, and by which number an order or a drop
    /// of this moment is known.
    pub(crate) fn event(
        self,
        (life, index, workload): (&Life, usize, WorkloadName),
        mark: Mark,
        number: u64,
    ) -> Option<Event> {
        let source = || source(life.agent);
        Some(match mark {
            Mark::Waiting => Event::Waiting { workload, source: source() },
            Mark::Vaulted { seen, .. } => Event::Vaulted { workload, at: self.past(seen) },
            Mark::Released { seen, release, is_last } => {
                let (at, release) = (self.past(seen), Some(format!("r{release}")));
                Event::Released { workload, at, release, is_last }
            }
            Mark::Died => {
                let instance = "i-0abc".to_owned();
                let stopped = Stopped { instance, at: self.wall, percent: Some(43) };
                Event::Stopped { workload, source: source(), stopped }
            }
            Mark::Suspected => {
                let why = "it has 12 KiB, and those before it had 12 GiB".to_owned();
                Event::Suspected { workload, drop: drop_of(number)?, at: self.wall, why }
            }
            Mark::Rejected => Event::Rejected {
                workload,
                source: source(),
                drop: drop_of(number)?,
                code: RejectionCode::WrongHash,
                reason: "segment 0001.seg does not have its hash".to_owned(),
                place: None,
            },
            Mark::Lost => {
                let missing = Some("its repository is not there".to_owned());
                Event::Repository { workload, missing }
            }
            Mark::Found => Event::Repository { workload, missing: None },
            Mark::Declared { rpo } => {
                let declaration =
                    rpo.and_then(|rpo| Declaration::new(Some(seconds(rpo)), None).ok());
                Event::Declared { workload, source: source(), declaration }
            }
            Mark::Confirmed { .. } | Mark::Withdrawn { .. } | Mark::Lies { .. } => {
                return self.delivery((life, index, workload), mark);
            }
            ordered => return self.order(workload, ordered, number),
        })
    }

    /// What operators order, and whoever releases says.
    fn order(self, workload: WorkloadName, mark: Mark, number: u64) -> Option<Event> {
        let until = |lasts: u64| self.wall.saturating_add(seconds(lasts));
        let order = match mark {
            Mark::Paused { lasts } => Order::Pause { until: until(lasts) },
            Mark::Retired { lasts } => Order::Retire { at: self.wall, until: until(lasts) },
            Mark::Resumed => Order::Resume,
            Mark::Deploying { lasts } => {
                let until = lasts.map(until);
                return Some(Event::Deploying { workload, at: self.wall, until });
            }
            // The vault does more about a renaming than to hear it.
            _ => return None,
        };
        Some(Event::Ordered { number, workload, order })
    }

    /// What becomes of drops where they are handed over.
    fn delivery(
        self,
        (life, index, workload): (&Life, usize, WorkloadName),
        mark: Mark,
    ) -> Option<Event> {
        Some(match mark {
            Mark::Confirmed { seen, drop, vaulted } => {
                let (at, drop) = (self.past(seen), handed_of(index, drop)?);
                Event::Confirmed { workload, drop, at, vaulted }
            }
            Mark::Withdrawn { drop } => Event::Withdrawn {
                workload,
                source: source(life.agent),
                handover: HANDOVER.to_owned(),
                drop: handed_of(index, drop)?,
                reason: "its image is gone".to_owned(),
            },
            Mark::Lies { read } => {
                let lies = read.map(|read| (HANDOVER.to_owned(), read));
                Event::Lying { workload, source: source(life.agent), lies }
            }
            _ => return None,
        })
    }

    /// What an agent tells of the directory in which it hands drops over.
    pub(crate) fn handed(self, agent: usize, told: &Told) -> Event {
        let past = |at: u64| self.past(at);
        let failed = told.failed.map(|begun| FailedJob {
            job: begun.to_string(),
            at: past(begun),
            status: Some(96),
            meaning: Some("no tape was to be had".to_owned()),
            advice: None,
        });
        let handed = Handed {
            product: Some("NetBackup".to_owned()),
            unread: told.unread.map(past),
            unconfirmed: told.unconfirmed.map(past),
            failed,
            room: told.room.map(|is_full| Room {
                is_full,
                is_mute: false,
                text: "it takes nothing".to_owned(),
            }),
        };
        let handovers = BTreeMap::from([(HANDOVER.to_owned(), handed)]);
        Event::HandedOver { source: source(agent), handovers }
    }
}
