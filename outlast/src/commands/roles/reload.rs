//! Reading a role's configuration again, while it is at work.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::settings::key::RoleKeys;
use crate::settings::{Document, Settings};

/// The configuration of a role, and which of its keys are taken over without a restart.
pub(crate) struct Reload {
    role: &'static RoleKeys,
    path: PathBuf,
    /// As it was read last.
    settings: Settings,
    /// As `section.key`, whatever workload a section is named for, or `section.*`.
    takes: &'static [&'static str],
}

impl Reload {
    pub(crate) fn of(
        role: &'static RoleKeys,
        path: &Path,
        takes: &'static [&'static str],
    ) -> Result<Self> {
        let settings = Document::read(path)?.settings(role)?;
        Ok(Self { role, path: path.to_owned(), settings, takes })
    }

    /// Reads the configuration by `read`, says what is another in it, and hands it to `take`. One that cannot
    /// be read changes nothing.
    pub(crate) fn again<C>(&mut self, read: impl FnOnce(&Path) -> Result<C>, take: impl FnOnce(C)) {
        let path = self.path.display();
        let new = Document::read(&self.path).and_then(|document| document.settings(self.role));
        let (settings, config) = match new.and_then(|new| Ok((new, read(&self.path)?))) {
            Ok(new) => new,
            Err(error) => {
                tracing::error!("{path} is not taken over, and what held before holds: {error:#}");
                return;
            }
        };
        let changes = self.settings.changes(&settings, self.role);
        if changes.is_empty() {
            tracing::info!("{path} was read again, and says what it said before");
        }
        for change in &changes {
            match self.takes(&change.key) {
                true => tracing::info!("{path} was read again: {change}"),
                false => tracing::warn!(
                    "{path} was read again: {change}, which takes effect after a restart"
                ),
            }
        }
        self.settings = settings;
        take(config);
    }

    fn takes(&self, key: &str) -> bool {
        is_among(self.takes, key)
    }
}

/// Whether a key is one of these, which are written as `section.key`, whatever a section is named for; `*` stands for all of a
/// section.
pub(super) fn is_among(keys: &[&str], key: &str) -> bool {
    let place = key.split(['.', '[']).next().zip(key.rsplit('.').next());
    place.is_some_and(|(section, name)| {
        let is_there = |of: &str| keys.contains(&format!("{section}.{of}").as_str());
        is_there(name) || is_there("*")
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::settings::table::AGENT;

    #[test]
    fn what_does_not_read_changes_nothing_and_what_reads_is_handed_over() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent.toml");
        let write = |more: &str| {
            let base = "share = \"/s\"\nstate = \"/a\"\nidentity = \"/i\"\n";
            let text = format!("[agent]\n{base}upstream = \"https://v/\"\n{more}");
            outlast_fs::durable::replace(&path, text.as_bytes(), 0o600).unwrap();
        };
        write("poll = \"5s\"\n");
        let mut reload = Reload::of(&AGENT, &path, &["agent.poll"]).unwrap();
        let read = |path: &Path| Ok(fs::read_to_string(path)?);
        let mut taken = Vec::new();
        for bad in ["poll = \"soon\"\n", "pol = \"5s\"\n", "poll = "] {
            write(bad);
            reload.again(read, |text| taken.push(text));
        }
        assert!(taken.is_empty());
        write("poll = \"9s\"\n");
        reload.again(|_| anyhow::bail!("it cannot be built"), |(): ()| panic!("it is taken"));
        reload.again(read, |text| taken.push(text));
        assert!(taken.len() == 1 && taken[0].contains("9s"));
        assert!(reload.takes("agent.poll") && !reload.takes("agent.share"));
        let named = Reload { takes: &["workloads.budget"], ..reload };
        assert!(named.takes("workloads.shop.budget") && !named.takes("workloads.shop.drop_max"));
    }
}
