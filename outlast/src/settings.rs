//! Configuration files, with each key overridable from the environment.
//!
//! `OUTLAST_<SECTION>_<KEY>` stands for `key` in `[section]`, in capitals: `OUTLAST_AGENT_POLL=5s`
//! is `poll = "5s"` in `[agent]`.

use std::path::Path;

use anyhow::{Context, Result};
use outlast_fs::durable;
use toml::{Table, Value};

/// A configuration that is longer is a mistake.
const CONFIG_BYTES_MAX: u64 = 1 << 20;

/// Reads a TOML file.
pub(crate) fn read(path: &Path) -> Result<Table> {
    let shown = path.display();
    let content = durable::read_bounded(path, CONFIG_BYTES_MAX)
        .with_context(|| format!("cannot read the configuration {shown}"))?;
    let text = std::str::from_utf8(&content).with_context(|| format!("{shown} is not text"))?;
    text.parse().with_context(|| format!("cannot understand the configuration {shown}"))
}

/// Applies the variables that begin with `OUTLAST_<SECTION>_` to `[section]`.
pub(crate) fn apply_overrides(
    table: &mut Table,
    section: &str,
    variables: impl Iterator<Item = (String, String)>,
) -> Result<()> {
    let prefix = format!("OUTLAST_{}_", section.to_uppercase());
    let entry = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
    let keys = entry.as_table_mut().with_context(|| {
        format!("cannot understand the configuration: [{section}] is no section")
    })?;
    for (name, text) in variables {
        if let Some(key) = name.strip_prefix(&prefix) {
            keys.insert(key.to_lowercase(), value(&text));
        }
    }
    Ok(())
}

/// The text of `table` with the overrides of this process's environment for `section`.
pub(crate) fn with_environment(mut table: Table, section: &str) -> Result<String> {
    // A variable that is not text cannot be one of ours.
    let variables = std::env::vars_os()
        .filter_map(|(name, text)| Some((name.into_string().ok()?, text.into_string().ok()?)));
    apply_overrides(&mut table, section, variables)?;
    toml::to_string(&table).context("cannot write the configuration as text")
}

/// A variable's text as the TOML value that it looks like; text if like nothing else.
fn value(text: &str) -> Value {
    if let Ok(number) = text.parse() {
        return Value::Integer(number);
    }
    match text {
        "true" => Value::Boolean(true),
        "false" => Value::Boolean(false),
        _ => Value::String(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_overrides_the_key_of_its_section_only() {
        let mut table: Table = "[agent]\npoll = \"30s\"\n[vault]\npoll = \"1s\"".parse().unwrap();
        let variables = [
            ("OUTLAST_AGENT_POLL", "5s"),
            ("OUTLAST_AGENT_KEEP", "3"),
            ("OUTLAST_PASSWORD", "secret"),
            ("HOME", "/root"),
        ];
        let variables = variables.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned()));
        apply_overrides(&mut table, "agent", variables).unwrap();
        let expected: Table =
            "[agent]\npoll = \"5s\"\nkeep = 3\n[vault]\npoll = \"1s\"".parse().unwrap();
        assert_eq!(table, expected);
    }
}
