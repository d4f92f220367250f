//! Messages in the forms that receivers understand.

use std::time::Duration;

use outlast_types::Timestamp;
use serde_json::{Value, json};

use crate::message::{Alert, Message, What, teller};
use crate::severity::Severity;

/// Alertmanager resolves by itself what it does not hear of again within this time.
const ALERT_LASTS: Duration = Duration::from_secs(300);
/// The longest summary that PagerDuty takes, in characters.
const SUMMARY_MAX: usize = 1024;

/// A mail, but for its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    pub subject: String,
    pub body: String,
    /// What stands before the `@` of its id: the same whenever it is sent again.
    pub id: String,
    /// What stands before the `@` of the ids of those to which it belongs.
    pub thread: String,
    /// Nobody need act.
    pub is_quiet: bool,
}

/// What PagerDuty is sent, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PagerDuty {
    /// Below the address of events: `v2/enqueue`, or `v2/change/enqueue` for what pages nobody.
    pub path: &'static str,
    pub body: Value,
}

/// The body of `POST /api/v2/alerts`.
pub fn alertmanager(alerts: &[Alert], now: Timestamp) -> Value {
    let alert = |alert: &Alert| {
        let Alert { line, vault, code, severity, owner, team, .. } = alert;
        let mut labels = json!({
            "alertname": code,
            "incident": line.key,
            "owner": owner.as_str(),
            "severity": severity.as_str(),
            "team": team,
            "vault": vault,
        });
        if let Some(workload) = &line.workload {
            labels["workload"] = json!(workload);
        }
        json!({
            "labels": labels,
            "annotations": { "summary": line.key, "description": line.cause },
            "startsAt": line.opened,
            "endsAt": line.resolved.unwrap_or_else(|| now.saturating_add(ALERT_LASTS)),
        })
    };
    alerts.iter().map(alert).collect()
}

/// An event of PagerDuty's Events API v2. The routing key is a secret.
pub fn pagerduty(message: &Message, routing_key: &str) -> PagerDuty {
    let summary: String = message.title().chars().take(SUMMARY_MAX).collect();
    let details =
        json!({ "text": message.text(), "incidents": message.incidents, "count": message.count });
    let source = format!("outlast vault {}", message.vault);
    match message.what {
        What::Note => PagerDuty {
            path: "v2/change/enqueue",
            body: json!({
                "routing_key": routing_key,
                "payload": {
                    "summary": summary,
                    "timestamp": message.resolved.unwrap_or(message.since),
                    "source": source,
                    "custom_details": details,
                },
            }),
        },
        What::Resolved => PagerDuty {
            path: "v2/enqueue",
            body: json!({
                "routing_key": routing_key,
                "event_action": "resolve",
                "dedup_key": message.key,
            }),
        },
        What::Opened | What::Repeated | What::Test => PagerDuty {
            path: "v2/enqueue",
            body: json!({
                "routing_key": routing_key,
                "event_action": "trigger",
                "dedup_key": message.key,
                "client": "outlast",
                "payload": {
                    "summary": summary,
                    "source": source,
                    // A test opens a page of the least weight, and is resolved at once.
                    "severity": match (message.what, message.severity) {
                        (What::Test, _) => "info",
                        (_, Severity::Warning) => "warning",
                        (_, Severity::Critical) => "critical",
                    },
                    "timestamp": message.since,
                    "component": message.team,
                    "class": message.code,
                    "custom_details": details,
                },
            }),
        },
    }
}

/// The body of a generic webhook, as Standard Webhooks lays it out.
pub fn webhook(message: &Message, now: Timestamp) -> Value {
    json!({
        "type": format!("incident.{}", message.what.as_str()),
        "timestamp": now,
        "data": said(message),
    })
}

/// What a command reads on its standard input.
pub fn command(message: &Message) -> Value {
    said(message)
}

fn said(message: &Message) -> Value {
    // Texts, numbers and times: nothing that JSON cannot say.
    let mut said = serde_json::to_value(message).unwrap_or_default();
    said["title"] = json!(message.title());
    said["text"] = json!(message.text());
    said
}

/// For Slack, and for all that takes what Slack takes.
pub fn slack(message: &Message) -> Value {
    // Of what stands in a message, these three mean something to Slack.
    let plain = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    json!({ "text": format!("*{}*\n{}", plain(&message.title()), plain(&message.text())) })
}

/// For Microsoft Teams: an adaptive card, as its workflows take it.
pub fn teams(message: &Message) -> Value {
    let color = match (message.what, message.severity) {
        (What::Resolved, _) => "good",
        (What::Opened | What::Repeated, Severity::Critical) => "attention",
        (What::Opened | What::Repeated, Severity::Warning) => "warning",
        (What::Note | What::Test, _) => "default",
    };
    // Cards know some Markdown, and a cause may hold what looks like it.
    let plain = |text: &str| -> String {
        text.chars()
            .flat_map(|c| if "[]()*_#`\\".contains(c) { vec!['\\', c] } else { vec![c] })
            .collect()
    };
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "body": [
                    {
                        "type": "TextBlock",
                        "text": plain(&message.title()),
                        "weight": "bolder",
                        "color": color,
                        "wrap": true,
                    },
                    { "type": "TextBlock", "text": plain(&message.text()), "wrap": true },
                ],
            },
        }],
    })
}

/// As a mail.
pub fn mail(message: &Message) -> Mail {
    let name = |text: &str| -> String {
        text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '.' }).collect()
    };
    Mail {
        subject: message.title(),
        body: format!("{}\n\n-- \n{}\n", message.text(), teller(&message.vault)),
        id: name(&message.id),
        thread: name(&message.key),
        is_quiet: matches!(message.what, What::Note | What::Test | What::Resolved),
    }
}
