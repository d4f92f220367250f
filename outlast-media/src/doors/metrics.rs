//! `GET /metrics`: for operators and readers behind mutual TLS, and on an address of this host without
//! it, if the configuration says so.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use outlast_wire::Certified;
use outlast_wire::access::{self, Call};
use outlast_wire::api::{ErrorCode, MediaState};
use outlast_wire::server::ApiError;

use crate::media::Media;
use crate::status::{MediaStatus, word_of};

const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Workloads that are told one by one: those whose oldest object waits longest.
const WORKLOADS_MAX: usize = 100;

/// For peers.
pub(crate) fn router(media: Arc<Media>) -> Router {
    async fn metrics(
        State(media): State<Arc<Media>>,
        Extension(asker): Extension<Certified>,
    ) -> Result<Response, ApiError> {
        access::check_whole(&asker, Call::ViewMetrics)?;
        answer(media).await
    }
    Router::new().route("/metrics", get(metrics)).with_state(media)
}

/// For whoever is on this host; nothing else is served there.
pub(crate) fn open_router(media: Arc<Media>) -> Router {
    async fn metrics(State(media): State<Arc<Media>>) -> Result<Response, ApiError> {
        answer(media).await
    }
    Router::new().route("/metrics", get(metrics)).with_state(media)
}

async fn answer(media: Arc<Media>) -> Result<Response, ApiError> {
    let page = tokio::task::spawn_blocking(move || page(&media.status())).await;
    match page {
        Ok(page) => Ok(([(CONTENT_TYPE, MEDIA_TYPE)], page).into_response()),
        Err(error) => {
            tracing::error!(%error, "the metrics could not be made");
            let text = "the metrics could not be made";
            Err(ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::Internal, text))
        }
    }
}

/// The page, in the text format of Prometheus.
fn page(status: &MediaStatus) -> String {
    let mut page = Page(String::new());
    let report = &status.report;
    page.family("outlast_media_info", "gauge", "The program and the spool; always 1.");
    let labels = [("version", status.version.as_str()), ("spool", &report.spool.to_string())];
    page.sample("outlast_media_info", &labels, 1);
    page.family(
        "outlast_media_state",
        "gauge",
        "What it does with what comes: 1 for the one that is so.",
    );
    let states =
        [MediaState::Taking, MediaState::Draining, MediaState::Drained, MediaState::Maintenance];
    for state in states {
        let is_so = u64::from(state == report.state);
        page.sample("outlast_media_state", &[("state", word_of(state))], is_so);
    }
    let away = u64::from(status.vault_away_since.is_none());
    page.single("outlast_media_vault_up", "gauge", "Whether the vault answered last.", away);
    page.single("outlast_media_spool_objects", "gauge", "Objects that wait.", report.objects);
    page.single("outlast_media_spool_bytes", "gauge", "Bytes that wait.", report.bytes);
    page.single("outlast_media_spool_room_bytes", "gauge", "Room for what waits.", report.room);
    let oldest = status.oldest_seconds();
    page.single(
        "outlast_media_spool_oldest_seconds",
        "gauge",
        "How long the oldest object waits.",
        oldest,
    );
    if let Some(allowed) = report.line_allowed {
        let help = "What the calendar allows now, in bytes per second; not there without a limit.";
        page.single("outlast_media_line_allowed_bytes_per_second", "gauge", help, allowed);
    }
    let help = "What went over the line in the last minute.";
    page.single("outlast_media_line_bytes_per_second", "gauge", help, report.line_rate);
    if let Some(seconds) = report.empty_in_seconds {
        let help =
            "When the spool will be empty at this rate; not there if it does not get emptier.";
        page.single("outlast_media_empty_in_seconds", "gauge", help, seconds);
    }
    counted(&mut page, status);
    by_workload(&mut page, status);
    page.0
}

fn counted(page: &mut Page, status: &MediaStatus) {
    for (name, help, count) in [
        ("taken_objects", "Objects that came.", status.taken.objects),
        ("taken_bytes", "Their bytes.", status.taken.bytes),
        ("forwarded_objects", "Objects that were handed on.", status.forwarded.objects),
        ("forwarded_bytes", "Their bytes.", status.forwarded.bytes),
        ("known_objects", "Objects that the vault had already.", status.known),
        ("refused_objects", "Objects that the vault will never take.", status.refused),
        ("dropped_objects", "Objects of shipments that were over.", status.dropped),
        ("spoiled_objects", "Objects that were damaged in the spool.", status.spoiled),
        ("turned_away_objects", "Objects for which there was no room.", status.turned_away),
    ] {
        page.single(&format!("outlast_media_{name}_total"), "counter", help, count);
    }
}

/// A bounded number of workloads: those that wait longest.
fn by_workload(page: &mut Page, status: &MediaStatus) {
    let rows = || status.report.rows.iter().take(WORKLOADS_MAX);
    page.family(
        "outlast_media_workload_bytes",
        "gauge",
        "Bytes that wait, of those that wait longest.",
    );
    for row in rows() {
        page.sample(
            "outlast_media_workload_bytes",
            &[("workload", row.workload.as_str())],
            row.bytes,
        );
    }
    let help = "How long the oldest object waits, of those that wait longest.";
    page.family("outlast_media_workload_oldest_seconds", "gauge", help);
    for row in rows() {
        let labels = [("workload", row.workload.as_str())];
        page.sample("outlast_media_workload_oldest_seconds", &labels, row.oldest_seconds);
    }
}

struct Page(String);

// Writing to a text cannot fail.
impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// Labels hold names of ours, which have nothing to be escaped.
    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
        let labels: Vec<String> =
            labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
        let _ = match labels.is_empty() {
            true => writeln!(self.0, "{name} {value}"),
            false => writeln!(self.0, "{name}{{{}}} {value}", labels.join(",")),
        };
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }
}
