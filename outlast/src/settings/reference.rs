//! The reference of all keys and variables as a page of Markdown, made from the tables by which they
//! are read: `outlast config reference`, and docs/configuration.md, which a test keeps equal.

use std::time::Duration;

use outlast_types::human;

use super::key::{Default, Form, Key, Kind, RoleKeys, Section};
use super::resolve::OTHERS;
use super::table::ROLES;
use super::values::variable;

/// What the keys that must be set may look like; others are shown with their default.
const EXAMPLES: [(&str, &str); 25] = [
    ("agent.share", "/mnt/share"),
    ("agent.state", "/var/lib/outlast-agent"),
    ("agent.upstream", "https://vault.example:8443/"),
    ("agent.identity", "/etc/outlast/agent"),
    ("agent.seal_key", "/etc/outlast/seal.key"),
    ("source.jitter", "30m"),
    ("source.environment", "/etc/outlast/shop-db.env"),
    ("handover.directory", "/srv/handover"),
    ("handover.workloads", "shop-*"),
    ("handover.budget", "500GiB"),
    ("handover.confirm.key", "/etc/outlast/netbackup.key"),
    ("handover.confirm.ca", "/etc/outlast/netbackup-ca.pem"),
    ("handover.file_max", "64GiB"),
    ("agent.textfile", "/var/lib/node_exporter/outlast.prom"),
    ("sanity.kinds", "pg_dump, pg_dump-custom"),
    ("media.dir", "/var/lib/outlast-media"),
    ("media.listen", ":8444"),
    ("media.identity", "/etc/outlast/media"),
    ("media.upstream", "https://vault.example:8443/"),
    ("line.rate", "100Mbit/s"),
    ("vault.dir", "/var/lib/outlast-vault"),
    ("vault.listen", ":8443"),
    ("vault.identity", "/etc/outlast/vault"),
    ("vault.issuer", "/etc/outlast/issuer"),
    ("agents.workloads", "shop-*"),
];

/// The workload that stands for any in examples.
const WORKLOAD: &str = "shop-db";
/// The class.
const CLASS: &str = "daily";
/// And the agent.
const AGENT: &str = "road-1";
/// And the hand-over.
const HANDOVER: &str = "nbu";

/// The whole page.
pub(crate) fn reference() -> String {
    let mut page = String::from(BEGINNING);
    for role in ROLES {
        page.push_str(&format!("\n## {}.toml\n\n", role.name));
        page.push_str(&format!(
            "`outlast {0} --config {0}.toml`; `outlast config show {0} --config {0}.toml` prints what is in force.\n\
             The smallest file:\n\n```toml\n{1}```\n",
            role.name,
            smallest(role)
        ));
        role.sections.iter().for_each(|section| page.push_str(&describe(section)));
        page.push_str(IDENTITIES);
    }
    page.push_str("\n## Other variables\n\n| variable | what it is |\n|---|---|\n");
    for (name, help) in OTHERS {
        page.push_str(&format!("| `{name}` | {help} |\n"));
    }
    page.push_str(END);
    page
}

/// The sections that are named by certificates, which are read apart from the table.
const IDENTITIES: &str = "
### [identities.\"CN=backup-eu,O=Bank\"]

One for each name in certificates that others issued and that name no identity of ours; not by the environment. The
name is the whole subject, in any order, or one alternative name: `\"DNS:eu-1.bank.example\"`,
`\"URI:spiffe://bank/eu-1\"`, `\"email:backup@bank.example\"`.

| key | takes | if not set | example |
|---|---|---|---|
| `role` | agent, media, vault, operator or reader | must be set | `role = \"agent\"` |
| `name` | a name | must be set | `name = \"eu-1\"` |
| `workloads` | a list of patterns | all | `workloads = [\"shop-*\"]` |

- `role`: the role of whom the certificate means.
- `name`: the name of whom it means.
- `workloads`: the workloads that its holder may touch.
";

const BEGINNING: &str = "# Configuration

<!-- Made by `outlast config reference`; a test compares. Change the table of keys, not this page. -->

The long-running roles read a file in TOML. Each key can also be set by the environment, which wins over
the file: `OUTLAST_<SECTION>_<KEY>` stands for `key` in `[section]`, in capitals, so `OUTLAST_AGENT_POLL=5s` is
`poll = \"5s\"` in `[agent]`. All is judged before a role begins: what is wrong is told with file, line and
column, or with the variable's name, all mistakes at once, and a key that does not exist with the nearest one
that does. Durations are written like `30s`, `5m`, `26h` or `7d`.
";

const END: &str = "
A variable whose name begins with `OUTLAST_` and that is none of these is told in the log of a role: it may be a
typing error. Variables that Kubernetes and Docker set for services (`…_SERVICE_HOST`, `…_PORT`) are passed over.
";

