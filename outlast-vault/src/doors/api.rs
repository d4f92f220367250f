//! `/api/v1`: thin handlers over blocking work.

mod backups;
mod call;
mod certificates;
mod enrollment;
mod evidence;
mod handovers;
mod incidents;
mod jobs;
mod keeping;
mod names;
mod orders;
mod policy;
mod releases;
pub(super) mod road;
mod shipments;
mod stopped;
mod tokens;
mod views;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Extension, Router};
use outlast_catalog::ReportRecord;
use outlast_promise::{
    Backlog, Declaration, Event, Slowness, Source, State as PromiseState, slowness,
};
use outlast_types::{ProblemCode, ProblemKind, Sanity, Timestamp, WorkloadName};
use outlast_wire::access::{self, Call};
use outlast_wire::api::{
    AgentReport, BODY_BYTES_MAX, ErrorCode, Problem, Reported, SnapshotView, WorkloadReport,
    WorkloadView,
};
use outlast_wire::holdings::{Question, SignedAnswer};
use outlast_wire::server::{ApiError, RequestId};
use outlast_wire::statement::Statement;
use outlast_wire::{Certified, Peer};

use self::call::{Answer, Api, WorkloadQuery, workload_in_path, workload_name};
use crate::core::audit::{AuditAction, Event as AuditEvent, Outcome};
use crate::core::error::VaultError;
use crate::core::handing::Teller;
use crate::core::sights::Told;
use crate::core::vault::{Vault, validity};

/// Workloads in one report: a share with more is not a share but an attack on our memory.
const REPORTED_WORKLOADS_MAX: usize = 10_000;

pub(crate) fn router(vault: Arc<Vault>) -> Router {
    Router::new()
        .route("/api/v1/workloads/{workload}/open", post(open))
        .route("/api/v1/holdings", post(holdings))
        .route("/api/v1/agent/report", post(report))
        .route("/api/v1/workloads", get(workloads))
        .route("/api/v1/workloads/{workload}", get(workload))
        .route("/api/v1/snapshots", get(snapshots))
        .merge(backups::routes())
        .merge(shipments::routes())
        .merge(orders::routes())
        .merge(incidents::routes())
        .merge(jobs::routes())
        .merge(keeping::routes())
        .merge(road::routes())
        .merge(certificates::routes())
        .merge(policy::routes())
        .merge(releases::routes())
        .merge(tokens::routes())
        .merge(enrollment::routes())
        .merge(evidence::routes())
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(Api::new(vault))
}

async fn nothing_here() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, ErrorCode::NotFound, "there is nothing at this address")
        .hint("a vault serves /repo/<workload>/ and /api/v1/")
}

async fn wrong_method() -> ApiError {
    let text = "this address does not know this method";
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, ErrorCode::BadMethod, text)
}

async fn open(
    State(api): State<Api>,
    Extension(asker): Extension<Certified>,
    Extension(id): Extension<RequestId>,
    workload: Result<Path<String>, PathRejection>,
    request: Request,
) -> Answer<Statement> {
    let workload = workload_in_path(workload)?;
    api.permit_carrier(&asker, Call::OpenRepository, &workload)?;
    let (statement, _held): (Statement, _) = api.body(request).await?;
    let _turn = api.first_contact(&asker.peer, api.vault.present(&workload)).await?;
    api.run(asker, id, move |vault, carrier| {
        let (asker, asked) = vault.hear_request(&statement, &workload, carrier)?;
        vault.hand_out_key(&asker, &asked, &carrier.peer)
    })
    .await
}

async fn holdings(
    State(api): State<Api>,
    Extension(asker): Extension<Certified>,
    Extension(id): Extension<RequestId>,
    request: Request,
) -> Answer<SignedAnswer> {
    access::check_carrier(&asker.peer, Call::AskHoldings)?;
    let (question, _held): (Question, _) = api.body(request).await?;
    api.run(asker, id, move |vault, carrier| {
        let (asker, question) = vault.hear_holdings(question, carrier)?;
        vault.holdings(question, &asker)
    })
    .await
}

