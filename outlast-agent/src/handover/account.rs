//! The account of a hand-over: what the vault and people are told of it.

use std::collections::BTreeMap;

use outlast_drop::hash::{Algorithm, Digest};
use outlast_handover::ledger::{Job, Ledger, Told, Tracked};
use outlast_handover::manifest::Manifest;
use outlast_handover::product::status::netbackup;
use outlast_handover::{Desk, DropKey, HandoverError, JobKey, Lease, Outcome, Rules, State, lease};
use outlast_types::{ContentHash, DropIdentity, ShareId, Timestamp, WorkloadName};
use outlast_wire::api::{
    DELIVERY_JOBS_MAX, Delivery, DeliveryState, HANDOVER_PATTERNS_MAX, HANDOVER_TEXT_MAX,
    HandoverJob, HandoverReport, HandoverSpace, HandoverState, JobResult, LEASE_HOLDERS_MAX,
    LeaseHolder, UnconfirmedDrop, UnconfirmedDrops,
};

/// How a hand-over stands.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    pub(crate) report: HandoverReport,
    /// Of each workload, the drops there that are not confirmed.
    pub(crate) unconfirmed: BTreeMap<WorkloadName, UnconfirmedDrops>,
}

impl Account {
    /// Of one whose directory was never opened.
    pub(super) fn closed(rules: &Rules) -> Self {
        let report = HandoverReport {
            name: rules.name.clone(),
            state: HandoverState::Troubled,
            product: None,
            instead: rules.instead,
            patterns: patterns(rules),
            offered: 0,
            read: 0,
            confirmed: 0,
            releasable: 0,
            oldest_unread: None,
            oldest_unconfirmed: None,
            last_read: None,
            last_confirmed: None,
            last_job: None,
            leases: 0,
            holders: Vec::new(),
            space: HandoverSpace::default(),
            problems: Vec::new(),
            deliveries: Vec::new(),
        };
        Self { report, unconfirmed: BTreeMap::new() }
    }

    /// Of one that stands as its desk says.
    pub(super) fn of(desk: &Desk, is_rebuilt: bool) -> Result<Self, HandoverError> {
        let (ledger, rules) = (desk.ledger(), desk.rules());
        let mut account = Self::closed(rules);
        let states = ledger.states(rules);
        account.count(ledger, &states);
        let (leases, _) = lease::list(desk.place())?;
        let mut leases: Vec<Lease> = leases.into_values().collect();
        leases.sort_by_key(|lease| lease.began);
        let report = &mut account.report;
        report.state = match is_rebuilt {
            true => HandoverState::Ready,
            false => HandoverState::Rebuilding,
        };
        let jobs = ledger.jobs();
        let sent = jobs.values().filter(|job| job.has_sent());
        report.last_read = sent.filter_map(|job| job.began).max();
        let counting = jobs.values().filter(|job| job.counts());
        report.last_confirmed = counting.filter_map(|job| job.evidence_at).max();
        let last = jobs.iter().max_by_key(|(_, job)| job.last_word());
        report.product = last.and_then(|(_, job)| job.product.as_deref()).map(cut);
        report.last_job = match (last, leases.last()) {
            (Some((_, job)), Some(lease)) if job.last_word() < Some(lease.began) => {
                Some(running(lease))
            }
            (Some((key, job)), _) => Some(shown(key, job)),
            (None, lease) => lease.map(running),
        };
        report.leases = leases.len() as u64;
        report.holders = leases.iter().take(LEASE_HOLDERS_MAX).map(holder).collect();
        report.space = HandoverSpace {
            used: ledger.bytes().saturating_add(desk.staged_bytes()),
            budget: rules.budget,
            free: free(desk),
        };
        Ok(account)
    }

