//! The rules by which files are adopted. Pure.

use std::fmt;
use std::time::Duration;

use outlast_fs::EntryPath;
use outlast_types::WorkloadName;

use super::glob::{Pattern, Template};

/// The most files that one rule takes together.
const GROUP_MAX: usize = 16;
/// The word that names the workload where nothing else is said.
const WORKLOAD: &str = "{workload}";

/// A rule, as somebody writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleText {
    pub glob: String,
    /// The workload, or how its name is made; `{workload}` if nothing is said.
    pub workload: Option<String>,
    /// The names of other files beside the one that the glob finds, which belong to it.
    pub group: Vec<String>,
    /// How long a file must not have changed before it is believed.
    pub settle: Duration,
    /// Files that were last changed before that are left alone.
    pub max_age: Option<Duration>,
    pub removal: Removal,
    /// The most workloads that the rule may lead to.
    pub workloads: usize,
}

/// When a file that was adopted is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Removal {
    /// Never: it is its owner's.
    #[default]
    Never,
    /// When the vault says that it holds what was made of it.
    Vaulted,
}

/// A rule that is understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    glob: Pattern,
    workload: Template,
    group: Vec<Template>,
    pub settle: Duration,
    pub max_age: Option<Duration>,
    pub removal: Removal,
    pub workloads: usize,
}

/// A part of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RulePart {
    Glob,
    Workload,
    Group,
}

/// Why a text is no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the {part} of a rule to adopt files cannot be used: {reason}")]
pub struct InvalidRule {
    pub part: RulePart,
    pub reason: String,
}

/// What a rule makes of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meant {
    /// The workload that it belongs to, or why its name is none.
    pub workload: Result<WorkloadName, String>,
    /// The names of the files beside it that belong to it.
    pub others: Vec<Vec<u8>>,
}

impl RuleText {
    /// A rule with nothing said but its glob.
    pub fn new(glob: &str) -> Self {
        Self {
            glob: glob.to_owned(),
            workload: None,
            group: Vec::new(),
            settle: Duration::from_secs(600),
            max_age: None,
            removal: Removal::Never,
            workloads: 1000,
        }
    }
}

impl Rule {
    /// Understands a rule.
    pub fn parse(text: &RuleText) -> Result<Self, InvalidRule> {
        let invalid = |part| move |reason| InvalidRule { part, reason };
        let glob = Pattern::parse(&text.glob).map_err(invalid(RulePart::Glob))?;
        let workload = match &text.workload {
            Some(workload) => Template::parse(workload, &glob),
            None => Template::parse(WORKLOAD, &glob).map_err(|_| {
                format!("it is not said, and the glob does not capture {WORKLOAD} either")
            }),
        };
        let workload = workload.map_err(invalid(RulePart::Workload))?;
        // A fixed name is judged at once, and the others when they are made.
        if let Some(name) = text.workload.as_ref().filter(|name| !name.contains('{')) {
            let name = WorkloadName::new(name).map_err(|error| error.to_string());
            name.map_err(invalid(RulePart::Workload))?;
        }
        if text.group.len() >= GROUP_MAX {
            let reason = format!("it has more than {} names", GROUP_MAX - 1);
            return Err(invalid(RulePart::Group)(reason));
        }
        let other = |name: &String| {
            if name.contains('/') {
                return Err(format!("{name:?} has a '/': the files lie beside each other"));
            }
            Template::parse(name, &glob).map_err(|reason| format!("{name:?}: {reason}"))
        };
        let group = text.group.iter().map(other).collect::<Result<_, _>>();
        let group = group.map_err(invalid(RulePart::Group))?;
        let RuleText { settle, max_age, removal, workloads, .. } = *text;
        Ok(Self { glob, workload, group, settle, max_age, removal, workloads })
    }

    /// Which paths it is about.
    pub fn glob(&self) -> &Pattern {
        &self.glob
    }

    /// Whether it takes several files together.
    pub fn is_group(&self) -> bool {
        !self.group.is_empty()
    }

    /// What it makes of a path; `None` if it is not about that.
    pub fn meant(&self, path: &EntryPath) -> Option<Meant> {
        let captures = self.glob.captures(path.names())?;
        let name = self.workload.fill(&captures)?;
        let workload = match std::str::from_utf8(&name) {
            Ok(name) => WorkloadName::new(name).map_err(|error| error.to_string()),
            Err(_) => Err(format!(
                "{} cannot be a workload name: it is no text",
                outlast_fs::entry::show(&name)
            )),
        };
        let mut others: Vec<Vec<u8>> = Vec::new();
        for other in self.group.iter().filter_map(|other| other.fill(&captures)) {
            if other != path.name() && !others.contains(&other) {
                others.push(other);
            }
        }
        Some(Meant { workload, others })
    }
}

