//! Incidents: the list of them, and what operators say to them.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::routing::{get, post};
use axum::{Extension, Router};
use outlast_alert::{ACK_USUAL, Ack, Comment, PageView};
use outlast_catalog::{IncidentRecord, RecordedCause};
use outlast_wire::Certified;
use outlast_wire::access::{self, Call};
use outlast_wire::api::{
    AckIncident, CommentIncident, IncidentAnswered, IncidentView, SaidOfIncident,
};
use outlast_wire::server::RequestId;

use super::call::{Answer, Api};
use crate::core::audit::{AuditAction, Event};
use crate::core::error::VaultError;
use crate::core::incidents::in_words;
use crate::core::vault::Vault;

/// The longest comment, in characters.
const COMMENT_LENGTH_MAX: usize = 1000;

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/api/v1/incidents", get(list))
        .route("/api/v1/incidents/ack", post(acknowledge))
        .route("/api/v1/incidents/comment", post(comment))
}

async fn list(
    State(api): State<Api>,
    Extension(asker): Extension<Certified>,
    Extension(id): Extension<RequestId>,
) -> Answer<Vec<IncidentView>> {
    access::check_whole(&asker, Call::ListIncidents)?;
    api.run(asker, id, |vault, asker| {
        // Asked now, answered as of now: not up to a second behind.
        vault.promises.tick()?;
        let now = vault.environment.clock.now();
        let mut pages: BTreeMap<String, PageView> = BTreeMap::new();
        for page in vault.alerts.pages(now) {
            pages.extend(page.incidents.iter().map(|key| (key.clone(), page.clone())));
        }
        let catching_up: BTreeMap<u64, String> = vault
            .promises
            .open_pages()
            .into_iter()
            .filter_map(|incident| Some((incident.id, incident.catching_up?.to_string())))
            .collect();
        let mut records = vault.promises.catalog().incidents()?;
        records.retain(|record| may_see(vault, asker, record));
        let view = |record: IncidentRecord| {
            let page = pages.get(&record.key).filter(|_| record.resolved.is_none());
            let catching_up = catching_up.get(&record.id).cloned();
            view(record, page.cloned(), catching_up)
        };
        Ok(records.into_iter().map(view).collect())
    })
    .await
}

/// What is about no single workload may tell of any of them.
fn may_see(vault: &Vault, asker: &Certified, record: &IncidentRecord) -> bool {
    match &record.workload {
        Some(workload) => vault.is_granted(asker, workload),
        None => access::is_granted_all(asker),
    }
}

fn view(
    record: IncidentRecord,
    page: Option<PageView>,
    catching_up: Option<String>,
) -> IncidentView {
    let said =
        |comment: Comment| SaidOfIncident { by: comment.by, at: comment.at, text: comment.text };
    let (acknowledged, comments, told) = match page {
        Some(page) => (page.acknowledged, page.comments, page.told),
        None => (None, Vec::new(), Vec::new()),
    };
    let (acknowledged_by, acknowledged_until) = acknowledged.unzip();
    IncidentView {
        code: match &record.cause {
            RecordedCause::Data { code, .. } => Some(code.clone()),
            RecordedCause::Sentence(_) => None,
        },
        cause: in_words(&record.cause),
        key: record.key,
        workload: record.workload,
        owner: record.owner.to_string(),
        team: Some(record.team),
        opened: record.opened,
        resolved: record.resolved,
        catching_up,
        acknowledged_by,
        acknowledged_until,
        comments: comments.into_iter().map(said).collect(),
        told: told.into_iter().collect(),
    }
}

async fn acknowledge(
    State(api): State<Api>,
    Extension(asker): Extension<Certified>,
    Extension(id): Extension<RequestId>,
    request: Request,
) -> Answer<IncidentAnswered> {
    access::check_role(&asker.peer, Call::AnswerIncident)?;
    let (order, _held): (AckIncident, _) = api.body(request).await?;
    api.run(asker, id, move |vault, asker| {
        let record = incident(vault, asker, &order.key)?;
        let (by, lasts) = (asker.peer.to_string(), order.for_seconds);
        let lasts = lasts.map_or(ACK_USUAL, Duration::from_secs);
        let comment = order.comment.as_deref().map(text).transpose()?;
        let comment = comment.as_deref();
        let now = vault.environment.clock.now();
        let ack = Ack { key: &record.key, by: &by, lasts, comment };
        let until = vault.alerts.acknowledge(&ack, now)?;
        let event = answered(asker, &record, AuditAction::IncidentAcknowledged);
        let event = event.detail("until", until);
        let event = match comment {
            Some(comment) => event.detail("comment", comment),
            None => event,
        };
        vault.audit.record(event)?;
        tracing::info!(key = record.key, by, %until, "somebody is at an incident");
        Ok(IncidentAnswered { key: record.key, until: Some(until) })
    })
    .await
}

async fn comment(
    State(api): State<Api>,
    Extension(asker): Extension<Certified>,
    Extension(id): Extension<RequestId>,
    request: Request,
) -> Answer<IncidentAnswered> {
    access::check_role(&asker.peer, Call::AnswerIncident)?;
    let (order, _held): (CommentIncident, _) = api.body(request).await?;
    api.run(asker, id, move |vault, asker| {
        let record = incident(vault, asker, &order.key)?;
        let (by, text) = (asker.peer.to_string(), text(&order.text)?);
        // First the entry: it is what stays.
        let event = answered(asker, &record, AuditAction::IncidentCommented);
        vault.audit.record(event.detail("comment", &text))?;
        let at = vault.environment.clock.now();
        vault.alerts.comment(&record.key, Comment { by, at, text })?;
        Ok(IncidentAnswered { key: record.key, until: None })
    })
    .await
}

/// The open incident with a key, if who asks may see it; else, and if there is none, there is none.
fn incident(vault: &Vault, asker: &Certified, key: &str) -> Result<IncidentRecord, VaultError> {
    let records = vault.promises.catalog().incidents()?.into_iter();
    let mut open = records.filter(|record| record.key == key && record.resolved.is_none());
    let found = open.find(|record| may_see(vault, asker, record));
    found.ok_or_else(|| VaultError::BadAnswer { reason: format!("no incident {key} is open") })
}

fn answered(asker: &Certified, record: &IncidentRecord, action: AuditAction) -> Event {
    let event = Event::by(&asker.peer, action).object(&record.key);
    match &record.workload {
        Some(workload) => event.workload(workload),
        None => event,
    }
}

/// A comment, fit for a page.
fn text(said: &str) -> Result<String, VaultError> {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let text: String = said.trim().chars().map(clean).take(COMMENT_LENGTH_MAX).collect();
    match text.is_empty() {
        true => Err(VaultError::BadAnswer { reason: "a comment says something".to_owned() }),
        false => Ok(text),
    }
}