    fn count(&mut self, ledger: &Ledger, states: &[(&Tracked, State)]) {
        let report = &mut self.report;
        for (tracked, state) in states {
            let offer = &tracked.offer;
            match state {
                State::Offered => report.offered += 1,
                State::Read => report.read += 1,
                State::Confirmed => report.confirmed += 1,
                State::Releasable => {
                    report.confirmed += 1;
                    report.releasable += 1;
                }
            }
            // Of one that a product had, and has no more, the vault is told as of that: it is one trouble, and the
            // product was in time.
            let is_withdrawn = state_of(tracked, *state) == Some(DeliveryState::Withdrawn);
            if *state == State::Offered && !is_withdrawn {
                let oldest = report.oldest_unread.get_or_insert(offer.appeared);
                *oldest = (*oldest).min(offer.appeared);
            }
            if ledger.is_confirmed(tracked) {
                continue;
            }
            let of = self.unconfirmed.entry(offer.workload.clone());
            let handover = report.name.clone();
            let of = of.or_insert(UnconfirmedDrops { handover, drops: 0, read: 0 });
            of.drops += 1;
            of.read += u64::from(*state == State::Read);
            if is_withdrawn {
                continue;
            }
            let oldest = report.oldest_unconfirmed.as_ref();
            if oldest.is_none_or(|oldest| offer.appeared < oldest.appeared) {
                let (workload, drop) = (offer.workload.clone(), offer.drop);
                let appeared = offer.appeared;
                report.oldest_unconfirmed = Some(UnconfirmedDrop { workload, drop, appeared });
            }
        }
    }
}

/// The workloads that it takes, as they are told.
fn patterns(rules: &Rules) -> Vec<String> {
    rules.workloads.iter().take(HANDOVER_PATTERNS_MAX).map(ToString::to_string).collect()
}

/// What became of a drop, by its state and what the share was told.
pub(super) fn state_of(tracked: &Tracked, state: State) -> Option<DeliveryState> {
    match state {
        State::Confirmed | State::Releasable => Some(DeliveryState::Confirmed),
        _ if tracked.told.iter().any(|it| matches!(it, Told::Confirmed | Told::TakenBack)) => {
            Some(DeliveryState::Withdrawn)
        }
        State::Read => Some(DeliveryState::Read),
        State::Offered => None,
    }
}

/// What the vault is told of a drop.
pub(super) fn delivery(
    desk: &Desk,
    tracked: &Tracked,
    state: DeliveryState,
    now: Timestamp,
) -> Option<Delivery> {
    let (ledger, offer) = (desk.ledger(), &tracked.offer);
    let jobs: Vec<(&JobKey, &Job)> = match state {
        DeliveryState::Read => ledger.reader(tracked).into_iter().collect(),
        DeliveryState::Confirmed => ledger.holders(tracked).collect(),
        DeliveryState::Withdrawn => {
            let has_some = |(key, job): &(&JobKey, &Job)| {
                tracked.held.contains_key(*key) && job.withdrawn.is_some()
            };
            ledger.jobs().iter().filter(has_some).collect()
        }
    };
    let manifest = Manifest::read(&desk.place().directory().join(&offer.path)).ok()?;
    let drop = DropIdentity {
        share: offer.share,
        workload: offer.workload.clone(),
        day: offer.day,
        drop: offer.drop,
        seal: offer.seal,
    };
    let newest = jobs.iter().max_by_key(|(_, job)| job.last_word());
    let at = newest.and_then(|(_, job)| job.last_word()).unwrap_or(now);
    let by = newest.and_then(|(_, job)| job.by.as_deref()).map(cut);
    let product = newest.and_then(|(_, job)| job.product.as_deref()).map(cut);
    let reason = jobs.iter().find_map(|(_, job)| job.withdrawn.as_ref());
    let reason = reason.map(|(_, reason)| cut(reason));
    let is_withdrawn = state == DeliveryState::Withdrawn;
    let evidence = (state == DeliveryState::Confirmed).then(|| evidence(tracked, &jobs)).flatten();
    Some(Delivery {
        drop,
        state,
        at,
        size: manifest.size,
        first_seen: offer.sight.first_seen,
        sanity: offer.sanity.clone(),
        sanity_rule: offer.sight.sanity_rule.clone(),
        product,
        jobs: told_jobs(tracked, jobs),
        evidence,
        by,
        reason: reason
            .filter(|_| is_withdrawn)
            .or_else(|| is_withdrawn.then(|| "evidence says otherwise now".to_owned())),
    })
}

/// Those that have all of it first, and of these the newest.
fn told_jobs(tracked: &Tracked, mut jobs: Vec<(&JobKey, &Job)>) -> Vec<HandoverJob> {
    let is_whole = |key: &JobKey| {
        let held = tracked.held.get(key);
        held.is_some_and(|held| held.is_whole(tracked.offer.files))
    };
    jobs.sort_by_key(|(key, job)| (is_whole(key), job.began));
    jobs.into_iter().rev().take(DELIVERY_JOBS_MAX).map(|(key, job)| shown(key, job)).collect()
}

