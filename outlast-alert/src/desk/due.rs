//! What is to be sent where, and that it was.

use std::collections::BTreeSet;

use outlast_types::Timestamp;

use super::{Desk, Notes, Pending, REPOST, route_is_for};
use crate::message::{Alert, Line, Message, NAMED_MAX, What};
use crate::page::{Member, Told};
use crate::route::{Kind, Route};
use crate::severity::Severity;

impl Desk {
    /// What is to be sent by a route now; the oldest first, and one at a time, until it was
    /// [`sent`](Self::sent).
    pub fn next(&self, route: &str, now: Timestamp) -> Option<Pending> {
        let route = self.routes.iter().find(|known| known.name == route)?;
        match route.kind {
            Kind::Heartbeat => {
                let last = self.posted.get(&route.name).map(|(last, _)| *last);
                let every = route.repeat.unwrap_or(REPOST);
                last.is_none_or(|last| last > now || now.since(last) >= every)
                    .then_some(Pending::Beat)
            }
            Kind::Alertmanager => self.alerts_due(route, now).map(Pending::Alerts),
            _ => self.message_due(route, now).map(Pending::Message),
        }
    }

    fn alerts_due(&self, route: &Route, now: Timestamp) -> Option<Vec<Alert>> {
        let pages = self
            .memory
            .pages
            .values()
            .filter(|page| route_is_for(route, page) && page.has_reached(route.after, now));
        let mut alerts = Vec::new();
        for page in pages.filter(|_| route.is_open(now)) {
            alerts.extend(page.members.iter().map(|(incident, member)| Alert {
                line: line_of(member),
                incident: *incident,
                vault: self.vault.clone(),
                code: page.code.clone(),
                severity: Severity::of(&page.code),
                owner: page.owner,
                team: page.team.clone(),
            }));
        }
        match self.posted.get(&route.name) {
            Some((last, posted)) if *last <= now && now.since(*last) < REPOST => {
                (heard_of(&alerts) != *posted).then_some(alerts)
            }
            // Nobody need hear that nothing is wrong.
            _ if alerts.is_empty() => None,
            _ => Some(alerts),
        }
    }

    fn message_due(&self, route: &Route, now: Timestamp) -> Option<Message> {
        for (number, page) in &self.memory.pages {
            let (key, told) = (self.key(*number), page.told.get(&route.name));
            let id = |count: u32| format!("{key}/{}/{count}", route.name);
            let count = told.map_or(0, |told| told.count);
            if page.resolved().is_some() {
                if let Some(round) = told.and_then(Told::open_round) {
                    let id = format!("{}/end", id(round));
                    return Some(page.message(What::Resolved, id, &key, round, &self.vault));
                }
                continue;
            }
            let is_ready = route_is_for(route, page)
                && page.gathers_until <= now
                && page.has_reached(route.after, now)
                && !page.is_acknowledged(now)
                && route.is_open(now);
            if !is_ready {
                continue;
            }
            let is_told = told.is_some_and(|told| told.rounds.contains(&page.round));
            let again = route.repeat.zip(told.and_then(|told| told.last));
            let is_due_again = again.is_some_and(|(every, last)| now.since(last) >= every);
            let what = match (is_told, is_due_again) {
                (false, _) if page.round == 0 => What::Opened,
                (false, _) | (true, true) => What::Repeated,
                (true, false) => continue,
            };
            return Some(page.message(what, id(count), &key, page.round, &self.vault));
        }
        self.note_due(route, now)
    }

    fn note_due(&self, route: &Route, now: Timestamp) -> Option<Message> {
        let notes = self.memory.notes.get(&route.name).filter(|_| route.is_open(now))?;
        let first = notes.lines.first()?;
        let key = format!("outlast/{}/note/{}/{}", self.vault, route.name, notes.told);
        let lines = notes.lines.iter().take(NAMED_MAX).map(|line| Line {
            key: line.key.clone(),
            workload: None,
            cause: line.words.clone(),
            opened: line.opened,
            resolved: Some(line.resolved),
        });
        Some(Message {
            id: key.clone(),
            key,
            what: What::Note,
            vault: self.vault.clone(),
            code: first.code.clone(),
            severity: Severity::Warning,
            owner: first.owner,
            team: first.team.clone(),
            since: first.opened,
            resolved: notes.lines.iter().map(|line| line.resolved).max(),
            count: notes.lines.len() + notes.more,
            incidents: lines.collect(),
        })
    }

    /// Something that was [due](Self::next) on a route was delivered.
    pub fn sent(&mut self, route: &str, pending: &Pending, now: Timestamp) {
        let message = match pending {
            Pending::Message(message) => message,
            Pending::Alerts(alerts) => {
                self.posted.insert(route.to_owned(), (now, heard_of(alerts)));
                return;
            }
            Pending::Beat => {
                self.posted.insert(route.to_owned(), (now, BTreeSet::new()));
                return;
            }
        };
        self.is_saved = false;
        if message.what == What::Note {
            if let Some(notes) = self.memory.notes.get_mut(route) {
                *notes = Notes { told: notes.told + 1, ..Notes::default() };
            }
            return;
        }
        let of_page = |number: &u64| {
            let key = self.key(*number);
            message.key == key || message.key.starts_with(&format!("{key}/"))
        };
        let Some(number) = self.memory.pages.keys().find(|number| of_page(number)).copied() else {
            return;
        };
        let key = self.key(number);
        let round =
            message.key.strip_prefix(&format!("{key}/")).and_then(|round| round.parse().ok());
        let round = round.unwrap_or(0);
        let Some(page) = self.memory.pages.get_mut(&number) else { return };
        let told = page.told.entry(route.to_owned()).or_default();
        if message.what == What::Resolved {
            told.ended.push(round);
            return;
        }
        (told.last, told.count) = (Some(now), told.count + 1);
        if !told.rounds.contains(&round) {
            told.rounds.push(round);
        }
    }
}

fn line_of(member: &Member) -> Line {
    Line {
        key: member.key.clone(),
        workload: member.workload.clone(),
        cause: member.words.clone(),
        opened: member.opened,
        resolved: member.resolved,
    }
}

/// What somebody knows who heard these.
fn heard_of(alerts: &[Alert]) -> BTreeSet<(u64, bool)> {
    alerts.iter().map(|alert| (alert.incident, alert.line.resolved.is_some())).collect()
}
