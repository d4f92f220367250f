//! Which looks at a share were heard whole: an agent tells a large one in parts, and only from all of them
//! together follows what does not wait.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use outlast_promise::{Event, Source};
use outlast_types::Timestamp;
use outlast_wire::api::AgentReport;

/// Sources of which parts are remembered; they are forgotten together, which costs one look each.
const SOURCES_MAX: usize = 4096;

/// The parts that were heard of the last look of each source.
#[derive(Default)]
pub(crate) struct Looks {
    of: Mutex<BTreeMap<Source, Look>>,
}

/// By when the agent says that it began, which tells one look from the next.
struct Look {
    began: Timestamp,
    parts: BTreeSet<u32>,
}

impl Looks {
    /// A part was heard, at `received`: what to say if that was all of it.
    pub(crate) fn heard(
        &self,
        source: &Source,
        report: &AgentReport,
        received: Timestamp,
    ) -> Option<Event> {
        let mut of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        if of.len() >= SOURCES_MAX {
            of.clear();
        }
        let began = report.pass.started;
        let look =
            of.entry(source.clone()).or_insert_with(|| Look { began, parts: BTreeSet::new() });
        if look.began != began {
            *look = Look { began, parts: BTreeSet::new() };
        }
        look.parts.insert(report.part);
        if look.parts.len() < usize::try_from(report.parts).unwrap_or(usize::MAX) {
            return None;
        }
        // By our clock: it took as long as it says, and cannot have ended later than it was heard.
        let took = report.pass.finished.since(began);
        Some(Event::Looked { source: source.clone(), began: received.saturating_sub(took) })
    }
}
