//! What is told: one message on one route.

use outlast_types::{Owner, Timestamp, WorkloadName, human};
use serde::Serialize;

use crate::severity::Severity;

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// Something is wrong.
    Opened,
    /// It still is.
    Repeated,
    /// It is right again.
    Resolved,
    /// What opened and resolved before it could be told. Nobody need act.
    Note,
    /// Somebody tries out the route.
    Test,
}

impl What {
    /// As programs know it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Repeated => "repeated",
            Self::Resolved => "resolved",
            Self::Note => "note",
            Self::Test => "test",
        }
    }
}

/// An incident in a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// What it is about: `recovery-point/shop-db`.
    pub key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload: Option<WorkloadName>,
    /// A whole sentence.
    pub cause: String,
    pub opened: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolved: Option<Timestamp>,
}

/// What is told on one route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    /// The same whenever this message is sent again, and that of no other.
    pub id: String,
    /// The same for all messages about one page on one route.
    pub key: String,
    pub what: What,
    /// Who says so: a vault's name, or `agent/eu-1`.
    pub vault: String,
    pub code: String,
    pub severity: Severity,
    pub owner: Owner,
    /// The team that is asked.
    pub team: String,
    /// When the first of the incidents opened.
    pub since: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolved: Option<Timestamp>,
    /// How many incidents it is about.
    pub count: usize,
    /// The first of them.
    pub incidents: Vec<Line>,
}

/// The code of what agents and media servers tell: that they hear nothing from the vault.
pub const VAULT_SILENT: &str = "vault-silent";

/// Who tells, in words: a vault by its name, others with their role, such as `agent/eu-1`.
pub(crate) fn teller(name: &str) -> String {
    match name.split_once('/') {
        Some((role, name)) => format!("{role} {name}"),
        None => format!("vault {name}"),
    }
}

/// Incidents that a message names.
pub(crate) const NAMED_MAX: usize = 20;

impl Message {
    /// One line that says it all: the subject of a mail.
    pub fn title(&self) -> String {
        let Self { vault, code, team, count, .. } = self;
        let about = match &self.incidents[..] {
            [only] if *count == 1 => only.key.clone(),
            _ => format!("{count} × {code}"),
        };
        match self.what {
            What::Opened => format!("[{}] {about} for {team}", self.severity),
            What::Repeated => format!("[{}] still: {about} for {team}", self.severity),
            What::Resolved => format!("[resolved] {about} for {team}"),
            What::Note => format!("[note] {about} opened and resolved before it could be told"),
            What::Test => format!("[test] {} can reach you by this route", teller(vault)),
        }
    }

    /// All of it, in lines.
    pub fn text(&self) -> String {
        let mut lines = Vec::new();
        if self.what == What::Test {
            lines.push("This is a test that somebody asked for; nobody has to act.".to_owned());
        }
        for line in &self.incidents {
            let resolved = line
                .resolved
                .map(|at| format!(" (resolved after {})", human::duration(at.since(line.opened))));
            let resolved = resolved.unwrap_or_default();
            lines.push(format!("{}{resolved}", line.cause));
        }
        if self.count > self.incidents.len() {
            lines.push(format!("… and {} more", self.count - self.incidents.len()));
        }
        if matches!(self.what, What::Opened | What::Repeated)
            && let Some(first) = self.incidents.first()
        {
            // There is no vault that would hear it of its own silence.
            let ack = match self.code == VAULT_SILENT {
                true => String::new(),
                false => {
                    format!(" `outlast incident ack {}` says that somebody is at it.", first.key)
                }
            };
            lines.push(format!("Since {}.{ack}", self.since));
        }
        lines.join("\n")
    }
}

/// An open or resolved incident, as Alertmanager hears of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    pub line: Line,
    pub incident: u64,
    pub vault: String,
    pub code: String,
    pub severity: Severity,
    pub owner: Owner,
    pub team: String,
}
