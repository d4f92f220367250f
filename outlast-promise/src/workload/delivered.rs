//! What a backup product has of a workload, and what that makes of its recovery points.

use outlast_types::{DropId, Safe, Timestamp};

use super::Workload;
use crate::handed::{Delivered, HandoverId, Withdrawn};

/// Drops of one workload that a product is remembered to have, the newest.
const DELIVERED_MAX: usize = 16;

impl Workload {
    /// A product has a drop. What is known changes nothing.
    pub(crate) fn confirmed(&mut self, delivered: Delivered) {
        if self.delivered.contains(&delivered) {
            return;
        }
        let is_newest = self.last_delivered().is_none_or(|last| last <= delivered.at);
        self.known_since = self.known_since.min(delivered.at);
        self.withdrawn.take_if(|gone| gone.drop == delivered.drop || gone.at <= delivered.at);
        self.delivered.retain(|known| known.drop != delivered.drop);
        let place = self.delivered.partition_point(|known| known.at <= delivered.at);
        self.delivered.insert(place, delivered);
        if self.delivered.len() > DELIVERED_MAX {
            self.delivered.remove(0);
        }
        if let Some(lies) = self.lies.as_mut().filter(|_| is_newest) {
            // The next look tells of others.
            (lies.unconfirmed, lies.read) = (None, false);
        }
        let safe = self.promise().class().safe;
        if is_newest && matches!(safe, Safe::Confirmed | Safe::Either) {
            self.waiting_since = None;
        }
        if is_newest && safe.counts_confirmed() {
            self.produced(delivered.at);
        }
    }

    /// A product has a drop no more. Whether it had it.
    pub(crate) fn withdraw(&mut self, drop: DropId, handover: HandoverId, reason: String) -> bool {
        let Some(at) = self.delivered.iter().find(|known| known.drop == drop).map(|known| known.at)
        else {
            return false;
        };
        self.delivered.retain(|known| known.drop != drop);
        if self.withdrawn.as_ref().is_none_or(|gone| gone.at <= at) {
            self.withdrawn = Some(Withdrawn { drop, at, handover, reason });
        }
        true
    }

    /// The newest drop that a product has.
    pub(crate) fn last_delivered(&self) -> Option<Timestamp> {
        self.delivered.last().map(|newest| newest.at)
    }

    /// The newest recovery point, as policy counts them.
    pub(crate) fn last_safe(&self) -> Option<Timestamp> {
        match self.promise().class().safe {
            Safe::Vaulted => self.last_vaulted,
            Safe::Confirmed => self.last_delivered(),
            Safe::Either => self.last_vaulted.max(self.last_delivered()),
            Safe::Both => {
                let mut both = self.delivered.iter().rev();
                both.find(|known| known.vaulted).map(|known| known.at)
            }
        }
    }

    /// The newest good drop of which anything is known.
    pub(super) fn last_produced(&self) -> Option<Timestamp> {
        match self.promise().class().safe {
            Safe::Vaulted => self.last_vaulted,
            _ => self.last_vaulted.max(self.last_delivered()),
        }
    }

    /// Whether it is the product that its recovery point waits for.
    pub(crate) fn awaits_confirmation(&self) -> bool {
        let lies = self.lies.as_ref().is_some_and(|lies| lies.unconfirmed.is_some());
        lies && match self.promise().class().safe {
            Safe::Vaulted => false,
            Safe::Confirmed => true,
            // What is not vaulted is the platform's first; but not a drop that came when it was broken already.
            Safe::Either | Safe::Both => self.waiting_since.is_none_or(|since| since > self.due()),
        }
    }
}