async fn report(
    State(api): State<Api>,
    Extension(asker): Extension<Certified>,
    Extension(id): Extension<RequestId>,
    request: Request,
) -> Answer<Reported> {
    access::check_carrier(&asker.peer, Call::Report)?;
    let (statement, _held): (Statement, _) = api.body(request).await?;
    api.run(asker, id, move |vault, carrier| {
        let (agent, mut words) = vault.hear_report(&statement, carrier)?;
        let source = Source { agent: agent.peer.name().to_owned(), share: words.share };
        let certificate = Some(validity(agent.validity));
        let is_news = vault.promises.is_news(&source, certificate);
        let too_much = words.report.as_ref().and_then(too_much);
        let Some(report) = words.report.as_mut().filter(|_| too_much.is_none()) else {
            // It lives, whatever it said.
            if is_news {
                vault.promises.heard(source, certificate)?;
            }
            return match too_much {
                Some(reason) => Err(VaultError::TooMuch { reason }),
                None => Ok(Reported { run: vault.run.clone(), ..Reported::default() }),
            };
        };
        leave_out_foreign(vault, &agent, report);
        let former = names::translate(vault, report);
        let (received, share) = (vault.environment.clock.now(), report.share);
        let (mut events, part) = (events_of(vault, &agent.peer, report, received), report.part);
        events.extend(names::told(vault, &source, report, &former));
        let teller = Teller { agent: &agent, share, received };
        let heard = vault.hear_deliveries(&teller, &report.handovers)?;
        // What came of drops is known before how all stands.
        events.extend(heard.events);
        events.extend(handovers::events_of(&source, report, received));
        if !report.handovers.is_empty() {
            let (agent, all) = (agent.peer.name(), report.handovers.clone());
            vault.figures.note_handovers(agent, Some(share), all, received);
        }
        if is_news {
            events.insert(0, vault.promises.word(source, certificate));
        }
        let body = serde_json::to_string(&words).unwrap_or_default();
        let name = agent.peer.name().to_owned();
        let record = ReportRecord { agent: name, share: words.share, received, body };
        // The first part has what is important.
        let record = Some(&record).filter(|_| part == 1);
        if let Some(figures) = words.report.as_ref().and_then(|report| report.figures.clone()) {
            vault.figures.note(agent.peer.name(), words.share, figures, received);
        }
        vault.promises.reported(events, record)?;
        vault.note_report(agent.peer.name())?;
        let cleared = vault.cleared(&agent, share)?;
        Ok(Reported { run: vault.run.clone(), cleared, deliveries: heard.answers })
    })
    .await
}

/// Why a report cannot be heard, if so.
fn too_much(report: &AgentReport) -> Option<String> {
    if report.workloads.len() > REPORTED_WORKLOADS_MAX {
        return Some(format!("a report names at most {REPORTED_WORKLOADS_MAX} workloads"));
    }
    let no_part = format!("there is no part {} of {}", report.part, report.parts);
    (!report.is_a_part()).then_some(no_part).or_else(|| handovers::too_much(report))
}

/// Leaves out of a report what it says of workloads that are not granted to who signed it: nobody speaks of
/// those. That it tried is in the audit log, once a minute.
fn leave_out_foreign(vault: &Vault, agent: &Certified, report: &mut AgentReport) {
    let (rows, details) = (report.workloads.len(), report.details.len());
    let mut first = None;
    let mut is_granted = |workload: &WorkloadName| {
        let is_granted = vault.is_granted(agent, workload);
        if !is_granted {
            first.get_or_insert_with(|| workload.clone());
        }
        is_granted
    };
    report.workloads.retain(|seen| is_granted(&seen.name));
    report.details.retain(|problem| problem.workload.as_ref().is_none_or(&mut is_granted));
    let Some(first) = first else { return };
    let left_out = rows + details - report.workloads.len() - report.details.len();
    let text =
        format!("{left_out} of {} rows are of workloads that are not granted", rows + details);
    let event = AuditEvent::by(&agent.peer, AuditAction::Reported)
        .not_done(Outcome::Refused, ErrorCode::NotGranted)
        .detail("reason", text)
        .detail("first", first);
    if vault.audit.counts(&event) {
        return;
    }
    tracing::warn!(agent = %agent.peer, left_out, "a report names workloads that are not granted");
    if let Err(error) = vault.audit.record(event) {
        tracing::error!(%error, "cannot write the audit log");
    }
}

