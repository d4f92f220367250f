//! The routes of a vault: what carries alerts, and the threads that do it.

mod carriers;
mod command;
mod destination;
mod secret;

use std::sync::Arc;
use std::time::Duration;

use outlast_alert::{Desk, Kind, Pending};
use outlast_types::{Backoff, Environment, Interrupt};
use outlast_wire::Roads;

use self::carriers::carrier;
use crate::core::alerts::{Alerts, Carrier};

pub use self::destination::{Address, Destination, RouteConfig};
pub use self::secret::{SecretError, check_secret};

/// How often it is looked whether something is due.
const LOOK: Duration = Duration::from_secs(1);
/// The pause after a failure; it doubles with each.
const PAUSE_FIRST: Duration = Duration::from_secs(2);
const PAUSE_LONGEST: Duration = Duration::from_secs(120);

/// Says at a start who is told, and what is wrong with it.
pub(super) fn announce(routes: &[RouteConfig]) {
    if routes.iter().all(|config| config.route.kind == Kind::Heartbeat) {
        tracing::warn!(
            "no route is configured: nobody is told of incidents but those who look at this log, the list, \
             or the metrics; docs/alerts.md says how"
        );
    }
    for RouteConfig { route, to } in routes {
        for secret in to.secrets() {
            if let Err(error) = check_secret(secret) {
                tracing::error!(route = route.name, %error, "a route cannot be used");
            }
        }
    }
}

/// What carries by a route until the end is asked for.
pub(super) fn work(
    config: RouteConfig,
    alerts: Arc<Alerts>,
    vault: String,
    environment: Environment,
    roads: Roads,
) -> impl FnOnce(&Interrupt) + Send + 'static {
    move |stop| {
        let name = config.route.name.clone();
        let carrier = carrier(config, vault, &environment, roads, stop);
        let mut backoff = Backoff::default();
        let mut asked_until = Duration::ZERO;
        while !stop.is_requested() {
            let elapsed = environment.timer.elapsed();
            if !backoff.is_waiting(elapsed) && asked_until <= elapsed {
                let asked = carry_all(&name, &*carrier, &alerts, &environment, stop, &mut backoff);
                asked_until = environment.timer.elapsed().saturating_add(asked);
            }
            environment.timer.pause(LOOK, stop);
        }
    }
}

/// Carries what is due, until nothing is, or something fails; how long the receiver asks to be left alone.
fn carry_all(
    route: &str,
    carrier: &dyn Carrier,
    alerts: &Alerts,
    environment: &Environment,
    stop: &Interrupt,
    backoff: &mut Backoff,
) -> Duration {
    while !stop.is_requested() {
        let now = environment.clock.now();
        let Some(pending) = alerts.next(route, now) else { break };
        let carried = carrier.carry(&pending, now);
        let now = environment.clock.now();
        let noted = match &carried {
            Ok(()) => alerts.delivered(route, &pending, now),
            Err(why) => alerts.failed(route, &pending, why, now),
        };
        if let Err(error) = noted {
            // It is delivered again, under the same id, rather than not at all.
            tracing::error!(route, %error, "cannot note what was delivered");
        }
        match carried {
            Ok(()) => backoff.succeeded(),
            Err(why) => {
                let elapsed = environment.timer.elapsed();
                backoff.failed(elapsed, PAUSE_FIRST, PAUSE_LONGEST, &*environment.random);
                return why.retry_after.unwrap_or_default();
            }
        }
    }
    Duration::ZERO
}

/// Sends a marked test by a route, as a person asked for; why it was not taken, if so.
pub fn try_out(
    config: &RouteConfig,
    vault: &str,
    environment: &Environment,
    roads: &Roads,
) -> Result<(), String> {
    let now = environment.clock.now();
    let (route, stop) = (&config.route, Interrupt::default());
    let carrier = carrier(config.clone(), vault.to_owned(), environment, roads.clone(), &stop);
    let message = Desk::test_message(vault, &route.name, now);
    let pending = match route.kind {
        Kind::Alertmanager => Pending::Alerts(vec![outlast_alert::Alert {
            line: outlast_alert::Line {
                // It resolves in a minute by itself.
                resolved: Some(now.saturating_add(Duration::from_secs(60))),
                ..message.incidents[0].clone()
            },
            incident: 0,
            vault: vault.to_owned(),
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
        let what = outlast_alert::What::Resolved;
        let over = Pending::Message(outlast_alert::Message { what, ..message });
        carrier.carry(&over, now).map_err(|why| why.reason)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