impl Rule {
    /// The workload to which all belongs that the rule finds in a directory, if it is one.
    pub fn owner(&self, directory: &[String]) -> Option<WorkloadName> {
        let captures = self.glob.captures_above(directory)?;
        let name = String::from_utf8(self.workload.fill(&captures)?).ok()?;
        WorkloadName::new(&name).ok()
    }
}

impl fmt::Display for RulePart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Glob => "glob",
            Self::Workload => "workload",
            Self::Group => "group",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meant(text: &RuleText, path: &str) -> Option<Meant> {
        Rule::parse(text).unwrap().meant(&EntryPath::parse(path.as_bytes()).unwrap())
    }

    #[test]
    fn the_workload_comes_from_the_path_or_is_fixed() {
        let plain = RuleText::new("in/{workload}/*.dump");
        let found = meant(&plain, "in/shop/a.dump").unwrap();
        assert_eq!(found.workload.unwrap().as_str(), "shop");
        assert!(meant(&plain, "in/shop/a.sql").is_none());
        let refused = meant(&plain, "in/Shop DB/a.dump").unwrap().workload.unwrap_err();
        assert!(refused.contains("\"Shop DB\" cannot be a workload name"), "{refused}");
        let made = RuleText { workload: Some("{workload}-db".to_owned()), ..plain.clone() };
        assert_eq!(meant(&made, "in/shop/a.dump").unwrap().workload.unwrap().as_str(), "shop-db");
        let fixed = RuleText { workload: Some("crm".to_owned()), ..RuleText::new("crm/*") };
        assert_eq!(meant(&fixed, "crm/x").unwrap().workload.unwrap().as_str(), "crm");
    }

    #[test]
    fn a_directory_has_an_owner_where_all_that_lies_in_it_is_one_workloads() {
        let owner = |text: &RuleText, path: &[&str]| {
            let path: Vec<String> = path.iter().map(|name| (*name).to_owned()).collect();
            Rule::parse(text).unwrap().owner(&path).map(|owner| owner.to_string())
        };
        let text = RuleText::new("in/{workload}/*/*.dump");
        assert_eq!(owner(&text, &["in", "shop", "daily"]).as_deref(), Some("shop"));
        assert_eq!(owner(&text, &["in", "shop"]).as_deref(), Some("shop"));
        assert_eq!(owner(&text, &["in"]), None);
        assert_eq!(owner(&text, &["in", "Shop"]), None);
        let fixed = RuleText { workload: Some("crm".to_owned()), ..RuleText::new("x/*") };
        assert_eq!(owner(&fixed, &["x"]).as_deref(), Some("crm"));
    }

    #[test]
    fn the_files_of_a_group_lie_beside_the_first() {
        let group = ["{base}.md5", "{base}.sql", "roles.sql"].map(str::to_owned).to_vec();
        let text = RuleText { group, ..RuleText::new("in/{workload}/{base}.sql") };
        let found = meant(&text, "in/shop/x.sql").unwrap();
        assert_eq!(found.others, [b"x.md5".to_vec(), b"roles.sql".to_vec()], "it is not its own");
    }

    #[test]
    fn what_is_no_rule_is_refused_and_says_which_part_of_it() {
        let glob = || RuleText::new("in/{workload}/*.dump");
        let workload = |name: &str| RuleText { workload: Some(name.to_owned()), ..glob() };
        let group = |name: &str| RuleText { group: vec![name.to_owned()], ..glob() };
        for (text, part, reason) in [
            (RuleText::new("w/x"), RulePart::Glob, "Outlast"),
            (RuleText::new("in/*.dump"), RulePart::Workload, "does not capture"),
            (workload("Shop"), RulePart::Workload, "not allowed"),
            (workload("{team}"), RulePart::Workload, "{team}"),
            (group("a/b"), RulePart::Group, "beside"),
            (group("{base}.md5"), RulePart::Group, "{base}"),
            (RuleText { group: vec!["x".to_owned(); 16], ..glob() }, RulePart::Group, "15"),
        ] {
            let error = Rule::parse(&text).unwrap_err();
            assert_eq!(error.part, part);
            assert!(error.reason.contains(reason), "{error}");
        }
    }
}
