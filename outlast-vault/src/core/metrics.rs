//! What the vault shows to monitoring, in the text format of Prometheus (version 0.0.4).
//!
//! A workload has three series, so 10,000 workloads have 30,000, and a few megabytes: its state is one
//! series with a label, and not one for each state that it might have. Nothing is labelled by drop,
//! snapshot or request.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::time::Duration;

use outlast_promise::{SourceStatus, State, WorkloadStatus};
use outlast_types::{Owner, ShareId, Timestamp};
use outlast_wire::api::{AgentFigures, HandoverReport, MediaReport};

use super::alerts::Health;
use super::counters::Counted;
use super::jobs::JobStatus;
use super::spools::Shown as MediaShown;
use super::vault::Vault;

/// The media type of the format.
pub(crate) const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

const STATES: [State; 7] = [
    State::NeverSeen,
    State::Fresh,
    State::Late,
    State::Broken,
    State::Paused,
    State::Retiring,
    State::Retired,
];

/// What is shown of a media server: the metric, its help, and the number.
type MediaFigure = (&'static str, &'static str, fn(&MediaReport) -> u64);

/// A figure of a route.
type Count = fn(&Health) -> u64;

impl Vault {
    /// All metrics as of now.
    pub(crate) fn metrics(&self) -> String {
        let now = self.environment.clock.now();
        let mut page = Page::default();
        page.family("outlast_build_info", GAUGE, "The vault's program and run; always 1.");
        page.line("outlast_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
        self.workload_metrics(&mut page, now);
        self.trouble_metrics(&mut page, now);
        agents(&mut page, &self.figures.fresh(now));
        handovers(&mut page, &self.figures.fresh_handovers(now), now);
        self.road_metrics(&mut page, now);
        self.alert_metrics(&mut page, now);
        counted(&mut page, &self.counters.read());
        jobs(&mut page, &self.jobs.statuses());
        let head = self.audit.head();
        page.family("outlast_audit_entries", GAUGE, "Entries of the audit log.");
        page.line("outlast_audit_entries", &[], head.number);
        page.text
    }

    fn workload_metrics(&self, page: &mut Page, now: Timestamp) {
        let workloads = self.promises.workloads();
        let mut by_state: BTreeMap<&str, u64> = STATES.map(|state| (state.as_str(), 0)).into();
        for status in &workloads {
            *by_state.entry(status.state.as_str()).or_default() += 1;
        }
        page.family("outlast_workloads", GAUGE, "Workloads, by the state of their promise.");
        for (state, count) in by_state {
            page.line("outlast_workloads", &[("state", state)], count);
        }
        let name = |status: &WorkloadStatus| status.workload.to_string();
        page.family(
            "outlast_workload_state",
            GAUGE,
            "The state of a workload's promise; always 1.",
        );
        for status in &workloads {
            let labels = [("workload", &*name(status)), ("state", status.state.as_str())];
            page.line("outlast_workload_state", &labels, 1);
        }
        let (metric, help) = (
            "outlast_workload_recovery_point_age_seconds",
            "How old the newest recovery point of a workload is, by the vault's clock: vaulted, or what policy \
             counts.",
        );
        page.family(metric, GAUGE, help);
        for status in &workloads {
            if let Some(last) = status.last_safe {
                let age = now.since(last).as_secs();
                page.line(metric, &[("workload", &name(status))], age);
            }
        }
        let (metric, help) = (
            "outlast_workload_suspect",
            "Whether the newest drop of a workload is suspect and no good one has followed; always 1.",
        );
        page.family(metric, GAUGE, help);
        for status in workloads.iter().filter(|status| status.suspect.is_some()) {
            page.line(metric, &[("workload", &name(status))], 1);
        }
        let (metric, help) = (
            "outlast_workload_rpo_seconds",
            "How old the newest recovery point of a workload may be.",
        );
        page.family(metric, GAUGE, help);
        for status in &workloads {
            // Where a schedule says it, until the next one is due.
            let from = status.last_safe.unwrap_or(status.known_since);
            let rpo = status.promise.rpo().unwrap_or_else(|| status.promise.time_after(from));
            page.line(metric, &[("workload", &name(status))], rpo.as_secs());
        }
    }

    /// Who is told, and whether that works.
    fn alert_metrics(&self, page: &mut Page, now: Timestamp) {
        let routes = self.alerts.routes(now);
        let (metric, help) =
            ("outlast_alerts_owed", "Messages that are due on a route and not delivered.");
        page.family(metric, GAUGE, help);
        for (standing, _) in &routes {
            page.line(metric, &[("route", &standing.route)], standing.owed);
        }
        let (metric, help) = (
            "outlast_alert_route_failing_seconds",
            "For how long nothing has got through by a route; 0 if it works.",
        );
        page.family(metric, GAUGE, help);
        for (standing, health) in &routes {
            let failing =
                health.failing.as_ref().map_or(0, |(since, _)| now.since(*since).as_secs());
            page.line(metric, &[("route", &standing.route)], failing);
        }
        let counted: [(&str, &str, Count); 2] = [
            ("outlast_alerts_delivered_total", "What was delivered by a route.", |it| it.delivered),
            ("outlast_alert_failures_total", "Deliveries that failed.", |it| it.failures),
        ];
        for (metric, help, count) in counted {
            page.family(metric, COUNTER, help);
            for (standing, health) in &routes {
                page.line(metric, &[("route", &standing.route)], count(health));
            }
        }
    }

    /// Drops on their way, and the media servers that hold some of them.
    fn road_metrics(&self, page: &mut Page, now: Timestamp) {
        page.family("outlast_shipments_open", GAUGE, "Drops on their way to this vault.");
        page.line("outlast_shipments_open", &[], self.shipments.all().len());
        let servers = self.spools.all();
        let (metric, help) =
            ("outlast_media_heard_age_seconds", "How long ago a media server was heard.");
        page.family(metric, GAUGE, help);
        for MediaShown { media, last, .. } in &servers {
            page.line(metric, &[("media", media)], now.since(*last).as_secs());
        }
        let figures: [MediaFigure; 4] = [
            ("outlast_media_objects", "Objects that wait at a media server.", |it| it.objects),
            ("outlast_media_bytes", "Bytes that wait at a media server.", |it| it.bytes),
            ("outlast_media_room_bytes", "Room in a media server's spool.", |it| it.room),
            ("outlast_media_room_left_bytes", "Room that is left there.", |it| it.room_left),
        ];
        for (metric, help, figure) in figures {
            page.family(metric, GAUGE, help);
            for MediaShown { media, report, .. } in &servers {
                if let Some(report) = report {
                    page.line(metric, &[("media", media)], figure(report));
                }
            }
        }
    }

    fn trouble_metrics(&self, page: &mut Page, now: Timestamp) {
        let (metric, help) = ("outlast_incidents_open", "Open incidents that page, by owner.");
        page.family(metric, GAUGE, help);
        for owner in Owner::ALL {
            let open = self.promises.pages(owner);
            page.line(metric, &[("owner", &owner.to_string())], open);
        }
        let sources = self.promises.sources();
        let (metric, help) = (
            "outlast_agent_heard_age_seconds",
            "How long ago an agent was heard, by the share of which it speaks.",
        );
        page.family(metric, GAUGE, help);
        for SourceStatus { source, last_heard, .. } in &sources {
            let share = source.share.map(|share| share.to_string()).unwrap_or_default();
            let labels = [("agent", &*source.agent), ("share", &*share)];
            page.line(metric, &labels, now.since(*last_heard).as_secs());
        }
        let (metric, help) = (
            "outlast_certificate_expiry_timestamp_seconds",
            "When the certificate ends that its holder showed last.",
        );
        page.family(metric, GAUGE, help);
        let own = self.identity.get();
        let mut ends = BTreeMap::from([(own.peer().to_string(), own.validity().until)]);
        for SourceStatus { source, certificate, .. } in sources {
            if let Some(certificate) = certificate {
                ends.insert(format!("agent {}", source.agent), certificate.until);
            }
        }
        for (holder, until) in ends {
            page.line(metric, &[("holder", &holder)], until.unix_seconds());
        }
    }
}

fn counted(page: &mut Page, counted: &Counted) {
    for (metric, help, value) in [
        ("outlast_drops_published_total", "Drops that were published.", counted.drops),
        (
            "outlast_published_content_bytes_total",
            "Bytes of what was published, before anything was saved.",
            counted.content_bytes,
        ),
        (
            "outlast_published_stored_bytes_total",
            "Bytes that the bills of what was published brought.",
            counted.stored_bytes,
        ),
    ] {
        page.family(metric, COUNTER, help);
        page.line(metric, &[], value);
    }
    let (metric, help) = (
        "outlast_drops_by_sanity_total",
        "Drops that were published, by what is thought of their content.",
    );
    page.family(metric, COUNTER, help);
    for (verdict, count) in &counted.verdicts {
        page.line(metric, &[("verdict", verdict)], count);
    }
    let (metric, help) = ("outlast_requests_total", "Requests of peers, by the status answered.");
    page.family(metric, COUNTER, help);
    for (status, count) in &counted.requests {
        page.line(metric, &[("code", &status.to_string())], count);
    }
}

/// What is shown of the figures of agents: each a metric, and what it says.
type Shown = (&'static str, &'static str, &'static str, fn(&AgentFigures) -> Option<u64>);

const OF_AGENTS: [Shown; 16] = [
    ("outlast_agent_passes_total", COUNTER, "Passes over its share.", |of| Some(of.passes)),
    ("outlast_agent_last_pass_duration_seconds", GAUGE, "How long its last pass took.", |of| {
        Some(of.last_pass_millis)
    }),
    ("outlast_agent_drops_vaulted_total", COUNTER, "Drops that it brought.", |of| {
        Some(of.drops_vaulted)
    }),
    ("outlast_agent_drops_rejected_total", COUNTER, "Drops that it refused.", |of| {
        Some(of.drops_rejected)
    }),
    ("outlast_agent_drops_abandoned_total", COUNTER, "Drops that it gave up.", |of| {
        Some(of.drops_abandoned)
    }),
    ("outlast_agent_drops_released_total", COUNTER, "Drops that it let go.", |of| {
        Some(of.drops_released)
    }),
    ("outlast_agent_drops_waiting", GAUGE, "Sealed drops that are not vaulted.", |of| {
        Some(of.drops_waiting)
    }),
    ("outlast_agent_oldest_waiting_seconds", GAUGE, "How long the oldest of them waits.", |of| {
        of.oldest_waiting_seconds
    }),
    ("outlast_agent_long_loads", GAUGE, "Drops that are read beside the others.", |of| {
        Some(of.long_loads)
    }),
    ("outlast_agent_workloads", GAUGE, "Workloads that it saw.", |of| Some(of.workloads)),
    ("outlast_agent_read_bytes_total", COUNTER, "Content that it read.", |of| Some(of.bytes_read)),
    ("outlast_agent_known_bytes_total", COUNTER, "Content that the vault had already.", |of| {
        Some(of.bytes_known)
    }),
    ("outlast_agent_sent_bytes_total", COUNTER, "Bytes that it sent.", |of| Some(of.bytes_sent)),
    ("outlast_agent_retries_total", COUNTER, "Attempts that failed.", |of| Some(of.retries)),
    ("outlast_agent_problems", GAUGE, "Problems of its last pass.", |of| Some(of.problems)),
    ("outlast_agent_state_bytes", GAUGE, "Bytes of its own directory.", |of| of.state_bytes),
];

/// The figures that agents told with their last reports: their own words.
fn agents(page: &mut Page, figures: &[((String, Option<ShareId>), AgentFigures)]) {
    for (metric, kind, help, value) in OF_AGENTS {
        page.family(metric, kind, help);
        for ((agent, share), figures) in figures {
            let share = share.map(|share| share.to_string()).unwrap_or_default();
            let Some(value) = value(figures) else { continue };
            let labels = [("agent", agent.as_str()), ("share", &share)];
            // Told in milliseconds, and shown in the unit that Prometheus wants.
            match metric.ends_with("_duration_seconds") {
                true => page.line(metric, &labels, Duration::from_millis(value).as_secs_f64()),
                false => page.line(metric, &labels, value),
            }
        }
    }
}

/// What is shown of hand-overs: each a metric, and what it says.
type OfHandover = (&'static str, &'static str, fn(&HandoverReport, Timestamp) -> Option<u64>);

const OF_HANDOVERS: [OfHandover; 8] = [
    ("outlast_handover_offered", "Drops in a hand-over that no job has read.", |of, _| {
        Some(of.offered)
    }),
    ("outlast_handover_read", "Drops that one has read, and that are not confirmed.", |of, _| {
        Some(of.read)
    }),
    ("outlast_handover_confirmed", "Drops there that the product confirmed.", |of, _| {
        Some(of.confirmed)
    }),
    (
        "outlast_handover_oldest_unconfirmed_seconds",
        "Age of the oldest that it did not.",
        |of, now| of.oldest_unconfirmed.as_ref().map(|oldest| now.since(oldest.appeared).as_secs()),
    ),
    ("outlast_handover_leases", "Jobs that read it now.", |of, _| Some(of.leases)),
    ("outlast_handover_used_bytes", "Bytes in a hand-over.", |of, _| Some(of.space.used)),
    ("outlast_handover_budget_bytes", "Bytes that it may have.", |of, _| of.space.budget),
    ("outlast_handover_last_job_status", "The status of the last job, if it has one.", |of, _| {
        of.last_job.as_ref()?.status.and_then(|status| u64::try_from(status).ok())
    }),
];

/// How hand-overs stood by the last reports.
fn handovers(page: &mut Page, all: &[(String, HandoverReport)], now: Timestamp) {
    for (metric, help, value) in OF_HANDOVERS {
        page.family(metric, GAUGE, help);
        for (agent, report) in all {
            if let Some(value) = value(report, now) {
                page.line(metric, &[("agent", agent), ("handover", &report.name)], value);
            }
        }
    }
}

fn jobs(page: &mut Page, jobs: &[JobStatus]) {
    let (metric, help) = ("outlast_job_running", "Whether a job is at work.");
    page.family(metric, GAUGE, help);
    for job in jobs {
        page.line(metric, &[("job", job.name)], u8::from(job.running.is_some()));
    }
    let (metric, help) = ("outlast_job_failures", "How often a job failed in a row.");
    page.family(metric, GAUGE, help);
    for job in jobs {
        page.line(metric, &[("job", job.name)], job.failures);
    }
    let (metric, help) =
        ("outlast_job_last_end_timestamp_seconds", "When the last run of a job ended.");
    page.family(metric, GAUGE, help);
    for job in jobs {
        if let Some(last) = &job.last {
            page.line(metric, &[("job", job.name)], last.ended.unix_seconds());
        }
    }
}

const GAUGE: &str = "gauge";
const COUNTER: &str = "counter";

/// The page that is being written.
#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    /// Begins a metric; all its lines follow before the next one begins.
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a text cannot fail.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.text.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            self.text.push(if index == 0 { '{' } else { ',' });
            let _ = write!(self.text, "{label}=\"{}\"", escaped(text));
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.text, "{end} {value}");
    }
}

/// A label's value: what would end it is marked.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests;
