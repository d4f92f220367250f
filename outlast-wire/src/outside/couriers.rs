//! The threads that carry what is to be told, one for each route, while routes come, change and go.
//!
//! A change never breaks off what is under way: what a route carries is carried to its end, and the next goes
//! the new way. So nothing is lost by it, and nothing told twice.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::Duration;

use outlast_alert::{Alert, Desk, Kind, Line, Message, Pending, What};
use outlast_types::{Backoff, Environment, Interrupt, Timestamp};

use super::carriers::{Carrier, Undelivered, carrier};
use super::destination::RouteConfig;
use super::secret::check_secret;
use crate::road::Roads;

/// How often it is looked whether something is due, and whether all routes are attended to.
const LOOK: Duration = Duration::from_secs(1);
/// The pause after a failure; it doubles with each.
const PAUSE_FIRST: Duration = Duration::from_secs(2);
const PAUSE_LONGEST: Duration = Duration::from_secs(120);

/// That something of a delivery could not be noted.
pub type NotNoted = Box<dyn Error + Send + Sync>;

/// What decides what is told, and hears what became of it.
pub trait Telling: Send + Sync {
    /// What is to be sent by a route now; one at a time, until it was delivered.
    fn next(&self, route: &str, now: Timestamp) -> Option<Pending>;

    fn delivered(&self, route: &str, pending: &Pending, now: Timestamp) -> Result<(), NotNoted>;

    fn failed(
        &self,
        route: &str,
        pending: &Pending,
        why: &Undelivered,
        now: Timestamp,
    ) -> Result<(), NotNoted>;
}

/// Carries what is told by routes. A copy is the same one.
#[derive(Clone)]
pub struct Couriers {
    telling: Arc<dyn Telling>,
    /// Who tells: the vault's name, or `agent/eu-1`.
    teller: String,
    environment: Environment,
    roads: Roads,
    table: Arc<Mutex<Table>>,
}

#[derive(Default)]
struct Table {
    routes: BTreeMap<String, Arc<RouteConfig>>,
    /// Those that a thread attends to.
    attended: BTreeSet<String>,
}

/// That a thread attends to a route; over when the thread is, however it ended.
struct Attending<'a> {
    couriers: &'a Couriers,
    route: String,
}

impl Drop for Attending<'_> {
    fn drop(&mut self) {
        self.couriers.table().attended.remove(&self.route);
    }
}

impl Couriers {
    pub fn new(
        telling: Arc<dyn Telling>,
        teller: &str,
        environment: &Environment,
        roads: Roads,
        routes: &[RouteConfig],
    ) -> Self {
        let (teller, environment) = (teller.to_owned(), environment.clone());
        let couriers = Self { telling, teller, environment, roads, table: Arc::default() };
        couriers.set(routes);
        couriers
    }

    /// Takes other routes from now on. Those that are as they were go on as if nothing were; what is on its
    /// way by one that is another, or none any more, arrives first.
    pub fn set(&self, routes: &[RouteConfig]) {
        announce(routes);
        let mut table = self.table();
        let known = std::mem::take(&mut table.routes);
        let same = |route: &RouteConfig| {
            let known = known.get(&route.route.name).filter(|known| ***known == *route);
            known.map_or_else(|| Arc::new(route.clone()), Arc::clone)
        };
        table.routes = routes.iter().map(|it| (it.route.name.clone(), same(it))).collect();
    }

    /// Carries what is due until the end is asked for.
    pub fn keep_carrying(&self, stop: &Interrupt) {
        thread::scope(|scope| {
            let mut threads = Vec::new();
            while !stop.is_requested() {
                self.attend_to_all(scope, &mut threads, stop);
                self.environment.timer.pause(LOOK, stop);
            }
            threads.drain(..).for_each(ended);
        });
    }

