//! Writers that stopped before they sealed: what an agent reports of them, for the sentence of a promise that breaks
//! of it.

use outlast_promise::{Event, Source, Stopped};
use outlast_types::{Timestamp, WorkloadName};
use outlast_wire::api::AgentReport;

use crate::core::vault::Vault;

/// A writer that did not seal has not come to the end.
const PERCENT_MAX: u64 = 99;

pub(super) fn told(
    vault: &Vault,
    source: &Source,
    report: &AgentReport,
    received: Timestamp,
) -> Vec<Event> {
    let rows = report.workloads.iter();
    let told = rows.filter_map(|row| Some((row.name.clone(), row.stopped.as_ref()?)));
    let event = |(workload, stopped): (WorkloadName, &outlast_wire::api::StoppedWriter)| {
        let percent = stopped.bytes.and_then(|bytes| percent(vault, &workload, bytes));
        let (instance, at) = (stopped.instance.clone(), stopped.at.min(received));
        let stopped = Stopped { instance, at, percent };
        Event::Stopped { workload, source: source.clone(), stopped }
    };
    told.map(event).collect()
}

/// How far it came, by the size of the drop before.
fn percent(vault: &Vault, workload: &WorkloadName, bytes: u64) -> Option<u8> {
    let newest = vault.promises.catalog().recent_snapshots(workload, 1).ok()?.pop()?;
    let percent = bytes.saturating_mul(100).checked_div(newest.content_bytes)?;
    u8::try_from(percent.min(PERCENT_MAX)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::testing::{World, agent, bill, shop, upload};

    #[test]
    fn a_writer_that_stopped_is_measured_by_the_drop_before_it() {
        let world = World::new();
        let vault = world.open();
        assert_eq!(percent(&vault, &shop(), 3), None, "nothing was vaulted yet");
        let outcome = upload(&vault, &shop(), b"a dump");
        // Seven bytes, by its bill.
        vault.publish(&bill(&vault, &shop(), &outcome), &agent()).unwrap();
        assert_eq!(percent(&vault, &shop(), 3), Some(42));
        assert_eq!(percent(&vault, &shop(), 700), Some(99), "it did not seal");
        assert_eq!(percent(&vault, &shop(), 0), Some(0));
    }
}
