//! Routes: who is told, of what, when.

use std::time::Duration;

use outlast_civil::{Weekly, Zone};
use outlast_types::Timestamp;

use crate::page::Page;
use crate::severity::Severity;

/// How a route carries what it tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// All that is open, again and again.
    Alertmanager,
    PagerDuty,
    Webhook,
    Slack,
    Teams,
    Mail,
    Command,
    /// No word but that the vault lives and watches.
    Heartbeat,
}

impl Kind {
    pub const ALL: [Self; 8] = [
        Self::Alertmanager,
        Self::PagerDuty,
        Self::Webhook,
        Self::Slack,
        Self::Teams,
        Self::Mail,
        Self::Command,
        Self::Heartbeat,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alertmanager => "alertmanager",
            Self::PagerDuty => "pagerduty",
            Self::Webhook => "webhook",
            Self::Slack => "slack",
            Self::Teams => "teams",
            Self::Mail => "mail",
            Self::Command => "command",
            Self::Heartbeat => "heartbeat",
        }
    }
}

/// One way to tell somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// By which it is known: in the log, in metrics, in what is remembered.
    pub name: String,
    pub kind: Kind,
    /// The teams whose incidents it tells; also `app` and `platform`, for all of those. All, if empty.
    pub owners: Vec<String>,
    /// The least severity that it tells.
    pub severity: Severity,
    /// When it may be told; always, if empty. What comes at other times waits.
    pub hours: Vec<Weekly>,
    /// Where those hours are.
    pub zone: Zone,
    /// It hears of what is open for so long and that nobody has acknowledged.
    pub after: Duration,
    /// How often what is open and not acknowledged is told again; once, if not at all.
    pub repeat: Option<Duration>,
}

impl Route {
    /// A route that tells everything at once.
    pub fn new(name: &str, kind: Kind) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            owners: Vec::new(),
            severity: Severity::Warning,
            hours: Vec::new(),
            zone: Zone::utc(),
            after: Duration::ZERO,
            repeat: None,
        }
    }

    /// Whether it is for such an incident. Of a route that fails, all others tell.
    pub(crate) fn is_for(&self, page: &Page) -> bool {
        let Page { code, owner, team, also, route, .. } = page;
        if self.kind == Kind::Heartbeat {
            return false;
        }
        if code == ROUTE_FAILS {
            let key = page.members.values().next().map_or("", |member| member.key.as_str());
            return key.strip_prefix("route/") != Some(&self.name);
        }
        if Severity::of(code) < self.severity {
            return false;
        }
        // What the class of a workload says goes first, and later steps stay as they are.
        if let Some(route) = route
            && self.after.is_zero()
        {
            return *route == self.name;
        }
        let is_owner =
            |named: &String| named == team || named == owner.as_str() || also.contains(named);
        self.owners.is_empty() || self.owners.iter().any(is_owner)
    }

    /// Whether it may be told now.
    pub(crate) fn is_open(&self, now: Timestamp) -> bool {
        self.hours.is_empty() || self.hours.iter().any(|hours| hours.contain(now, &self.zone))
    }
}

/// The code of the incident that a route cannot deliver.
const ROUTE_FAILS: &str = "route-fails";
