//! What the entries of a month say of who opened workloads, and of what they used.

use outlast_wire::api::Purpose;
use serde_json::Value;

use super::charge::DayUsed;
use super::{EntryJson, Outcome, Reader, deed, push};

impl Reader {
    /// Somebody opened a workload. Who does not say what for may have brought something back.
    pub(super) fn opening(&mut self, entry: &EntryJson) {
        let (deed, times) = (deed(entry), entry.times.unwrap_or(1));
        let is_listing =
            entry.details.get("purpose").is_some_and(|it| it == Purpose::List.as_str());
        let Some(workload) = self.of(entry) else { return };
        let is_done = entry.outcome == Outcome::Done;
        match (&mut workload.charge, &mut workload.listings) {
            (Some(charge), Some(listings)) if is_listing => {
                charge.listings += if is_done { times } else { 0 };
                push(listings, deed);
            }
            (charge, _) => {
                if let Some(charge) = charge.as_mut().filter(|_| is_done) {
                    charge.restores += times;
                }
                push(&mut workload.restores, deed);
            }
        }
    }

    /// What was stored on a day. A month of the first form does not tell of it.
    pub(super) fn used(&mut self, content: Option<Value>) {
        let Some(Ok(used)) = content.map(serde_json::from_value::<DayUsed>) else { return };
        for of in &used.workloads {
            if let Some(charge) = &mut self.named(&of.workload).charge {
                charge.add(&used.day, of);
            }
        }
        self.days.insert(used.day);
    }
}
