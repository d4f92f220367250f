//! How many packages of others we build on: each is code that we trust, and that somebody has to update.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::{Context, Result};
use toml::{Table, Value};

/// Where the list is, below the checkout.
pub(super) const LIST: &str = "xtask/packages.toml";

/// What is wrong with the packages in a lock file, judged by the list.
pub(super) fn violations(list: &str, lock: &str) -> Result<Vec<String>> {
    let list: Table = list.parse().with_context(|| format!("understand {LIST}"))?;
    let budget = list.get("budget").and_then(number).with_context(|| form("budget"))?;
    let listed = list.get("locked").and_then(Value::as_array).with_context(|| form("locked"))?;
    let listed = counted(listed.iter().filter_map(Value::as_str));
    let lock: Table = lock.parse().context("understand Cargo.lock")?;
    let packages = lock.get("package").and_then(Value::as_array);
    let packages = packages.context("Cargo.lock lists no packages")?;
    // Ours come from nowhere.
    let packages: Vec<_> =
        packages.iter().filter(|package| package.get("source").is_some()).collect();
    let locked = counted(packages.iter().filter_map(|package| package.get("name")?.as_str()));
    let mut found = Vec::new();
    for (what, more, less) in [("came", &locked, &listed), ("went", &listed, &locked)] {
        for (name, count) in more {
            let before = less.get(name).copied().unwrap_or_default();
            for _ in before..*count {
                found.push(format!("Cargo.lock: {name} {what}: say so in {LIST}, and why"));
            }
        }
    }
    if packages.len() > budget {
        let mut text = format!(
            "Cargo.lock: {} packages, and the budget is {budget}; what is to come may add:",
            packages.len()
        );
        let features = list.get("may-add").and_then(Value::as_table);
        for (feature, allowance) in features.with_context(|| form("may-add"))? {
            let packages = allowance.get("packages").and_then(number);
            let packages = packages.with_context(|| form("may-add"))?;
            let why = allowance.get("why").and_then(Value::as_str);
            let why = why.with_context(|| form("may-add"))?;
            write!(text, "\n    {feature}: {packages}: {why}").ok();
        }
        found.push(text);
    }
    Ok(found)
}

fn form(key: &str) -> String {
    format!("{LIST}: {key} is missing, or has another form than the others")
}

fn number(value: &Value) -> Option<usize> {
    usize::try_from(value.as_integer()?).ok()
}

/// How often each name is there: a package may be locked in several versions.
fn counted<'a>(names: impl Iterator<Item = &'a str>) -> BTreeMap<&'a str, usize> {
    let mut counts = BTreeMap::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(names: &[&str]) -> String {
        let package = |name: &&str| format!("[[package]]\nname = \"{name}\"\nsource = \"x\"\n");
        let others: String = names.iter().map(package).collect();
        format!("[[package]]\nname = \"ours\"\n{others}")
    }

    fn judge(names: &[&str]) -> Vec<String> {
        let list = "budget = 3\nlocked = [\"a\", \"syn\", \"syn\"]\n[may-add.web]\npackages = 4\nwhy = \"templates\"";
        violations(list, &lock(names)).unwrap()
    }

    #[test]
    fn what_came_and_what_went_is_told() {
        assert!(judge(&["a", "syn", "syn"]).is_empty());
        let found = judge(&["b", "syn"]);
        let told: Vec<_> = found.iter().map(|line| line.split(": say").next().unwrap()).collect();
        assert_eq!(told, ["Cargo.lock: b came", "Cargo.lock: a went", "Cargo.lock: syn went"]);
    }

    #[test]
    fn more_packages_than_the_budget_are_too_many_even_if_listed() {
        let list =
            "budget = 1\nlocked = [\"a\", \"b\"]\n[may-add.web]\npackages = 4\nwhy = \"templates\"";
        let found = violations(list, &lock(&["a", "b"])).unwrap();
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("web: 4: templates"), "{}", found[0]);
    }
}