/// What a report means for promises.
fn events_of(vault: &Vault, peer: &Peer, report: &AgentReport, received: Timestamp) -> Vec<Event> {
    let source = Source { agent: peer.name().to_owned(), share: Some(report.share) };
    let told = |kind| problem_of(report, |problem| problem.kind == kind);
    // Agents that do not say what is the matter are taken to speak of their share.
    let problem = match report.details.is_empty() {
        true => (!report.problems.is_empty()).then(|| report.problems.join("; ")),
        false => told(ProblemKind::Share),
    };
    // A slow share is told before a promise breaks of it, and a copy before anybody takes it for the
    // share, beside what else is wrong there.
    let all = [problem, slow_share(vault, &source, report, received), rival(vault, peer, report)];
    let all: Vec<String> = all.into_iter().flatten().collect();
    let problem = (!all.is_empty()).then(|| all.join("; "));
    // Older agents do not say whether they could look the share over; one that saw workloads could.
    let looked =
        report.share_usable.unwrap_or_else(|| problem.is_none() || !report.workloads.is_empty());
    // A hiccup that has not lasted is no word against the share.
    let usable = looked || problem.is_none();
    let (work, stray) = (told(ProblemKind::Work), told(ProblemKind::Stray));
    let mut events = vec![
        Event::ShareSeen { source: source.clone(), problem, usable },
        Event::Hindered { source: source.clone(), work, stray },
    ];
    events.push(Event::ClockSeen {
        source: source.clone(),
        ahead: report.pass.finished.unix_seconds().saturating_sub(received.unix_seconds()),
    });
    if looked {
        events.extend(content_of(vault, &source, report));
        note_sights(vault, report, received);
        let rows = report.workloads.iter();
        let taken = rows.filter_map(|it| Some((&it.name, it.share_bytes?)));
        vault.occupied.note(report.share, received, taken);
    }
    for seen in &report.workloads {
        events.push(Event::Declared {
            workload: seen.name.clone(),
            source: source.clone(),
            declaration: declaration(peer, seen),
        });
        if seen.waiting > 0 {
            events.push(Event::Waiting { workload: seen.name.clone(), source: source.clone() });
        }
        events.push(Event::Backlog {
            workload: seen.name.clone(),
            source: source.clone(),
            drops: seen.waiting,
            bytes: seen.waiting_bytes,
        });
        events.extend(seen.rejected.iter().map(|rejected| Event::Rejected {
            workload: seen.name.clone(),
            source: source.clone(),
            drop: rejected.drop,
            code: rejected.code.clone(),
            reason: rejected.reason.clone(),
            place: rejected.day.zip(rejected.seal),
        }));
    }
    events.extend(stopped::told(vault, &source, report, received));
    if looked {
        events.extend(vault.looks.heard(&source, report, received));
    }
    events
}

/// Notes what waits on the share, and what does not: what a later drop says of its age is bounded by it.
fn note_sights(vault: &Vault, report: &AgentReport, received: Timestamp) {
    let workloads = report.workloads.iter();
    let workloads: Vec<_> = workloads.map(|it| (it.name.clone(), it.waiting > 0)).collect();
    vault.sights.reported(&Told {
        share: report.share,
        received,
        ahead: report.pass.finished.unix_seconds().saturating_sub(received.unix_seconds()),
        part: (report.part, report.parts),
        workloads: &workloads,
    });
}

/// What to say if another agent serves a share of the same id, which only a copy has.
fn rival(vault: &Vault, peer: &Peer, report: &AgentReport) -> Option<String> {
    let now = vault.environment.timer.elapsed();
    let rival = vault.tenures.rival(report.share, report.tenure?, peer.name(), now)?;
    Some(format!(
        "the agent {rival} serves a share of the same id, so one of the two shares is a copy: stop the agent \
         of the copy, or make a share of its own there"
    ))
}

/// How the sentence about a slow share begins.
const TOO_SLOW: &str = "the share is too slow";

/// Whether the agent's share gives so little in a second that a promise will break of it, as a sentence. In it is
/// nothing that changes from one report to the next.
fn slow_share(
    vault: &Vault,
    source: &Source,
    report: &AgentReport,
    now: Timestamp,
) -> Option<String> {
    if report.part > 1 {
        // What waits is in the first part; the others of the same pass change nothing of it.
        let known = vault.promises.sources().into_iter().find(|known| known.source == *source);
        let problem = known?.share_problem?;
        return problem.find(TOO_SLOW).map(|at| problem[at..].to_owned());
    }
    let rate = report.figures.as_ref()?.share_bytes_per_second?;
    let waiting = report.workloads.iter().filter(|seen| seen.waiting_bytes > 0);
    let backlogs: Vec<Backlog> = waiting
        .filter_map(|seen| {
            let status = vault.promises.status(&seen.name)?;
            let is_kept = matches!(
                status.state,
                PromiseState::NeverSeen | PromiseState::Fresh | PromiseState::Late
            );
            // What nobody waits for takes its time of the others all the same.
            let due = if is_kept { status.due } else { now };
            Some(Backlog { workload: seen.name.clone(), bytes: seen.waiting_bytes, due })
        })
        .collect();
    let Slowness { workload, due, .. } = slowness(&backlogs, rate, now)?;
    Some(format!(
        "{TOO_SLOW}: what waits there to be read of {workload} will not have been read when its \
         promise breaks, at {due}; raise the share's throughput, or look what uses it up"
    ))
}

/// The problems that `is_meant` picks, as one text.
fn problem_of(report: &AgentReport, is_meant: impl Fn(&Problem) -> bool) -> Option<String> {
    let meant = report.details.iter().filter(|problem| is_meant(problem));
    let texts: Vec<&str> = meant.map(|problem| problem.text.as_str()).collect();
    (!texts.is_empty()).then(|| texts.join("; "))
}

