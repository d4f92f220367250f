//! From `[promise]`, `[classes]` and `[workloads]` to what is promised of each workload.

use std::io;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use outlast_civil::Holidays;
use outlast_fs::durable;
use outlast_promise::{
    InvalidWindow, LongRun, Part, Policy, PolicyFlaw, Said, Window, longest_run,
};
use outlast_types::human;
use outlast_vault::{AGREEMENTS, agreed};

use super::flaw::Flaw;
use super::key::RoleKeys;
use super::services::Services;
use super::table::promise::OF_CLASSES;
use super::values::Settings;

/// What two operators agreed on, in the vault's directory; a file that is longer was not written by them.
const AGREEMENTS_BYTES_MAX: u64 = 4 << 20;
/// A file of holidays that is longer is a mistake.
const HOLIDAYS_BYTES_MAX: u64 = 1 << 20;

/// What the settings promise.
pub(super) fn build(settings: &Settings) -> Policy {
    Reader { settings, flaws: Vec::new() }.policy()
}

/// What is wrong with it, though each key looks right by itself.
pub(super) fn judge(settings: &Settings, role: &RoleKeys) -> Vec<Flaw> {
    let mut reader = Reader { settings, flaws: Vec::new() };
    let policy = reader.policy();
    let mut flaws = reader.flaws;
    flaws.extend(disagreements(settings, role));
    flaws.extend(foreign_keys(settings, role));
    // What could not be read is missing in the policy, and no further flaw of it.
    if flaws.is_empty() {
        let flaw = |PolicyFlaw { section, key, words }: PolicyFlaw| {
            settings.flaw(&format!("{section}.{key}"), &words)
        };
        flaws.extend(policy.judge().into_iter().map(flaw));
    }
    flaws
}

/// Maintenance windows of one section that take two operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LongWindows {
    /// `classes.nightly`.
    pub(crate) section: String,
    pub(crate) run: LongRun,
}

/// All that the settings say which takes two operators.
pub(super) fn long_windows(settings: &Settings) -> Vec<LongWindows> {
    let mut reader = Reader { settings, flaws: Vec::new() };
    let classes = settings.classes.iter().map(|name| format!("classes.{name}"));
    let workloads = settings.workloads.iter().map(|name| format!("workloads.{name}"));
    let patterns = settings.patterns.iter().map(|name| format!("workloads.{name}"));
    let sections =
        ["promise".to_owned()].into_iter().chain(classes).chain(workloads).chain(patterns);
    let long = sections.filter_map(|section| {
        let windows = reader.windows(&format!("{section}.maintenance"))?;
        Some(LongWindows { run: longest_run(&windows)?, section })
    });
    long.collect()
}

/// Such windows that no two operators agreed on, by what is recorded in a vault's directory.
pub(super) fn judge_long_windows(settings: &Settings, vault: &Path) -> Vec<Flaw> {
    let long = long_windows(settings);
    if long.is_empty() {
        return Vec::new();
    }
    let path = vault.join(AGREEMENTS);
    let agreed = match durable::read_bounded(&path, AGREEMENTS_BYTES_MAX) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read.and_then(|content| agreed(&content)),
    };
    let flaw = |LongWindows { section, run }: &LongWindows| {
        let why = match &agreed {
            Ok(agreed) if agreed.iter().any(|it| it.covers(section, &run.windows)) => return None,
            Ok(_) => "and no two operators agreed on that: ask by `outlast promise request`, or shorten it".to_owned(),
            Err(error) => format!("and what operators agreed on cannot be read from {}: {error}", path.display()),
        };
        let words = format!(
            "pages would wait for {} without a break, from {} on, {why}",
            human::duration(run.length),
            run.begin
        );
        Some(settings.flaw(&format!("{section}.maintenance"), &words))
    };
    long.iter().filter_map(flaw).collect()
}

