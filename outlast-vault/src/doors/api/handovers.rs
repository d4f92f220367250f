//! What a report says of hand-overs, as events.

use std::collections::BTreeMap;
use std::time::Duration;

use outlast_promise::{Event, FailedJob, Handed, Room, Source};
use outlast_types::Timestamp;
use outlast_wire::api::{
    AgentReport, HandoverJob, HandoverReport, HandoverTrouble, JobResult, REPORT_DELIVERIES_MAX,
    REPORT_HANDOVERS_MAX,
};

/// Why what a report says of hand-overs cannot be heard, if so.
pub(super) fn too_much(report: &AgentReport) -> Option<String> {
    if report.handovers.len() > REPORT_HANDOVERS_MAX {
        return Some(format!("a report names at most {REPORT_HANDOVERS_MAX} hand-overs"));
    }
    let deliveries: usize = report.handovers.iter().map(|it| it.deliveries.len()).sum();
    (deliveries > REPORT_DELIVERIES_MAX).then(|| {
        format!("a report says of at most {REPORT_DELIVERIES_MAX} drops what became of them")
    })
}

/// How drops lie in hand-overs, and how those stand. The last part of what a pass tells says that: what came of
/// drops is told until then.
pub(super) fn events_of(source: &Source, report: &AgentReport, received: Timestamp) -> Vec<Event> {
    let mut events = Vec::new();
    for seen in &report.workloads {
        let lies = seen.unconfirmed.iter().filter(|lies| lies.drops > 0);
        // In several hand-overs, the one in which most lies.
        let lies = lies.max_by_key(|lies| lies.drops);
        events.push(Event::Lying {
            workload: seen.name.clone(),
            source: source.clone(),
            lies: lies.map(|lies| (lies.handover.clone(), lies.read >= lies.drops)),
        });
    }
    if report.part == report.parts {
        let ahead = report.pass.finished.unix_seconds().saturating_sub(received.unix_seconds());
        let handed = |it: &HandoverReport| (it.name.clone(), handed(it, ahead, received));
        let handovers: BTreeMap<String, Handed> = report.handovers.iter().map(handed).collect();
        events.push(Event::HandedOver { source: source.clone(), handovers });
    }
    events
}

/// One hand-over, in the vault's time: its agent's clock is ahead by so many seconds.
fn handed(report: &HandoverReport, ahead: i64, received: Timestamp) -> Handed {
    let own = |at: Timestamp| {
        let by = Duration::from_secs(ahead.unsigned_abs());
        let own = if ahead < 0 { at.saturating_add(by) } else { at.saturating_sub(by) };
        own.min(received)
    };
    let failed = report.last_job.as_ref().filter(|job| job.result == JobResult::Failed);
    let full = |code| report.problems.iter().find(move |problem| problem.code == code);
    let room = full(HandoverTrouble::Directory).or_else(|| full(HandoverTrouble::Confirmer));
    let room = full(HandoverTrouble::Full)
        .map(|problem| Room { is_full: true, is_mute: false, text: problem.text.clone() })
        .or_else(|| {
            room.map(|problem| {
                let is_mute = problem.code == HandoverTrouble::Confirmer;
                Room { is_full: false, is_mute, text: problem.text.clone() }
            })
        });
    Handed {
        product: report.product.clone(),
        unread: report.oldest_unread.map(own),
        unconfirmed: report.oldest_unconfirmed.as_ref().map(|oldest| own(oldest.appeared)),
        failed: failed.map(|job: &HandoverJob| FailedJob {
            job: job.shown.clone().unwrap_or_else(|| job.key.clone()),
            at: own(job.began.or(job.ended).unwrap_or(received)),
            status: job.status,
            meaning: job.meaning.clone(),
            advice: job.advice.clone(),
        }),
        room,
    }
}
