//! What policy wants of drills, from settings.

use std::num::NonZeroU64;

use anyhow::Result;
use outlast_promise::{DrillLevel, DrillPick, DrillRule};
use outlast_types::WorkloadName;
use outlast_vault::DrillPolicy;

use super::services::Services;
use super::values::Settings;

pub(super) fn policy(settings: &Settings, services: &Services) -> Result<DrillPolicy> {
    let every = settings.is_set("drills.every").then(|| settings.duration("drills.every"));
    let default = DrillRule {
        every: every.transpose()?,
        level: level(settings.text("drills.level")?),
        pick: pick(settings.text("drills.pick")?),
        ..DrillRule::default()
    };
    let mut policy = DrillPolicy {
        rate: NonZeroU64::new(settings.size("drills.rate")?).filter(|rate| rate.get() != u64::MAX),
        ..DrillPolicy::default()
    };
    for workload in services.workloads(settings) {
        let rule = rule(settings, services, &workload, &default)?;
        if rule != default {
            policy.workloads.insert(workload, rule);
        }
    }
    policy.default = default;
    Ok(policy)
}

fn rule(
    settings: &Settings,
    services: &Services,
    workload: &WorkloadName,
    default: &DrillRule,
) -> Result<DrillRule> {
    let said = |name: &str| services.key(settings, workload, name);
    let text =
        |name: &str| said(name).map(|key| settings.text(&key).map(str::to_owned)).transpose();
    let every = said("drill_every").map(|key| settings.duration(&key)).transpose()?;
    Ok(DrillRule {
        every: every.or(default.every),
        level: text("drill_level")?.map_or(default.level, |word| level(&word)),
        pick: text("drill_pick")?.map_or(default.pick, |word| pick(&word)),
        recipe: text("drill_recipe")?,
        check: text("drill_check")?,
        command: said("drill_command").map_or_else(Vec::new, |key| settings.words(&key).to_vec()),
    })
}

/// By words that were found right.
fn level(word: &str) -> DrillLevel {
    if word == "stream" { DrillLevel::Stream } else { DrillLevel::Load }
}

fn pick(word: &str) -> DrillPick {
    if word == "random" { DrillPick::Random } else { DrillPick::Newest }
}
