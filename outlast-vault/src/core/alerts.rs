//! Who is told of incidents, and what became of it: the desk of `outlast-alert`, kept in a record.
//!
//! An incident comes here out of the catalog's outbox, and leaves that only when the record has it, so a kill
//! at any moment loses no page. What is delivered is noted after it was delivered: a kill between the two
//! delivers it again, under the same id.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use outlast_alert::{Ack, AckError, Comment, Desk, News, PageView, Pending, Route, Standing};
use outlast_catalog::RecordedCause;
use outlast_promise::{Cause, Event, Incident};
use outlast_types::Timestamp;
use outlast_wire::outside::Undelivered;

use super::error::VaultError;
use super::incidents::{Chronicle, IncidentEntry, in_words};
use super::storage::{Durability, Storage, StorageError};

const RECORD: &str = "alerts.json";
const RECORD_BYTES_MAX: u64 = 256 << 20;

/// How long a route must fail before that is an incident: a receiver that is started anew is none.
const FAILS: Duration = Duration::from_secs(120);

/// The desk of a vault.
pub(crate) struct Alerts {
    storage: Storage,
    desk: Mutex<Desk>,
    health: Mutex<BTreeMap<String, Health>>,
}

/// How a route does.
#[derive(Debug, Clone, Default)]
pub(crate) struct Health {
    pub(crate) delivered: u64,
    pub(crate) failures: u64,
    /// Since when nothing gets through, and why.
    pub(crate) failing: Option<(Timestamp, String)>,
    /// What the promises were last told.
    told: Option<String>,
    /// Whether anything is known of it in this run.
    is_known: bool,
}

impl Alerts {
    /// Goes on from the record. One that cannot be read is begun anew: what is open is told once more then,
    /// which is better than never.
    pub(crate) fn open(
        storage: &Storage,
        vault: &str,
        routes: Vec<Route>,
    ) -> Result<Self, VaultError> {
        let cannot = |action| StorageError::of(&**storage, action, RECORD);
        let content = storage.read(RECORD, RECORD_BYTES_MAX).map_err(cannot("read"))?;
        let desk = match Desk::open(vault, routes.clone(), content.as_deref()) {
            Ok(desk) => desk,
            Err(outlast_alert::DeskError::Damaged(error)) => {
                tracing::error!(%error, "what was told is forgotten: what is open is told again");
                Desk::open(vault, routes, None).map_err(unreadable(&**storage))?
            }
            Err(newer) => return Err(unreadable(&**storage)(newer)),
        };
        let health = Mutex::default();
        Ok(Self { storage: Storage::clone(storage), desk: Mutex::new(desk), health })
    }

    /// Hears of all that is open, at a start.
    pub(crate) fn agree(&self, open: &[Incident], now: Timestamp) -> Result<(), VaultError> {
        let news = |incident: &Incident| News {
            incident: incident.id,
            key: incident.key().to_string(),
            code: incident.cause.code().to_owned(),
            owner: incident.owner(),
            team: incident.team.clone(),
            workload: incident.cause.workload().cloned(),
            also: incident.also.clone(),
            route: incident.route.clone(),
            words: incident.cause.to_string(),
            opened: incident.opened,
            resolved: None,
        };
        let mut desk = self.desk();
        let mut health = self.health();
        for incident in open {
            if let Cause::RouteFails { route, problem } = &incident.cause {
                let is_known = desk.routes().iter().all(|known| known.name != *route);
                let told = Some(problem.clone());
                health.insert(route.clone(), Health { told, is_known, ..Health::default() });
            }
        }
        drop(health);
        desk.agree(open.iter().map(news).collect(), now);
        self.save(&mut desk)
    }

    pub(crate) fn hear(&self, entry: &IncidentEntry, now: Timestamp) {
        if entry.is_old_news {
            return;
        }
        let record = entry.clone().record();
        let code = match &record.cause {
            RecordedCause::Data { code, .. } => code.clone(),
            RecordedCause::Sentence(_) => "incident".to_owned(),
        };
        let news = News {
            incident: record.id,
            code,
            words: in_words(&record.cause),
            key: record.key,
            owner: record.owner,
            team: record.team,
            also: entry.also.clone(),
            route: entry.route.clone(),
            workload: record.workload,
            opened: record.opened,
            resolved: record.resolved,
        };
        self.desk().hear(news, now);
    }

    /// Time passes.
    pub(crate) fn tick(&self, now: Timestamp) -> Result<(), VaultError> {
        let mut desk = self.desk();
        desk.tick(now);
        self.save(&mut desk)
    }

    /// What is to be sent by a route now.
    pub(crate) fn due(&self, route: &str, now: Timestamp) -> Option<Pending> {
        self.desk().next(route, now)
    }

    /// Something was delivered.
    pub(crate) fn note_delivered(
        &self,
        route: &str,
        pending: &Pending,
        now: Timestamp,
    ) -> Result<(), VaultError> {
        let mut desk = self.desk();
        if is_known(&desk, route) {
            let mut health = self.health();
            let health = health.entry(route.to_owned()).or_default();
            health.delivered += 1;
            health.failing = None;
            health.is_known = true;
        }
        desk.sent(route, pending, now);
        self.save(&mut desk)
    }

