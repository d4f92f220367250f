//! What happens to whom, and when.

use std::collections::BTreeSet;
use std::time::Duration;

use outlast_types::{Timestamp, WorkloadName};

use super::happening::{Chances, Happening, Kind, Whom};

/// A year of a company, or a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scenario {
    /// What comes by chance follows from it.
    pub seed: u64,
    /// Workloads, numbered from 0.
    pub workloads: u32,
    pub days: u32,
    /// Agents, each with a share of its own, among which the workloads are dealt out.
    pub agents: u32,
    /// The vault's clock at the beginning.
    pub start: Timestamp,
    /// How long an agent may stay silent.
    pub agent_deadline: Duration,
    /// What befalls them by chance.
    pub chances: Chances,
    /// What befalls them besides.
    pub happenings: Vec<Happening>,
    /// If only some of the workloads are wanted; each lives as it would among all.
    pub only: Option<BTreeSet<u32>>,
}

/// Why a scenario cannot be played.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidScenario {
    #[error("{key} is {value}, and {least} to {most} is possible")]
    Range { key: &'static str, value: u64, least: u64, most: u64 },
    #[error("there is no {kind} {number}: they are numbered from 0, and there are {count}")]
    Nobody { kind: &'static str, number: u32, count: u32 },
    #[error("{what} befalls {wanted}")]
    Kind { what: &'static str, wanted: &'static str },
}

impl Scenario {
    pub const WORKLOADS_MAX: u32 = 100_000;
    pub const DAYS_MAX: u32 = 3_660;
    pub const AGENTS_MAX: u32 = 64;

    /// Everything that can happen, as often as it usually does, from the first of January 2028 on: a leap
    /// year.
    pub fn of_everything(workloads: u32, days: u32, seed: u64) -> Self {
        Self {
            seed,
            workloads,
            days,
            agents: 4,
            start: Timestamp::from_unix(1_830_297_600, 0).unwrap_or(Timestamp::EPOCH),
            agent_deadline: Duration::from_secs(300),
            chances: Chances::usual(),
            happenings: Vec::new(),
            only: None,
        }
    }

    /// What the `number`th workload is called.
    pub fn workload(number: u32) -> Option<WorkloadName> {
        WorkloadName::new(&format!("w{number:05}")).ok()
    }

    /// What the `number`th agent is called.
    pub fn agent(number: u32) -> String {
        format!("road-{number}")
    }

    /// Whether it can be played.
    pub fn judge(&self) -> Result<(), InvalidScenario> {
        let within = |key, value: u64, least: u64, most: u64| match (least..=most).contains(&value)
        {
            true => Ok(()),
            false => Err(InvalidScenario::Range { key, value, least, most }),
        };
        within("workloads", self.workloads.into(), 1, Self::WORKLOADS_MAX.into())?;
        within("days", self.days.into(), 1, Self::DAYS_MAX.into())?;
        within("agents", self.agents.into(), 1, Self::AGENTS_MAX.into())?;
        within("agent_deadline", self.agent_deadline.as_secs(), 10, 86_400)?;
        self.happenings.iter().try_for_each(|happening| self.judge_one(happening))
    }

    /// Whether one happening is possible.
    pub fn judge_one(&self, happening: &Happening) -> Result<(), InvalidScenario> {
        let what = happening.what.as_str();
        let nobody = |kind, number, count| Err(InvalidScenario::Nobody { kind, number, count });
        match (happening.what.kind(), happening.whom) {
            (Kind::Vault, Whom::Vault) => Ok(()),
            (Kind::Agent, Whom::Agent(number)) if number < self.agents => Ok(()),
            (Kind::Agent, Whom::Agent(number)) => nobody("agent", number, self.agents),
            (Kind::Workload, Whom::Workload(number)) if number < self.workloads => Ok(()),
            (Kind::Workload, Whom::Workload(number)) => nobody("workload", number, self.workloads),
            (Kind::Vault, _) => Err(InvalidScenario::Kind { what, wanted: "the vault" }),
            (Kind::Agent, _) => Err(InvalidScenario::Kind { what, wanted: "an agent" }),
            (Kind::Workload, _) => Err(InvalidScenario::Kind { what, wanted: "a workload" }),
        }
    }

    /// Its length in seconds.
    pub(crate) fn seconds(&self) -> u64 {
        u64::from(self.days) * 86_400
    }

    /// The workloads that are played.
    pub(crate) fn played(&self) -> Vec<u32> {
        let is_wanted = |number: &u32| self.only.as_ref().is_none_or(|only| only.contains(number));
        (0..self.workloads).filter(is_wanted).collect()
    }
}