/// Keys that patterns set to different values although one workload can be called like both.
fn disagreements(settings: &Settings, role: &RoleKeys) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    let keys = role.section("workloads").map_or(&[][..], |section| section.keys);
    for (place, one) in settings.patterns.iter().enumerate() {
        for other in settings.patterns[..place].iter().filter(|other| other.overlaps(one)) {
            let of = |pattern: &_, name: &str| format!("workloads.{pattern}.{name}");
            for key in keys {
                let (mine, others) = (of(one, key.name), of(other, key.name));
                let values = settings.set(&mine).zip(settings.set(&others));
                if let Some((mine_value, value)) = values.filter(|(mine, other)| mine != other) {
                    let words = format!(
                        "{mine_value} here, and {value} for {other}, which can mean the same workload: let \
                         them agree, or name that workload in a section of its own"
                    );
                    flaws.push(settings.flaw(&mine, &words));
                }
            }
            let point = |pattern: &_| {
                ["rpo", "schedule"].into_iter().find(|name| settings.is_set(&of(pattern, name)))
            };
            if let Some((mine, theirs)) = point(one).zip(point(other))
                && mine != theirs
            {
                let words = format!(
                    "{other} has a {theirs}, and can mean the same workload: let them agree"
                );
                flaws.push(settings.flaw(&of(one, mine), &words));
            }
        }
    }
    flaws
}

/// Keys of patterns that are said of single workloads only.
fn foreign_keys(settings: &Settings, role: &RoleKeys) -> Vec<Flaw> {
    let keys = role.section("workloads").map_or(&[][..], |section| section.keys);
    let foreign = keys.iter().filter(|key| !OF_CLASSES.contains(&key.name));
    let named = settings.patterns.iter().flat_map(|pattern| {
        foreign.clone().map(move |key| format!("workloads.{pattern}.{}", key.name))
    });
    let set = named.filter(|key| settings.is_set(key));
    set.map(|key| settings.flaw(&key, "this is said of single workloads, by their names")).collect()
}

struct Reader<'a> {
    settings: &'a Settings,
    flaws: Vec<Flaw>,
}

