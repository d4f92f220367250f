//! The routes of a vault: what decides what is told, as couriers ask it.

use outlast_alert::Pending;
use outlast_types::Timestamp;
use outlast_wire::outside::{NotNoted, RouteConfig, Telling, Undelivered, tells_somebody};

use crate::core::alerts::Alerts;

/// Says if nobody is told of incidents.
pub(super) fn announce(routes: &[RouteConfig]) {
    if !tells_somebody(routes) {
        tracing::warn!(
            "no route is configured: nobody is told of incidents but those who look at this log, the list, \
             or the metrics; docs/alerts.md says how"
        );
    }
}

impl Telling for Alerts {
    fn next(&self, route: &str, now: Timestamp) -> Option<Pending> {
        self.due(route, now)
    }

    fn delivered(&self, route: &str, pending: &Pending, now: Timestamp) -> Result<(), NotNoted> {
        Ok(self.note_delivered(route, pending, now)?)
    }

    fn failed(
        &self,
        route: &str,
        pending: &Pending,
        why: &Undelivered,
        now: Timestamp,
    ) -> Result<(), NotNoted> {
        Ok(self.note_failed(route, pending, why, now)?)
    }
}

#[cfg(test)]
mod tests;
