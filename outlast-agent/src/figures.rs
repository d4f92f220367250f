//! The agent's figures as node_exporter reads them from a file: the agent listens on nothing.

use std::fmt::Write;

use outlast_wire::api::{AgentFigures, HandoverReport};

/// The figures in the text format of Prometheus.
pub(crate) fn text(figures: &AgentFigures, agent: &str) -> String {
    // The name of a peer is plain: letters, digits, dots, dashes.
    let labels = format!("{{agent=\"{agent}\"}}");
    let mut text = String::new();
    let _ = writeln!(
        text,
        "# HELP outlast_agent_info The program.\n# TYPE outlast_agent_info gauge\n\
         outlast_agent_info{{agent=\"{agent}\",version=\"{}\"}} 1",
        figures.version
    );
    let mut one = |kind: &str, name: &str, help: &str, value: Option<String>| {
        if let Some(value) = value {
            // Writing to a text cannot fail.
            let _ = writeln!(
                text,
                "# HELP outlast_agent_{name} {help}\n# TYPE outlast_agent_{name} {kind}\n\
                 outlast_agent_{name}{labels} {value}"
            );
        }
    };
    let seconds = |millis: u64| format!("{}.{:03}", millis / 1000, millis % 1000);
    let at = |at: outlast_types::Timestamp| at.unix_seconds().to_string();
    let count = |count: u64| Some(count.to_string());
    let f = figures;
    one("gauge", "clock_seconds", "The agent's clock.", f.clock.map(at));
    one("counter", "passes_total", "Passes over the share that ended.", count(f.passes));
    one("gauge", "last_pass_seconds", "When the last pass ended.", f.last_pass.map(at));
    let took = Some(seconds(f.last_pass_millis));
    one("gauge", "last_pass_duration_seconds", "How long the last pass took.", took);
    let lasts = Some(f.pass_under_way_millis.map_or("0".to_owned(), seconds));
    one("gauge", "pass_under_way_seconds", "How long the pass under way has lasted.", lasts);
    one("counter", "drops_vaulted_total", "Drops that were vaulted.", count(f.drops_vaulted));
    one("counter", "drops_rejected_total", "Drops that were rejected.", count(f.drops_rejected));
    one("counter", "drops_abandoned_total", "Drops whose writer died.", count(f.drops_abandoned));
    one("counter", "drops_released_total", "Drops that left the share.", count(f.drops_released));
    one("gauge", "drops_waiting", "Sealed drops that are not vaulted.", count(f.drops_waiting));
    let transit = count(f.drops_in_transit);
    one("gauge", "drops_in_transit", "Of these, the ones that wait at media servers.", transit);
    let oldest = count(f.oldest_waiting_seconds.unwrap_or(0));
    one("gauge", "oldest_waiting_seconds", "How long the oldest of them waits.", oldest);
    one("gauge", "long_loads", "Drops that are read beside the others.", count(f.long_loads));
    one("gauge", "workloads", "Workloads that were seen.", count(f.workloads));
    let names = count(f.names_waiting);
    one("gauge", "names_waiting", "Names on the share that wait for their turn.", names);
    let calls = "Calls to the share's file system, but for reading content.";
    one("counter", "share_calls_total", calls, count(f.share_calls));
    let pace =
        "Bytes of content that the share gives in a second, while it is waited for; 0: unknown.";
    let rate = count(f.share_bytes_per_second.unwrap_or(0));
    one("gauge", "share_bytes_per_second", pace, rate);
    one("counter", "read_bytes_total", "Bytes of content that were read.", count(f.bytes_read));
    one("counter", "known_bytes_total", "Of these, known to the vault.", count(f.bytes_known));
    one("counter", "sent_bytes_total", "Bytes that were sent.", count(f.bytes_sent));
    one("counter", "retries_total", "Attempts that failed.", count(f.retries));
    one("gauge", "problems", "Problems that the last pass met.", count(f.problems));
    let state = f.state_bytes.map(|bytes| bytes.to_string());
    one("gauge", "state_bytes", "Bytes of the agent's own directory.", state);
    text
}

/// The figures of hand-overs in the same format.
pub(crate) fn of_handovers(reports: &[HandoverReport], agent: &str) -> String {
    let mut text = String::new();
    let mut one = |name: &str, help: &str, of: &dyn Fn(&HandoverReport) -> Option<u64>| {
        let told = reports.iter().filter_map(|report| Some((report, of(report)?)));
        let told: Vec<_> = told.collect();
        if told.is_empty() {
            return;
        }
        let _ = writeln!(
            text,
            "# HELP outlast_agent_handover_{name} {help}\n# TYPE outlast_agent_handover_{name} gauge"
        );
        for (report, value) in told {
            // Names of hand-overs are plain, too.
            let handover = &report.name;
            let _ = writeln!(
                text,
                "outlast_agent_handover_{name}{{agent=\"{agent}\",handover=\"{handover}\"}} {value}"
            );
        }
    };
    let at = |at: Option<outlast_types::Timestamp>| {
        at.and_then(|at| u64::try_from(at.unix_seconds()).ok())
    };
    let oldest = |it: &HandoverReport| at(it.oldest_unconfirmed.as_ref().map(|it| it.appeared));
    one("offered", "Drops that no job has read.", &|it| Some(it.offered));
    one("read", "Drops that a job has read, and that are not confirmed.", &|it| Some(it.read));
    one("confirmed", "Drops that the product has.", &|it| Some(it.confirmed));
    one("releasable", "Of these, the ones that may leave.", &|it| Some(it.releasable));
    one("leases", "Jobs that read now.", &|it| Some(it.leases));
    one("used_bytes", "Bytes there and on the way there.", &|it| Some(it.space.used));
    one("budget_bytes", "The most bytes there.", &|it| it.space.budget);
    one("free_bytes", "Bytes that are free on its disk.", &|it| it.space.free);
    one(
        "oldest_unconfirmed_seconds",
        "When the oldest drop appeared that is not confirmed.",
        &oldest,
    );
    one("last_read_seconds", "When the last job began that has read all.", &|it| at(it.last_read));
    one("last_confirmed_seconds", "When the last confirmation came.", &|it| at(it.last_confirmed));
    one("problems", "What keeps it from its work.", &|it| Some(it.problems.len() as u64));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_is_told_once_with_its_kind() {
        let figures = AgentFigures {
            version: "1.2.3".to_owned(),
            last_pass_millis: 1042,
            bytes_read: 7,
            state_bytes: Some(9),
            ..AgentFigures::default()
        };
        let text = text(&figures, "eu-1");
        assert!(text.contains("outlast_agent_info{agent=\"eu-1\",version=\"1.2.3\"} 1\n"));
        assert!(text.contains("outlast_agent_last_pass_duration_seconds{agent=\"eu-1\"} 1.042\n"));
        assert!(text.contains("# TYPE outlast_agent_read_bytes_total counter\n"));
        assert!(text.contains("outlast_agent_state_bytes{agent=\"eu-1\"} 9\n"));
        let samples: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let names: std::collections::BTreeSet<_> =
            samples.iter().map(|line| line.split('{').next()).collect();
        assert_eq!(names.len(), samples.len());
        assert!(text.ends_with('\n'));
    }
}