impl Reader<'_> {
    fn policy(&mut self) -> Policy {
        let settings = self.settings;
        let services = Services::of(settings);
        let mut policy = Policy { default: self.said("promise"), ..Policy::default() };
        for class in &settings.classes {
            if let Ok(name) = class.parse() {
                let part = self.said(&format!("classes.{class}")).part;
                policy.classes.insert(name, part);
            }
        }
        for workload in services.workloads(settings) {
            let mut said = self.said(&format!("workloads.{workload}"));
            if let Some(service) = services.of_member(&workload) {
                let service = self.said(&format!("workloads.{service}"));
                said.class = said.class.or(service.class);
                said.part = said.part.over(&service.part);
            }
            policy.workloads.insert(workload, said);
        }
        for pattern in &settings.patterns {
            let said = self.said(&format!("workloads.{pattern}"));
            policy.patterns.push((pattern.clone(), said));
        }
        policy
    }

    /// What a section says.
    fn said(&mut self, section: &str) -> Said {
        let settings = self.settings;
        let key = |name: &str| format!("{section}.{name}");
        let duration = |name: &str| {
            let key = key(name);
            settings.is_set(&key).then(|| settings.duration(&key).ok()).flatten()
        };
        let part = Part {
            rpo: duration("rpo"),
            schedule: self.parsed(&key("schedule")),
            deadline: duration("deadline"),
            zone: self.parsed(&key("zone")),
            weekdays: self.parsed(&key("weekdays")),
            holidays: self.holidays(&key("holidays")),
            maintenance: self.windows(&key("maintenance")),
            safe: self.parsed(&key("safe")),
            deploy_grace: duration("deploy_grace"),
            owner: self.parsed(&key("owner")),
            route: self.parsed(&key("route")),
            keep: self.parsed(&key("keep")),
            immutable_for: duration("immutable_for"),
            restore_why: settings
                .is_set(&key("restore_why"))
                .then(|| settings.flag(&key("restore_why"))),
        };
        if part.rpo.is_some() && part.schedule.is_some() {
            let words = "an rpo is set here, too, and one of them counts: take one out";
            self.flaws.push(settings.flaw(&key("schedule"), words));
        }
        Said { class: self.parsed(&key("class")), part }
    }

    /// What somebody set a key to; it was found right when it was read.
    fn parsed<T: FromStr>(&self, key: &str) -> Option<T> {
        let text = self.settings.is_set(key).then(|| self.settings.text(key).ok()).flatten();
        text.and_then(|text| text.parse().ok())
    }

    fn holidays(&mut self, key: &str) -> Option<Arc<Holidays>> {
        let path = self.parsed::<String>(key)?;
        let read = durable::read_bounded(Path::new(&path), HOLIDAYS_BYTES_MAX);
        let text = read.map_err(|error| format!("cannot read {path}: {error}"));
        let text = text.and_then(|bytes| {
            String::from_utf8(bytes).map_err(|_| format!("{path} is not text (UTF-8)"))
        });
        let holidays = text.and_then(|text| {
            text.parse::<Holidays>().map_err(|error| format!("cannot understand {path}: {error}"))
        });
        match holidays {
            Ok(holidays) => Some(Arc::new(holidays)),
            Err(words) => {
                self.flaws.push(self.settings.flaw(key, &words));
                None
            }
        }
    }

    fn windows(&mut self, key: &str) -> Option<Vec<Window>> {
        if !self.settings.is_set(key) {
            return None;
        }
        let mut windows = Vec::new();
        for text in self.settings.words(key) {
            let window: Result<Window, InvalidWindow> = text.parse();
            match window {
                Ok(window) => windows.push(window),
                Err(error) => self.flaws.push(self.settings.flaw(key, &error.to_string())),
            }
        }
        Some(windows)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use outlast_promise::Freshness;
    use outlast_types::WorkloadName;
    use outlast_vault::VaultConfig;

    use super::super::Document;
    use super::*;

    fn read(text: &str) -> Result<VaultConfig, String> {
        let text =
            format!("[vault]\ndir = \"/v\"\nlisten = \"[::1]:0\"\nidentity = \"/i\"\n{text}");
        let document = Document::new(Path::new("/etc/x.toml"), text).unwrap();
        document.with_variables(std::iter::empty()).map_err(|error| error.to_string())
    }

    #[test]
    fn classes_patterns_and_workloads_are_read_with_what_each_says() {
        let directory = tempfile::tempdir().unwrap();
        let holidays = directory.path().join("holidays");
        durable::replace(&holidays, b"2026-12-25 Christmas\n", 0o600).unwrap();
        let config = read(&format!(
            "[promise]\nowner = \"ops\"\n\
             [classes.nightly]\nschedule = \"0 2 * * mon-fri\"\ndeadline = \"4h\"\nzone = \"Europe/Berlin\"\n\
             weekdays = \"mon-fri\"\nholidays = {:?}\nmaintenance = [\"sun 02:00-06:00 patch day\"]\n\
             keep = \"daily=7\"\nimmutable_for = \"14d\"\n\
             [workloads.\"shop-*\"]\nclass = \"nightly\"\n[workloads.shop-db]\nowner = \"team-shop\"\n",
            holidays.display().to_string()
        ))
        .unwrap();
        let class = |of: &str| config.policy.class(&WorkloadName::new(of).unwrap());
        let shop = class("shop-db");
        assert_eq!(shop.name.as_ref().unwrap().to_string(), "nightly");
        assert_eq!((shop.owner.as_str(), shop.zone.name()), ("team-shop", "Europe/Berlin"));
        assert_eq!(shop.freshness.to_string(), "one after each 0 2 * * mon-fri, within 4 h");
        assert!(shop.quiet("2026-12-25T12:00:00Z".parse().unwrap()).is_some());
        assert_eq!(shop.keep.as_ref().unwrap().to_string(), "daily=7");
        assert_eq!(shop.immutable_for, Some(Duration::from_secs(14 * 86_400)));
        assert_eq!(class("shop-web").owner, "ops");
        let other = class("crm");
        assert_eq!(other.freshness, Freshness::Rpo(Duration::from_secs(26 * 3600)));
        assert!(other.name.is_none() && other.keep.is_none());
    }

    #[test]
    fn windows_of_more_than_a_day_want_two_operators() {
        let directory = tempfile::tempdir().unwrap();
        let text = format!(
            "[vault]\ndir = {:?}\nlisten = \"[::1]:0\"\nidentity = \"/i\"\n[classes.x]\n\
             maintenance = [\"sat,sun 0:00-24:00 move\"]\n",
            directory.path().display().to_string()
        );
        let read = || {
            let document = Document::new(Path::new("/etc/x.toml"), text.clone()).unwrap();
            let config: anyhow::Result<VaultConfig> = document.with_variables(std::iter::empty());
            config.map(drop).map_err(|error| error.to_string())
        };
        let told = read().unwrap_err();
        for part in
            ["line 6", "classes.x.maintenance", "2 d", "no two operators", "promise request"]
        {
            assert!(told.contains(part), "{part}: {told}");
        }
        let agree = |approved: &str| {
            let record = format!(
                "{{\"version\":1,\"last\":1,\"agreements\":[{{\"number\":1,\"section\":\"classes.x\",\
                 \"windows\":[\"sat,sun 00:00-24:00 move\"],\"reason\":\"r\",\"by\":\"operator a\",\
                 \"at\":\"2026-11-26T00:00:00Z\"{approved}}}]}}"
            );
            durable::replace(&directory.path().join(AGREEMENTS), record.as_bytes(), 0o600).unwrap();
        };
        agree("");
        assert!(read().is_err(), "one operator asked for it");
        agree(",\"approved_by\":\"operator b\",\"approved_at\":\"2026-11-26T01:00:00Z\"");
        read().unwrap();
        durable::replace(&directory.path().join(AGREEMENTS), b"{", 0o600).unwrap();
        assert!(read().unwrap_err().contains("cannot be read from"));
    }

    #[test]
    fn a_policy_that_nobody_can_mean_is_refused_with_line_and_key() {
        for (text, place, words) in [
            ("[classes.x]\nrpp = \"1h\"\n", "line 6, column 1", "did you mean"),
            ("[classes.x]\nschedule = \"0 2 30 2 *\"\n", "line 6, column 12", "never fires"),
            ("[classes.x]\nschedule = \"0 2 * *\"\n", "line 6, column 12", "is no schedule"),
            ("[classes.x]\nzone = \"Europe/Atlantis\"\n", "line 6, column 8", "is not known"),
            ("[classes.x]\nkeep = \"daily=0\"\n", "line 6, column 8", "classes.x.keep"),
            ("[classes.x]\nmaintenance = [\"sun 02:00-06:00\"]\n", "line 6", "wants a reason"),
            ("[classes.x]\nweekdays = \"workdays\"\n", "line 6", "are no days"),
            ("[classes.x]\nholidays = \"/nowhere/at/all\"\n", "line 6", "cannot read"),
            ("[classes.x]\nrpo = \"1h\"\nschedule = \"@daily\"\n", "line 7", "an rpo is set here"),
            ("[classes.X]\nrpo = \"1h\"\n", "line 5", "cannot be the name of a class"),
            ("[workloads.\"a-*\"]\nclass = \"none\"\n", "line 6", "there is no class none"),
            ("[workloads.\"a-*\"]\nstored = \"1GiB\"\n", "line 6", "of single workloads"),
            ("[workloads.\"A-*\"]\nrpo = \"1h\"\n", "line 5", "is no pattern"),
            (
                "[workloads.\"a-*\"]\nrpo = \"1h\"\n[workloads.\"*-b\"]\nrpo = \"2h\"\n",
                "line",
                "can mean the same workload",
            ),
            (
                "[workloads.\"a-*\"]\nrpo = \"1h\"\n[workloads.\"*-b\"]\nschedule = \"@daily\"\n",
                "line",
                "can mean the same workload",
            ),
        ] {
            let told = read(text).unwrap_err();
            assert!(told.contains(place) && told.contains(words), "{text}:\n{told}");
        }
        read("[workloads.\"a-*\"]\nrpo = \"1h\"\n[workloads.\"*-b\"]\nrpo = \"1h\"\n").unwrap();
        read("[workloads.\"a-*\"]\nrpo = \"1h\"\n[workloads.\"b-*\"]\nrpo = \"2h\"\n").unwrap();
        // A name of its own says it for both.
        read("[workloads.\"a-*\"]\nrpo = \"1h\"\n[workloads.a-b]\nrpo = \"2h\"\n").unwrap();
    }
}
