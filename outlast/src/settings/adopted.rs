//! The rules `[[adopt]]` of an agent, from settings.

use outlast_drop::adopt::{InvalidRule, Removal, Rule, RulePart, RuleText};

use super::flaw::Flaw;
use super::values::{Item, Settings, Unset};

/// The name of the sections.
const ADOPT: &str = "adopt";
/// The word of `remove_after` by which files are removed.
const VAULTED: &str = "vaulted";

/// What is wrong with the rules.
pub(super) fn flaws(settings: &Settings) -> Vec<Flaw> {
    let flaw = |item: &Item| {
        // What is missing is told where all keys are.
        let invalid = Rule::parse(&text(settings, item).ok()?).err()?;
        let InvalidRule { part, reason } = invalid;
        let key = match part {
            RulePart::Glob => "glob",
            RulePart::Workload => "workload",
            RulePart::Group => "group",
        };
        let key = item.key(key);
        let is_said = settings.is_set(&key);
        Some(if is_said {
            settings.flaw(&key, &reason)
        } else {
            item.flaw(&format!("workload: {reason}"))
        })
    };
    settings.listed(ADOPT).iter().filter_map(flaw).collect()
}

/// The rules, which have no flaws.
pub(super) fn rules(settings: &Settings) -> anyhow::Result<Vec<Rule>> {
    let rule = |item: &Item| Ok(Rule::parse(&text(settings, item)?)?);
    settings.listed(ADOPT).iter().map(rule).collect()
}

fn text(settings: &Settings, item: &Item) -> Result<RuleText, Unset> {
    let key = |name: &str| item.key(name);
    let is_removed = settings.text_if_set(&key("remove_after")) == Some(VAULTED);
    Ok(RuleText {
        glob: settings.text(&key("glob"))?.to_owned(),
        workload: settings.text_if_set(&key("workload")).map(str::to_owned),
        group: settings.words(&key("group")).to_vec(),
        settle: settings.duration(&key("settle"))?,
        max_age: settings.duration_if_set(&key("max_age")),
        removal: if is_removed { Removal::Vaulted } else { Removal::Never },
        workloads: settings.count(&key("workloads"))?,
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use outlast_agent::AgentConfig;

    use crate::settings::Document;

    use super::*;

    fn read(rules: &str) -> Result<AgentConfig, String> {
        let text = format!(
            "[agent]\nshare = \"/s\"\nstate = \"/a\"\nupstream = \"https://v/\"\nidentity = \"/i\"\n{rules}"
        );
        let document = Document::new(Path::new("/etc/agent.toml"), text);
        let read = document.and_then(|document| document.with_variables(std::iter::empty()));
        read.map_err(|error| error.to_string())
    }

    #[test]
    fn rules_are_read_in_their_order_and_what_is_not_said_is_as_the_crate_has_it() {
        let config = read(
            "[[adopt]]\nglob = \"dumps/{workload}/*\"\n[[adopt]]\nglob = \"x/{base}.sql\"\nworkload = \"crm\"\n\
             settle = \"1h\"\ngroup = [\"{base}.md5\"]\nmax_age = \"7d\"\nremove_after = \"vaulted\"\nworkloads = 3\n",
        );
        let usual = RuleText::new("dumps/{workload}/*");
        let other = RuleText {
            workload: Some("crm".to_owned()),
            settle: Duration::from_secs(3600),
            group: vec!["{base}.md5".to_owned()],
            max_age: Some(Duration::from_secs(7 * 86_400)),
            removal: Removal::Vaulted,
            workloads: 3,
            ..RuleText::new("x/{base}.sql")
        };
        let expected: Vec<_> = [usual, other].iter().map(|it| Rule::parse(it).unwrap()).collect();
        assert_eq!(config.unwrap().adopt, expected);
    }

    #[test]
    fn what_is_wrong_in_a_rule_is_told_at_its_place() {
        let said = read(
            "[[adopt]]\nglob = \"a/**\"\n[[adopt]]\nglob = \"x/*\"\n[[adopt]]\nglob = \"x/*\"\nworkload = \"W\"\n",
        )
        .unwrap_err();
        for part in
            ["adopt[1].glob", "'**'", "line 7", "adopt[2]", "{workload}", "adopt[3].workload"]
        {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(read("[[adopt]]\nsettle = \"1m\"\n").unwrap_err().contains("glob"));
        assert!(read("[[adopt]]\nglob = \"x/{workload}\"\nremove_after = \"now\"\n").is_err());
    }
}
