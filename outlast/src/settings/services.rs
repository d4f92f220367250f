//! `members` in the vault's policy: workloads that consist of others.

use std::collections::{BTreeMap, BTreeSet};

use outlast_types::WorkloadName;

use super::flaw::Flaw;
use super::values::Settings;

/// Members of one workload.
const MEMBERS_MAX: usize = 10_000;

/// What policy says of workloads, and of which they consist.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Services {
    /// The members of each that has some.
    pub(super) members: BTreeMap<WorkloadName, Vec<WorkloadName>>,
    /// Whose member each is.
    of: BTreeMap<WorkloadName, WorkloadName>,
}

impl Services {
    /// Those of the settings, without what is wrong with them.
    pub(super) fn of(settings: &Settings) -> Self {
        let mut services = Self::default();
        for service in &settings.workloads {
            let names = settings.words(&key(service)).iter();
            let members: Vec<_> = names.filter_map(|name| WorkloadName::new(name).ok()).collect();
            if members.is_empty() {
                continue;
            }
            let of = members.iter().map(|member| (member.clone(), service.clone()));
            services.of.extend(of);
            services.members.insert(service.clone(), members);
        }
        services
    }

    /// All workloads of which policy speaks: those that have a section, and the members of those.
    pub(super) fn workloads(&self, settings: &Settings) -> BTreeSet<WorkloadName> {
        self.of.keys().chain(&settings.workloads).cloned().collect()
    }

    /// Whose member a workload is.
    pub(super) fn of_member(&self, workload: &WorkloadName) -> Option<&WorkloadName> {
        self.of.get(workload)
    }

    /// The key that says something of a workload: its own, or that of the one whose member it is. None if
    /// nobody set either.
    pub(super) fn key(
        &self,
        settings: &Settings,
        workload: &WorkloadName,
        name: &str,
    ) -> Option<String> {
        let sections = [Some(workload), self.of.get(workload)];
        let keys = sections.into_iter().flatten().map(|of| format!("workloads.{of}.{name}"));
        keys.into_iter().find(|key| settings.is_set(key))
    }
}

fn key(service: &WorkloadName) -> String {
    format!("workloads.{service}.members")
}

/// What is wrong with the members of workloads.
pub(super) fn judge(settings: &Settings) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    let mut known: BTreeMap<&str, &WorkloadName> = BTreeMap::new();
    for service in &settings.workloads {
        let key = key(service);
        let mut flaw = |words: &str| flaws.push(settings.flaw(&key, words));
        let members = settings.words(&key);
        if members.len() > MEMBERS_MAX {
            flaw(&format!("there are more than {MEMBERS_MAX}"));
            continue;
        }
        for member in members {
            let name = match WorkloadName::new(member) {
                Ok(name) => name,
                Err(error) => {
                    flaw(&error.to_string());
                    continue;
                }
            };
            if let Some(other) = known.insert(member, service) {
                flaw(&format!("{member} is a member of {other} already"));
            }
            if name != *service && !settings.words(&self::key(&name)).is_empty() {
                flaw(&format!("{member} has members itself; list those"));
            }
        }
    }
    flaws
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use outlast_promise::Freshness;
    use outlast_vault::VaultConfig;

    use super::super::Document;
    use super::*;

    fn read(text: &str) -> Result<VaultConfig, String> {
        let text =
            format!("[vault]\ndir = \"/v\"\nlisten = \"[::1]:0\"\nidentity = \"/i\"\n{text}");
        let document = Document::new(Path::new("/etc/x.toml"), text).unwrap();
        document.with_variables(std::iter::empty()).map_err(|error| error.to_string())
    }

    fn name(name: &str) -> WorkloadName {
        WorkloadName::new(name).unwrap()
    }

    #[test]
    fn what_is_said_of_a_service_holds_for_its_members_unless_more_is_said_of_them() {
        let config = read(
            "[promise]\nowner = \"ops\"\n[sanity]\nmin_size = \"9B\"\n\
             [workloads.shop]\nmembers = [\"shop.1\", \"shop.2\"]\nrpo = \"12h\"\nowner = \"team-shop\"\n\
             min_size = \"1MiB\"\nstored = \"1GiB\"\n\
             [workloads.\"shop.2\"]\nrpo = \"1h\"\n[workloads.web]\nrpo = \"2h\"\n",
        )
        .unwrap();
        assert_eq!(config.services, [(name("shop"), vec![name("shop.1"), name("shop.2")])].into());
        let promise = |of: &str| config.policy.class(&name(of));
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        for (of, rpo, owner) in [
            ("shop", hours(12), "team-shop"),
            ("shop.1", hours(12), "team-shop"),
            ("shop.2", hours(1), "team-shop"),
            ("web", hours(2), "ops"),
        ] {
            assert_eq!(promise(of).freshness, Freshness::Rpo(rpo), "{of}");
            assert_eq!(promise(of).owner, owner, "{of}");
        }
        assert_eq!(config.policy.workloads.len(), 4);
        assert_eq!(config.sanity.workloads[&name("shop.1")].min_size, Some(1 << 20));
        assert_eq!(config.sanity.workloads[&name("shop.2")].min_size, Some(1 << 20));
        assert_eq!(config.sanity.workloads[&name("web")].min_size, Some(9));
        assert_eq!(config.limits.workloads[&name("shop.1")], 1 << 30);
        assert_eq!(config.limits.workloads[&name("web")], outlast_vault::UNLIMITED);
    }

    #[test]
    fn members_that_cannot_be_are_told_where_they_stand() {
        let told = read(
            "[workloads.a]\nmembers = [\"Shop\", \"x\", \"x\"]\n[workloads.b]\nmembers = [\"x\", \"a\", \"b\"]\n\
             [workloads.c]\nmembers = 7\n",
        )
        .unwrap_err();
        assert!(told.contains("line 10") && told.contains("a list of texts"), "{told}");
        let told = read(
            "[workloads.a]\nmembers = [\"Shop\", \"x\", \"x\"]\n[workloads.b]\nmembers = [\"x\", \"a\", \"b\"]\n",
        )
        .unwrap_err();
        for words in [
            "line 6, column 11: workloads.a.members: \"Shop\"",
            "line 6, column 11: workloads.a.members: x is a member of a already",
            "line 8, column 11: workloads.b.members: x is a member of a already",
            "line 8, column 11: workloads.b.members: a has members itself; list those",
        ] {
            assert!(told.contains(words), "{words} is not in:\n{told}");
        }
        assert!(!told.contains("b has members itself"), "{told}");
    }
}