/// A file with all that must be set.
fn smallest(role: &RoleKeys) -> String {
    let mut file = String::new();
    for section in role.sections {
        // Sections that are listed or named may be left out.
        if section.form != Form::Once {
            continue;
        }
        let must = |key: &&Key| matches!(key.default, Default::None | Default::Unless(_));
        let keys: Vec<&Key> = section.keys.iter().filter(must).collect();
        if keys.is_empty() {
            continue;
        }
        file.push_str(&format!("[{}]\n", section.name));
        for key in keys {
            file.push_str(&format!("{} = {}\n", key.name, example(section, key)));
        }
    }
    file
}

fn describe(section: &Section) -> String {
    let each = section.each();
    let mut text = format!("\n### {}\n\n", section.title(&format!("<{each}>")));
    match section.form {
        Form::Once => {}
        Form::Named => {
            let name = match each {
                "agent" => AGENT,
                "hand-over" => HANDOVER,
                "class" => CLASS,
                _ => WORKLOAD,
            };
            text.push_str(&format!(
                "One for each {each} that is named, such as `{}`; not by the environment.\n\n",
                section.title(name)
            ));
        }
        Form::Listed => text.push_str(&format!(
            "As many as are wanted, each under a line `{}` of its own; not by the environment.\n\n",
            section.title("")
        )),
    }
    text.push_str("| key | takes | if not set | variable | example |\n|---|---|---|---|---|\n");
    for key in section.keys {
        let default = match key.default {
            Default::None => "must be set".to_owned(),
            Default::Unless(section) => format!("must be set without a `[[{section}]]`"),
            Default::Nothing => "nothing".to_owned(),
            Default::Value(value) => format!("`{value}`"),
            Default::SameAs(other) => format!("as `{other}`"),
        };
        let variable = match section.form {
            Form::Once => format!("`{}`", variable(section.name, key.name)),
            Form::Named | Form::Listed => "–".to_owned(),
        };
        let (name, takes) = (key.name, takes(key.kind));
        let example = format!("`{name} = {}`", example(section, key));
        text.push_str(&format!("| `{name}` | {takes} | {default} | {variable} | {example} |\n"));
    }
    text.push('\n');
    for Key { name, help, .. } in section.keys {
        text.push_str(&format!("- `{name}`: {help}.\n"));
    }
    text
}

/// What a key takes, in a few words.
fn takes(kind: Kind) -> String {
    match kind {
        Kind::Duration { min, max } if max == Duration::MAX => match min {
            Duration::ZERO => "a duration".to_owned(),
            min => format!("a duration of {} or more", human::duration(min)),
        },
        Kind::Duration { min, max } => {
            format!("a duration of {} to {}", human::duration(min), human::duration(max))
        }
        Kind::OneOf(_) => kind.expected().into_owned(),
        kind => kind.expected().split(',').next().unwrap_or_default().replace(" in quotes", ""),
    }
}

/// A value as the file has it.
fn example(section: &Section, key: &Key) -> String {
    let name = format!("{}.{}", section.name, key.name);
    let listed = EXAMPLES.iter().find(|(of, _)| *of == name).map(|(_, example)| *example);
    let default = match key.default {
        Default::Value(value) => Some(value),
        Default::None | Default::Unless(_) | Default::Nothing | Default::SameAs(_) => None,
    };
    let text = listed.or(default).unwrap_or(key.kind.example());
    // What every key of the table takes is read here; a test says so.
    key.kind.read(text).map_or_else(|_| text.to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_is_what_its_key_takes_and_names_a_key_that_exists() {
        for section in ROLES.iter().flat_map(|role| role.sections) {
            for key in section.keys {
                let example = example(section, key);
                let bare = example.trim_matches('"');
                assert!(key.kind.read(bare).is_ok(), "{}.{}: {example}", section.name, key.name);
            }
        }
        for (name, _) in EXAMPLES {
            let (section, key) = name.split_once('.').unwrap();
            let found = ROLES.iter().find_map(|role| role.section(section));
            assert!(found.unwrap().keys.iter().any(|it| it.name == key), "{name}");
        }
    }

    #[test]
    fn the_smallest_file_of_each_role_is_whole() {
        for role in ROLES {
            let path = std::path::Path::new("x.toml");
            let document = crate::settings::Document::new(path, smallest(role)).unwrap();
            let (settings, flaws) = document.resolve(role, std::iter::empty()).unwrap();
            assert!(flaws.is_empty() && settings.missing().is_empty(), "{flaws:?}");
        }
    }

    /// `outlast config reference > docs/configuration.md` makes them equal.
    #[test]
    fn the_page_of_the_documentation_is_this_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
        let page = std::fs::read_to_string(path).unwrap();
        for (written, made) in page.lines().zip(reference().lines()) {
            assert_eq!(written, made, "run: outlast config reference > docs/configuration.md");
        }
        assert_eq!(page, reference(), "run: outlast config reference > docs/configuration.md");
    }
}