    /// Something was not delivered.
    pub(crate) fn note_failed(
        &self,
        route: &str,
        pending: &Pending,
        why: &Undelivered,
        now: Timestamp,
    ) -> Result<(), VaultError> {
        let mut desk = self.desk();
        if is_known(&desk, route) {
            let mut health = self.health();
            let health = health.entry(route.to_owned()).or_default();
            health.failures += 1;
            health.is_known = true;
            match &mut health.failing {
                Some((_, reason)) => why.reason.clone_into(reason),
                None => health.failing = Some((now, why.reason.clone())),
            }
        }
        tracing::warn!(route, reason = why.reason, "an alert was not delivered");
        if !why.is_final {
            return Ok(());
        }
        // It would be in the way of all that come after it. That this route fails is told by the others.
        tracing::error!(route, reason = why.reason, "an alert is refused for good: {pending:?}");
        desk.sent(route, pending, now);
        self.save(&mut desk)
    }

    /// Takes other routes: who acknowledged what, and what was told, stays as it is. A route that is none any
    /// more fails no more.
    pub(crate) fn reroute(&self, routes: Vec<Route>) -> Result<(), VaultError> {
        let mut desk = self.desk();
        let changed = |name: &str| {
            let find = |all: &[Route]| all.iter().find(|route| route.name == name).cloned();
            find(&routes).is_none_or(|route| find(desk.routes()) != Some(route))
        };
        for (name, health) in self.health().iter_mut().filter(|(name, _)| changed(name)) {
            let is_gone = routes.iter().all(|route| route.name != **name);
            health.failing = None;
            // That it failed is taken back at once if it is gone, and else when it has delivered.
            health.is_known = is_gone;
        }
        desk.reroute(routes);
        self.save(&mut desk)
    }

    /// What the promises are to hear of routes that fail, or do not any more.
    pub(crate) fn news(&self, now: Timestamp) -> Vec<Event> {
        let mut events = Vec::new();
        for (route, health) in self.health().iter_mut() {
            let failing = health.failing.as_ref().filter(|(since, _)| now.since(*since) >= FAILS);
            if !health.is_known {
                // What was told before a start counts until it is tried again.
                continue;
            }
            let problem = match (failing, &health.told) {
                // Told once; that the reason changes is no news.
                (Some(_), Some(told)) => Some(told.clone()),
                (Some((_, reason)), None) => Some(reason.clone()),
                (None, _) => None,
            };
            if problem != health.told {
                health.told.clone_from(&problem);
                events.push(Event::RouteSeen { route: route.clone(), problem });
            }
        }
        events
    }

    pub(crate) fn acknowledge(
        &self,
        ack: &Ack<'_>,
        now: Timestamp,
    ) -> Result<Timestamp, VaultError> {
        let mut desk = self.desk();
        let until = desk.acknowledge(ack, now).map_err(refused)?;
        self.save(&mut desk)?;
        Ok(until)
    }

    pub(crate) fn comment(&self, key: &str, comment: Comment) -> Result<(), VaultError> {
        let mut desk = self.desk();
        desk.comment(key, comment).map_err(refused)?;
        self.save(&mut desk)
    }

    pub(crate) fn pages(&self, now: Timestamp) -> Vec<PageView> {
        self.desk().pages(now)
    }

    /// How each route stands, and does.
    pub(crate) fn routes(&self, now: Timestamp) -> Vec<(Standing, Health)> {
        let standings = self.desk().standings(now);
        let health = self.health();
        let of = |route: &str| health.get(route).cloned().unwrap_or_default();
        standings.into_iter().map(|it| (it.clone(), of(&it.route))).collect()
    }

    fn save(&self, desk: &mut Desk) -> Result<(), VaultError> {
        let Some(content) = desk.unsaved() else { return Ok(()) };
        let cannot = StorageError::of(&*self.storage, "write", RECORD);
        let written = self.storage.replace(RECORD, &content, Durability::Durable);
        written.inspect_err(|_| desk.not_saved()).map_err(cannot)?;
        Ok(())
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn health(&self) -> MutexGuard<'_, BTreeMap<String, Health>> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is still carried by a route that is none any more says nothing of routes.
fn is_known(desk: &Desk, route: &str) -> bool {
    desk.routes().iter().any(|known| known.name == route)
}

fn refused(error: AckError) -> VaultError {
    VaultError::BadAnswer { reason: error.to_string() }
}

fn unreadable(
    storage: &dyn super::storage::VaultStorage,
) -> impl FnOnce(outlast_alert::DeskError) -> VaultError {
    let cannot = StorageError::of(storage, "understand", RECORD);
    move |error| cannot(io::Error::new(io::ErrorKind::InvalidData, error.to_string())).into()
}

/// The chronicle, of which the desk hears first.
pub(crate) struct ToldChronicle<C> {
    pub(crate) alerts: Arc<Alerts>,
    pub(crate) clock: Arc<dyn outlast_types::Clock>,
    pub(crate) chronicle: C,
}

impl<C: Chronicle> Chronicle for ToldChronicle<C> {
    fn append(&self, number: u64, entry: &IncidentEntry) -> Result<(), VaultError> {
        self.alerts.hear(entry, self.clock.now());
        self.chronicle.append(number, entry)
    }

    fn all_appended(&self) -> Result<(), VaultError> {
        let mut desk = self.alerts.desk();
        self.alerts.save(&mut desk)?;
        drop(desk);
        self.chronicle.all_appended()
    }

    fn last(&self) -> Option<u64> {
        self.chronicle.last()
    }

    fn replay(&self, show: &mut dyn FnMut(u64, IncidentEntry)) -> Result<(), VaultError> {
        self.chronicle.replay(show)
    }
}

#[cfg(test)]
mod tests;
