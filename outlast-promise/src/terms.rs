//! What policy promises of a workload beside its recovery point and its owner, in words: for those who look
//! what holds, what another policy would change, and what held in a month.

use std::collections::BTreeMap;

use outlast_civil::Weekdays;
use outlast_types::{Safe, human};

use crate::class::Class;

/// Holidays that are named; of more, it is told how many and which.
const HOLIDAYS_NAMED_MAX: usize = 30;

impl Class {
    /// By the keys of policy. What is as it is where nobody says anything is left out; retention is told by whoever
    /// knows what holds for all.
    pub fn terms(&self) -> BTreeMap<&'static str, String> {
        let mut terms = BTreeMap::new();
        let mut add = |key, is_usual: bool, words: &dyn Fn() -> String| {
            if !is_usual {
                terms.insert(key, words());
            }
        };
        let days = &self.days_off;
        add("safe", self.safe == Safe::default(), &|| self.safe.to_string());
        add("weekdays", days.weekdays == Weekdays::ALL, &|| days.weekdays.to_string());
        add("holidays", days.holidays.is_empty(), &|| days.holidays.in_words(HOLIDAYS_NAMED_MAX));
        add("maintenance", self.maintenance.is_empty(), &|| {
            let windows: Vec<String> = self.maintenance.iter().map(ToString::to_string).collect();
            windows.join("; ")
        });
        add("deploy_grace", self.deploy_grace.is_zero(), &|| human::duration(self.deploy_grace));
        add("route", self.route.is_none(), &|| self.route.clone().unwrap_or_default());
        add("restore_why", !self.restore_why, &|| self.restore_why.to_string());
        terms
    }
}
