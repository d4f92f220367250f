//! The file of a vault at work, and another policy in it.
//!
//! What somebody sends is a file of its own: it is judged as `promise check` does, and its sections of policy
//! take the place of those in the vault's file, whose other sections stay as they are, with all that people
//! wrote beside them. What came out of that is read again, and refused unless it says just this.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use outlast_fs::durable;
use outlast_vault::{ConfigFile, NewConfig, VaultConfig};

use super::reload::is_among;
use crate::settings::Document;
use crate::settings::table::VAULT;

/// What a policy is made of.
const SECTIONS: [&str; 5] = ["promise", "classes", "workloads", "sanity", "retention"];
/// What policy may say, and is left as it is in the vault's file where a policy has no such section.
const SECTIONS_IF_SAID: [&str; 2] = ["drills", "limits"];
/// What runs a program on the vault's host is written there only.
const NEVER_SENT: &str = "drill_command";
/// Of a file that cannot be looked at.
const FILE_MODE: u32 = 0o600;

/// From a document that is, or shall be, the file at a path to what a vault goes by.
type Finish = fn(&Path, &Document) -> Result<VaultConfig>;

#[derive(Debug)]
pub(crate) struct PolicyFile {
    path: PathBuf,
    /// The keys that a vault takes over while it is at work.
    takes: &'static [&'static str],
    finish: Finish,
}

impl PolicyFile {
    pub(super) fn at(path: &Path, takes: &'static [&'static str], finish: Finish) -> Self {
        Self { path: path.to_owned(), takes, finish }
    }

    fn judge(&self, name: &str, text: &str) -> Result<NewConfig> {
        let given = Document::new(Path::new(name), text.to_owned())?;
        given.policy()?;
        let (said, running) = (given.settings(&VAULT)?, Document::read(&self.path)?);
        let old = running.settings(&VAULT)?;
        // Told by the line of what was given, not of what would come of it.
        if !given.is_whole() {
            given.check_routes(&old)?;
        }
        if let Some(vault) = old.path_if_set("vault.dir") {
            given.check_agreed(&vault)?;
        }
        let sections = sections_of(text);
        let is_of_policy = |key: &str| {
            key.split(['.', '[']).next().is_some_and(|section| sections.contains(&section))
        };
        let is_policy = |key: &str| {
            let is_sent = key.rsplit('.').next() != Some(NEVER_SENT);
            is_of_policy(key) && is_sent && is_among(self.takes, key)
        };
        let foreign = old.changes(&said, &VAULT);
        let mut foreign = foreign.iter().filter(|it| said.is_set(&it.key) && !is_policy(&it.key));
        if let Some(change) = foreign.next() {
            bail!(
                "{name}: {change}: that is no policy, takes effect after a restart only, or runs a program of the \
                 vault's host; write it into {}, there",
                self.path.display()
            );
        }
        let merged = replaced(running.text(), text, &sections);
        let new = Document::new(&self.path, merged.clone())?;
        let settings = new.settings(&VAULT)?;
        let changes = old.changes(&settings, &VAULT);
        // In a section of policy, and no policy: it would go with the section.
        let is_left_out = |key: &str| is_of_policy(key) && !is_policy(key);
        if let Some(change) = changes.iter().find(|it| is_left_out(&it.key)) {
            bail!(
                "{name} leaves out what can be changed on the vault's host only: {change}; repeat it in {name} as \
                 it is, or change it in {} there",
                self.path.display()
            );
        }
        let strays = settings.changes(&said, &VAULT);
        let mut strays = strays.iter().filter(|it| is_policy(&it.key));
        if strays.next().is_some() || changes.iter().any(|it| !is_policy(&it.key)) {
            bail!(
                "{name} cannot be put into {} section by section: give each section a line of its own, \
                 such as [promise]",
                self.path.display()
            );
        }
        let config = (self.finish)(&self.path, &new)?;
        let changes = changes.iter().map(ToString::to_string).collect();
        Ok(NewConfig { config, text: merged, before: running.text().to_owned(), changes })
    }
}

impl ConfigFile for PolicyFile {
    fn with_policy(&self, name: &str, text: &str) -> Result<NewConfig, String> {
        self.judge(name, text).map_err(|error| format!("{error:#}"))
    }

    fn write(&self, text: &str) -> io::Result<()> {
        let mode = fs::metadata(&self.path).map(|it| it.permissions().mode() & 0o777);
        durable::replace(&self.path, text.as_bytes(), mode.unwrap_or(FILE_MODE))
    }

    fn location(&self) -> String {
        self.path.display().to_string()
    }
}

/// The sections in which a policy takes the place of the one before.
fn sections_of(policy: &str) -> Vec<&'static str> {
    let is_said = |section: &&str| parts(policy, &[*section], true).contains('[');
    SECTIONS.into_iter().chain(SECTIONS_IF_SAID.into_iter().filter(is_said)).collect()
}

/// `running` with these sections of `given` in place of its own.
fn replaced(running: &str, given: &str, sections: &[&str]) -> String {
    let mut text = parts(running, sections, false);
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    let policy = parts(given, sections, true);
    if !text.is_empty() && !policy.is_empty() {
        text.push('\n');
    }
    text + &policy
}