    /// Starts a thread for each route that has none.
    fn attend_to_all<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        threads: &mut Vec<ScopedJoinHandle<'scope, ()>>,
        stop: &'scope Interrupt,
    ) {
        let (over, at_work) = threads.drain(..).partition(ScopedJoinHandle::is_finished);
        *threads = at_work;
        Vec::into_iter(over).for_each(ended);
        let unattended: Vec<String> = {
            let table = self.table();
            let routes = table.routes.keys();
            routes.filter(|route| !table.attended.contains(*route)).cloned().collect()
        };
        for route in unattended {
            self.table().attended.insert(route.clone());
            let attending = Attending { couriers: self, route };
            let thread = thread::Builder::new().name(format!("alert-{}", attending.route));
            match thread.spawn_scoped(scope, move || self.attend(&attending.route, stop)) {
                Ok(thread) => threads.push(thread),
                // It is tried again, since what would have attended to it is gone.
                Err(error) => tracing::error!(%error, "no thread can be started for a route"),
            }
        }
    }

    fn attend(&self, route: &str, stop: &Interrupt) {
        let mut config: Option<Arc<RouteConfig>> = None;
        let mut by: Option<Box<dyn Carrier>> = None;
        let (mut backoff, mut asked_until) = (Backoff::default(), Duration::ZERO);
        while !stop.is_requested() {
            let Some(current) = self.table().routes.get(route).cloned() else { return };
            if config.as_ref().is_none_or(|config| !Arc::ptr_eq(config, &current)) {
                let (teller, roads) = (self.teller.clone(), self.roads.clone());
                by = Some(carrier((*current).clone(), teller, &self.environment, roads, stop));
                (backoff, asked_until) = (Backoff::default(), Duration::ZERO);
                config = Some(current);
            }
            let elapsed = self.environment.timer.elapsed();
            let is_time = !backoff.is_waiting(elapsed) && asked_until <= elapsed;
            if let Some(carrier) = by.as_deref().filter(|_| is_time) {
                match self.carry(route, carrier, stop, &mut backoff) {
                    // There may be more, and another way for it.
                    Carried::One => continue,
                    Carried::Nothing => {}
                    Carried::Failed { asked } => {
                        let elapsed = self.environment.timer.elapsed();
                        asked_until = elapsed.saturating_add(asked);
                    }
                }
            }
            self.environment.timer.pause(LOOK, stop);
        }
    }

    /// Carries what is due, if anything is.
    fn carry(
        &self,
        route: &str,
        carrier: &dyn Carrier,
        stop: &Interrupt,
        backoff: &mut Backoff,
    ) -> Carried {
        let now = self.environment.clock.now();
        let Some(pending) = self.telling.next(route, now) else { return Carried::Nothing };
        let carried = carrier.carry(&pending, now);
        if carried.is_err() && stop.is_requested() {
            // We broke it off; that is not the route's fault.
            return Carried::Nothing;
        }
        let now = self.environment.clock.now();
        let noted = match &carried {
            Ok(()) => self.telling.delivered(route, &pending, now),
            Err(why) => self.telling.failed(route, &pending, why, now),
        };
        if let Err(error) = noted {
            // It is delivered again, under the same id, rather than not at all.
            tracing::error!(route, %error, "cannot note what was delivered");
        }
        match carried {
            Ok(()) => {
                backoff.succeeded();
                Carried::One
            }
            Err(why) => {
                let elapsed = self.environment.timer.elapsed();
                backoff.failed(elapsed, PAUSE_FIRST, PAUSE_LONGEST, &*self.environment.random);
                Carried::Failed { asked: why.retry_after.unwrap_or_default() }
            }
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Carried {
    Nothing,
    One,
    /// The receiver asks to be left alone for so long.
    Failed {
        asked: Duration,
    },
}

fn ended(thread: ScopedJoinHandle<'_, ()>) {
    if thread.join().is_err() {
        tracing::error!("what attended to a route ended badly, and is begun anew");
    }
}

/// Says which routes cannot be used.
fn announce(routes: &[RouteConfig]) {
    for RouteConfig { route, to } in routes {
        for secret in to.secrets() {
            if let Err(error) = check_secret(secret) {
                tracing::error!(route = route.name, %error, "a route cannot be used");
            }
        }
    }
}

/// Sends a marked test by a route, as a person asked for; why it was not taken, if so. `teller` is the
/// vault's name, or `agent/eu-1`.
pub fn try_out(
    config: &RouteConfig,
    teller: &str,
    environment: &Environment,
    roads: &Roads,
) -> Result<(), String> {
    let now = environment.clock.now();
    let (route, stop) = (&config.route, Interrupt::default());
    let carrier = carrier(config.clone(), teller.to_owned(), environment, roads.clone(), &stop);
    let message = Desk::test_message(teller, &route.name, now);
    let pending = match route.kind {
        Kind::Alertmanager => Pending::Alerts(vec![Alert {
            line: Line {
                // It resolves in a minute by itself.
                resolved: Some(now.saturating_add(Duration::from_secs(60))),
                ..message.incidents[0].clone()
            },
            incident: 0,
            vault: teller.to_owned(),
            code: message.code.clone(),
            severity: message.severity,
            owner: message.owner,
            team: message.team.clone(),
        }]),
        Kind::Heartbeat => Pending::Beat,
        _ => Pending::Message(message.clone()),
    };
    carrier.carry(&pending, now).map_err(|why| why.reason)?;
    if route.kind == Kind::PagerDuty {
        // Whoever is on call is woken by no test for long.
        let over = Pending::Message(Message { what: What::Resolved, ..message });
        carrier.carry(&over, now).map_err(|why| why.reason)?;
    }
    Ok(())
}