/// The hash of all that is kept of what the jobs have of a drop.
fn evidence(tracked: &Tracked, jobs: &[(&JobKey, &Job)]) -> Option<ContentHash> {
    let kept: Vec<_> = jobs.iter().map(|(key, job)| (key, job, tracked.held.get(*key))).collect();
    let bytes = serde_json::to_vec(&kept).ok()?;
    Digest::of(Algorithm::Blake3, &bytes).digits().as_str().parse().ok()
}

/// A job, as far as it is known.
pub(super) fn shown(key: &JobKey, job: &Job) -> HandoverJob {
    let (result, status, meaning) = match &job.outcome {
        _ if job.withdrawn.is_some() => (JobResult::Withdrawn, None, None),
        Some(Outcome::Well) => (JobResult::Well, None, None),
        Some(Outcome::Partial) => (JobResult::Partial, None, None),
        // No product has a status 0 for what failed: it has none in numbers.
        Some(Outcome::Failed { status, words }) => {
            (JobResult::Failed, Some(*status).filter(|it| *it != 0), Some(cut(words)))
        }
        None if job.has_sent() => (JobResult::Sent, job.client_status().map(i64::from), None),
        None => match job.client_status() {
            Some(status) if status > 1 => (JobResult::Failed, Some(i64::from(status)), None),
            _ if job.streams.values().any(|end| end.status.is_none()) => {
                (JobResult::Lapsed, None, None)
            }
            None if job.is_untold() => (JobResult::Unknown, None, None),
            _ => (JobResult::Running, None, None),
        },
    };
    let word = |word: &Option<String>| word.as_deref().map(cut);
    // Other products' numbers mean something else.
    let is_netbackup = job.product.as_deref() == Some("NetBackup");
    let known = status.filter(|it| is_netbackup && *it != 0).map(netbackup);
    let meaning = known.map(|it| it.words.to_owned()).or(meaning);
    HandoverJob {
        key: key.to_string(),
        shown: Some(cut(&job.facts.shown())),
        schedule: word(&job.facts.schedule),
        kind: word(&job.facts.kind),
        began: job.began,
        ended: job.ended,
        result,
        status,
        meaning: meaning.filter(|words| !words.is_empty()),
        advice: known.map(|it| it.advice.to_owned()),
        by: word(&job.by),
    }
}

fn running(lease: &Lease) -> HandoverJob {
    let facts = &lease.job;
    HandoverJob {
        key: lease.key().to_string(),
        shown: Some(cut(&facts.shown())),
        schedule: facts.schedule.as_deref().map(cut),
        kind: facts.kind.as_deref().map(cut),
        began: Some(lease.began),
        ended: None,
        result: JobResult::Running,
        status: None,
        meaning: None,
        advice: None,
        by: None,
    }
}

fn holder(lease: &Lease) -> LeaseHolder {
    LeaseHolder { job: cut(&lease.job.shown()), since: lease.began, until: lease.deadline }
}

fn free(desk: &Desk) -> Option<u64> {
    outlast_handover::stage::free(&desk.place().staging()).ok()
}

/// Words of a product are data, and of bounded length.
fn cut(words: &str) -> String {
    words.chars().take(HANDOVER_TEXT_MAX).collect()
}

/// What the vault may not know of drops in the directory, the oldest first.
pub(super) fn untold(
    desk: &Desk,
    is_heard: impl Fn(&DropKey, DeliveryState) -> bool,
    (share, max): (Option<ShareId>, usize),
    now: Timestamp,
) -> Vec<Delivery> {
    let mut states = desk.ledger().states(desk.rules());
    // A report is of one share, and what is told in it of others is not believed.
    states.retain(|(tracked, _)| share.is_none_or(|share| tracked.offer.share == share));
    states.sort_by_key(|(tracked, _)| tracked.offer.appeared);
    let known = states
        .into_iter()
        .filter_map(|(tracked, state)| state_of(tracked, state).map(|state| (tracked, state)));
    let untold = known.filter(|(tracked, state)| !is_heard(&tracked.offer.key(), *state));
    untold.filter_map(|(tracked, state)| delivery(desk, tracked, state, now)).take(max).collect()
}