/// What is to be said of the content of workloads, and of drops that the agent cannot make: of those
/// with a problem, and of those of this agent that had one.
fn content_of(vault: &Vault, source: &Source, report: &AgentReport) -> Vec<Event> {
    let is_content = |problem: &&Problem| problem.kind == ProblemKind::Content;
    let told = report.details.iter().filter(is_content).filter_map(|t| t.workload.clone());
    let seen: BTreeSet<&WorkloadName> = report.workloads.iter().map(|seen| &seen.name).collect();
    let mut concerned: BTreeSet<WorkloadName> = told.collect();
    concerned.extend(vault.promises.troubled(source, |name| seen.contains(name)));
    let events = |workload: WorkloadName| {
        let told = |is_failing: bool| {
            problem_of(report, |problem: &Problem| {
                is_content(&problem)
                    && problem.workload.as_ref() == Some(&workload)
                    && (problem.code == ProblemCode::SourceFailing) == is_failing
            })
        };
        let (problem, why) = (told(false), told(true));
        let (workload, source) = (workload.clone(), source.clone());
        let failing = Event::Failing { workload: workload.clone(), source: source.clone(), why };
        [Event::Content { workload, source, problem }, failing]
    };
    concerned.into_iter().flat_map(events).collect()
}

/// What the share declares of a workload, if anything.
fn declaration(peer: &Peer, seen: &WorkloadReport) -> Option<Declaration> {
    let declared = seen.declared.as_ref()?;
    let rpo = declared.rpo_seconds.map(Duration::from_secs);
    let declaration = Declaration::new(rpo, declared.owner.as_deref());
    // A declaration with a mistake in it declares the workload all the same.
    Some(declaration.unwrap_or_else(|error| {
        let workload = &seen.name;
        tracing::warn!(%peer, %workload, %error, "a workload's declaration cannot be used");
        Declaration::default()
    }))
}

async fn workloads(
    State(api): State<Api>,
    Extension(asker): Extension<Certified>,
    Extension(id): Extension<RequestId>,
) -> Answer<Vec<WorkloadView>> {
    access::check_whole(&asker, Call::ListWorkloads)?;
    api.run(asker, id, views::granted).await
}

async fn workload(
    State(api): State<Api>,
    Extension(asker): Extension<Certified>,
    Extension(id): Extension<RequestId>,
    workload: Result<Path<String>, PathRejection>,
) -> Answer<WorkloadView> {
    let workload = workload_in_path(workload)?;
    let workload = api.permit_called(&asker, Call::ViewWorkload, &workload)?;
    api.run(asker, id, move |vault, asker| {
        let view = views::granted(vault, asker)?.into_iter().find(|view| view.name == workload);
        view.ok_or(VaultError::UnknownWorkload { workload })
    })
    .await
}

async fn snapshots(
    State(api): State<Api>,
    Extension(asker): Extension<Certified>,
    Extension(id): Extension<RequestId>,
    query: Result<Query<WorkloadQuery>, QueryRejection>,
) -> Answer<Vec<SnapshotView>> {
    access::check_whole(&asker, Call::ListSnapshots)?;
    let Query(query) = query.map_err(|error| {
        ApiError::new(StatusCode::BAD_REQUEST, ErrorCode::BadRequest, error.body_text())
    })?;
    let workload = query.workload.as_deref().map(workload_name).transpose()?;
    let workload = match workload {
        Some(workload) => Some(api.permit_called(&asker, Call::ListSnapshots, &workload)?),
        None => None,
    };
    api.run(asker, id, move |vault, asker| {
        let mut records = vault.promises.catalog().snapshots(workload.as_ref())?;
        records.retain(|record| vault.is_granted(asker, &record.workload));
        hide_forgotten(vault, &mut records);
        let records = records.into_iter();
        let view = |record: outlast_catalog::SnapshotRecord| SnapshotView {
            counts: vault.counts(&record),
            recovery_point: Some(record.recovery_point()),
            sanity: Some(record.sanity).filter(|sanity| *sanity != Sanity::default()),
            workload: record.workload,
            snapshot: record.snapshot,
            drop: record.drop,
            received: record.received,
            content_bytes: record.content_bytes,
            stored_bytes: Some(record.stored_bytes),
            claims: record.claims,
        };
        Ok(records.map(view).collect())
    })
    .await
}

/// Leaves out what is forgotten. Where that cannot be read, nothing is.
fn hide_forgotten(vault: &Vault, records: &mut Vec<outlast_catalog::SnapshotRecord>) {
    records.retain(|record| {
        let keeping = vault.keepings.get(&record.workload);
        !keeping.is_ok_and(|keeping| keeping.is_forgotten(record.snapshot))
    });
}
