//! What policy wants of drills, from settings.

use std::num::NonZeroU64;

use anyhow::Result;
use outlast_promise::{DrillLevel, DrillPick, DrillRule};
use outlast_vault::{DrillPart, DrillPolicy};

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
    for class in &settings.classes {
        let said =
            |name: &str| Some(format!("classes.{class}.{name}")).filter(|key| settings.is_set(key));
        policy.classes.insert(class.clone(), part(settings, said)?);
    }
    for workload in services.workloads(settings) {
        let part = part(settings, |name| services.key(settings, &workload, name))?;
        if part != DrillPart::default() {
            policy.workloads.insert(workload, part);
        }
    }
    policy.default = default;
    Ok(policy)
}

/// What is said by the keys that `said` names.
fn part(settings: &Settings, said: impl Fn(&str) -> Option<String>) -> Result<DrillPart> {
    let text =
        |name: &str| said(name).map(|key| settings.text(&key).map(str::to_owned)).transpose();
    Ok(DrillPart {
        every: said("drill_every").map(|key| settings.duration(&key)).transpose()?,
        level: text("drill_level")?.map(|word| level(&word)),
        pick: text("drill_pick")?.map(|word| pick(&word)),
        recipe: text("drill_recipe")?,
        check: text("drill_check")?,
        command: said("drill_command").map(|key| settings.words(&key).to_vec()),
    })
}

/// By words that were found right.
fn level(word: &str) -> DrillLevel {
    if word == "stream" { DrillLevel::Stream } else { DrillLevel::Load }
}

fn pick(word: &str) -> DrillPick {
    if word == "random" { DrillPick::Random } else { DrillPick::Newest }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use outlast_vault::VaultConfig;

    use super::super::Document;

    #[test]
    fn a_class_says_how_its_workloads_are_drilled_and_each_may_say_more() {
        let text = "[vault]\ndir = \"/v\"\nlisten = \"[::1]:0\"\nidentity = \"/i\"\n\
                    [drills]\nevery = \"30d\"\n[classes.gold]\nrpo = \"1h\"\ndrill_every = \"7d\"\n\
                    drill_recipe = \"postgresql\"\ndrill_check = \"SELECT 1\"\n\
                    [workloads.crm]\nclass = \"gold\"\ndrill_command = [\"/bin/check\"]\n";
        let document = Document::new(Path::new("/etc/x.toml"), text.to_owned()).unwrap();
        let config: VaultConfig = document.with_variables(std::iter::empty()).unwrap();
        let days = |days: u64| Some(Duration::from_secs(days * 86_400));
        assert_eq!(config.drills.default.every, days(30));
        let gold = &config.drills.classes["gold"];
        assert_eq!((gold.every, gold.recipe.as_deref()), (days(7), Some("postgresql")));
        assert_eq!((gold.level, gold.check.as_deref()), (None, Some("SELECT 1")));
        let crm = &config.drills.workloads[&"crm".parse().unwrap()];
        assert_eq!((crm.every, &crm.recipe), (None, &None));
        assert_eq!(crm.command.as_deref(), Some(&["/bin/check".to_owned()][..]));
    }
}