/// What the vault is to hear of the drops that may leave now, of those that are meant.
pub(super) fn leaving(
    desk: &Desk,
    is_meant: impl Fn(&Tracked) -> bool,
    now: Timestamp,
) -> Vec<Delivery> {
    let all = desk.ledger().releasable(desk.rules());
    let ledger = desk.ledger();
    let leaving = all.iter().filter_map(|drop| ledger.get(drop));
    // What was let go by hand may be confirmed by nobody.
    let leaving = leaving.filter(|it| ledger.is_confirmed(it) && is_meant(it));
    leaving.filter_map(|it| delivery(desk, it, DeliveryState::Confirmed, now)).collect()
}

#[cfg(test)]
mod tests {
    use outlast_handover::ledger::Received;
    use outlast_handover::offer::Sight;
    use outlast_handover::{Event, FileSet, Holds, JobFacts, Layout, Offer, Statement};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_unix(1_800_000_000 + second, 0).unwrap()
    }

    fn offer(number: u8, appeared: i64) -> Offer {
        Offer {
            share: "6f1c1d6e-8f0a-4c6b-9d53-0d6f1a0f7b11".parse().unwrap(),
            workload: WorkloadName::new("shop").unwrap(),
            day: Timestamp::EPOCH.day(),
            drop: format!("01a2066b-8649-78cb-a8bc-a5af0e9525{number:02x}").parse().unwrap(),
            seal: ContentHash([number; 32]),
            layout: Layout::Plain,
            path: format!("shop/{number}"),
            appeared: at(appeared),
            stamp: at(appeared + 1),
            files: 1,
            bytes: 10,
            sight: Sight::default(),
            sanity: None,
        }
    }

    fn told(ledger: &Ledger) -> (Option<Timestamp>, Option<Timestamp>, u64) {
        let rules = Rules::new("nbu", std::path::PathBuf::from("/srv/nbu"));
        let mut account = Account::closed(&rules);
        account.count(ledger, &ledger.states(&rules));
        let Account { report, unconfirmed } = account;
        let lying = unconfirmed.values().map(|of| of.drops).sum();
        (report.oldest_unread, report.oldest_unconfirmed.map(|it| it.appeared), lying)
    }

    /// A product of which nobody tells but its own record: no hook says what is read.
    #[test]
    fn one_cause_a_drop_whose_image_is_gone_is_withdrawn_and_neither_unread_nor_unconfirmed() {
        let mut ledger = Ledger::default();
        let (old, new) = (offer(1, 100), offer(2, 600));
        ledger.apply(Event::Offered(old.clone()));
        assert_eq!(told(&ledger), (Some(at(100)), Some(at(100)), 1));
        let confirm = |ledger: &mut Ledger, id: &str, began: i64, drop: &Offer| {
            let statement = Statement {
                job: JobFacts::of_id(id),
                began: Some(at(began)),
                ended: None,
                outcome: Outcome::Well,
                holds: Holds::Everything,
                product: None,
                by: "bplist on host".to_owned(),
            };
            let held = vec![(drop.key(), FileSet::whole(1))];
            let received = Received { statement, held, at: at(began + 10) };
            ledger.apply(Event::Evidence(Box::new(received)));
        };
        confirm(&mut ledger, "1", 200, &old);
        ledger.apply(Event::Told { drop: old.key(), told: Told::Confirmed });
        assert_eq!(told(&ledger), (None, None, 0));
        let reason = "the image expired".to_owned();
        ledger.apply(Event::Withdrawn { job: JobFacts::of_id("1").key(), at: at(500), reason });
        assert_eq!(told(&ledger), (None, None, 1), "it lies there, and another page says so");
        ledger.apply(Event::TakenBack { drop: old.key() });
        assert_eq!(told(&ledger), (None, None, 1), "and still when the share was told");
        // What came later waits for a job as ever.
        ledger.apply(Event::Offered(new.clone()));
        assert_eq!(told(&ledger), (Some(at(600)), Some(at(600)), 2));
        confirm(&mut ledger, "2", 700, &new);
        assert_eq!(told(&ledger), (None, None, 1));
        confirm(&mut ledger, "3", 800, &old);
        assert_eq!(told(&ledger), (None, None, 0));
    }
}
