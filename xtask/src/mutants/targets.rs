//! What is changed, how it is tested, and which survivors are accepted.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use toml::{Table, Value};

/// Where the targets are, below the checkout.
pub(super) const LIST: &str = "xtask/mutants.toml";

/// Files of one package, with what tests them.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) package: String,
    /// Patterns of files, below the checkout.
    pub(super) files: Vec<String>,
    /// Patterns of those among them that decide nothing.
    pub(super) exclude: Vec<String>,
    /// Arguments for nextest: the least that tests these files.
    pub(super) tests: Vec<String>,
    pub(super) survivors: Vec<Survivor>,
}

/// A change that no test notices, and why none can.
#[derive(Debug)]
pub(super) struct Survivor {
    /// As cargo-mutants calls it, without line and column.
    pub(super) mutant: String,
    /// How many of that name survive: a function may have the same operator twice.
    pub(super) count: usize,
}

/// Reads the list.
pub(super) fn parse(text: &str) -> Result<BTreeMap<String, Target>> {
    let list: Table = text.parse().with_context(|| format!("understand {LIST}"))?;
    let read = |(name, value): (&String, &Value)| {
        let target = target(value).with_context(|| format!("{LIST}: {name}"))?;
        Ok((name.clone(), target))
    };
    list.iter().map(read).collect()
}

fn target(value: &Value) -> Result<Target> {
    let survivors =
        value.get("survivors").map_or(&[][..], |all| all.as_array().map_or(&[][..], Vec::as_slice));
    Ok(Target {
        package: text(value, "package")?,
        files: texts(value, "files")?,
        exclude: value.get("exclude").map_or(Ok(Vec::new()), |_| texts(value, "exclude"))?,
        tests: texts(value, "tests")?,
        survivors: survivors.iter().map(survivor).collect::<Result<_>>()?,
    })
}

fn survivor(value: &Value) -> Result<Survivor> {
    let mutant = text(value, "mutant")?;
    ensure!(!text(value, "why")?.trim().is_empty(), "{mutant} needs a reason");
    let count =
        value.get("count").map_or(Some(1), |count| usize::try_from(count.as_integer()?).ok());
    Ok(Survivor { mutant, count: count.context("count is a number")? })
}

fn text(value: &Value, key: &str) -> Result<String> {
    let text = value.get(key).and_then(Value::as_str);
    Ok(text.with_context(|| format!("{key} needs a text"))?.to_owned())
}

fn texts(value: &Value, key: &str) -> Result<Vec<String>> {
    let list = value.get(key).and_then(Value::as_array);
    let list = list.with_context(|| format!("{key} needs a list"))?;
    let texts = list.iter().map(|text| text.as_str().map(str::to_owned));
    texts.collect::<Option<_>>().with_context(|| format!("{key} needs a list of texts"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_survivor_needs_a_reason() {
        let target = |survivor: &str| {
            parse(&format!(
                "[promise]\npackage = \"p\"\nfiles = [\"p/src/**\"]\ntests = []\n\
                 [[promise.survivors]]\nmutant = \"m\"\n{survivor}"
            ))
        };
        assert_eq!(target("why = \"equal\"").unwrap()["promise"].survivors[0].count, 1);
        assert_eq!(target("why = \"x\"\ncount = 2").unwrap()["promise"].survivors[0].count, 2);
        assert!(target("").is_err());
        assert!(target("why = \" \"").is_err());
    }

    #[test]
    fn the_list_of_this_checkout_is_understood() {
        let targets = parse(include_str!("../../mutants.toml")).unwrap();
        let checkout = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for (name, target) in targets {
            for file in target.files.into_iter().chain(target.exclude) {
                let there = checkout.join(file.split('*').next().unwrap()).exists();
                assert!(there, "{name}: {file}");
            }
        }
    }
}