/// The lines of a text that are in these sections, or those that are not.
fn parts(text: &str, sections: &[&str], of_policy: bool) -> String {
    let mut is_policy = false;
    let mut kept = String::new();
    for line in text.split_inclusive('\n') {
        if let Some(header) = line.trim_start().strip_prefix('[') {
            let name = header.trim_start_matches('[').trim_start();
            let end = name.find(['.', ']', ' ']).unwrap_or(name.len());
            is_policy = sections.contains(&name[..end].trim_matches(['"', '\'']));
        }
        if is_policy == of_policy {
            kept.push_str(line);
        }
    }
    match of_policy {
        true => kept,
        false => format!("{}\n", kept.trim_end()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUNNING: &str = "# ours\n[vault]\ndir = \"/v\"\nlisten = \"[::1]:0\"\nidentity = \"/i\"\n\n\
                           [promise]\nrpo = \"26h\"\n\n[drills]\nevery = \"30d\"\n";

    const TAKES: [&str; 2] = ["promise.rpo", "workloads.rpo"];

    fn file() -> (tempfile::TempDir, PolicyFile) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("vault.toml");
        durable::replace(&path, RUNNING.as_bytes(), 0o640).unwrap();
        (directory, PolicyFile::at(&path, &TAKES, |_, document| document.with_environment()))
    }

    #[test]
    fn a_policy_takes_the_place_of_the_one_before_and_of_nothing_else() {
        let (_directory, file) = file();
        let text = "[promise]\nrpo = \"12h\"\n\n[workloads.\"shop-*\"]\nrpo = \"1h\" # short\n";
        let new = file.with_policy("p.toml", text).unwrap();
        assert_eq!(new.changes.len(), 2, "{:?}", new.changes);
        assert!(new.text.starts_with("# ours\n[vault]\n") && new.text.contains("[drills]"));
        assert!(new.text.ends_with(text) && !new.text.contains("26h"));
        file.write(&new.text).unwrap();
        let mode = fs::metadata(&file.path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
        assert!(file.with_policy("p.toml", text).unwrap().changes.is_empty(), "it holds already");
        assert_eq!(fs::read_to_string(&file.path).unwrap(), new.text);
    }

    #[test]
    fn drills_and_limits_stay_where_a_policy_says_nothing_of_them_and_no_program_is_sent() {
        let (_directory, file) = file();
        let takes = &["promise.rpo", "drills.every", "limits.objects", "workloads.drill_command"];
        let file = PolicyFile { takes, ..file };
        let new = file.with_policy("p.toml", "[promise]\nrpo = \"12h\"\n").unwrap();
        assert!(new.text.contains("[drills]\nevery = \"30d\""), "{}", new.text);
        let text = "[promise]\nrpo = \"26h\"\n[drills]\nevery = \"7d\"\n[limits]\nobjects = 5\n";
        let new = file.with_policy("p.toml", text).unwrap();
        assert_eq!(new.changes.len(), 2, "{:?}", new.changes);
        assert!(!new.text.contains("30d") && new.text.contains("objects = 5"), "{}", new.text);
        let text = "[workloads.shop]\ndrill_command = [\"/bin/sh\"]\n";
        let told = file.with_policy("p.toml", text).err().unwrap();
        assert!(
            told.contains("workloads.shop.drill_command") && told.contains("program"),
            "{told}"
        );
    }

    #[test]
    fn a_policy_with_a_flaw_is_refused_whole_with_line_and_key() {
        let (_directory, file) = file();
        for (text, words) in [
            ("[promise]\nrpo = \"12h\"\n[classes.x]\nrpp = \"1h\"\n", "p.toml, line 4"),
            ("[promise]\nrpo = \"12h\"\n[vault]\nlisten = \"[::1]:1\"\n", "vault.listen"),
            ("[promise]\nrpo = \"12h\"\n[drills]\nevery = \"1d\"\n", "drills.every"),
            ("promise.rpo = \"12h\"\n", "section by section"),
            ("[promise\n", "line 1"),
        ] {
            let told = file.with_policy("p.toml", text).err().unwrap();
            assert!(told.contains(words), "{text}: {told}");
            assert_eq!(fs::read_to_string(&file.path).unwrap(), RUNNING);
        }
    }

    #[test]
    fn what_takes_a_restart_goes_with_no_section_and_the_way_is_shown() {
        let (_directory, file) = file();
        let class = "\n[classes.gold]\nrpo = \"6h\"\n";
        let running = format!("{RUNNING}{class}drill_level = \"stream\"\n");
        durable::replace(&file.path, running.as_bytes(), 0o640).unwrap();
        let policy = format!("[promise]\nrpo = \"12h\"\n{class}");
        let told = file.with_policy("p.toml", &policy).err().unwrap();
        assert!(told.contains("leaves out") && told.contains("classes.gold.drill_level"), "{told}");
        let repeated = format!("{policy}drill_level = \"stream\"\n");
        let new = file.with_policy("p.toml", &repeated).unwrap();
        assert!(new.changes.len() == 1 && new.text.contains("drill_level"), "{:?}", new.changes);
    }
}
