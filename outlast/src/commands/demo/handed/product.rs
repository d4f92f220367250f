//! A backup product as small as can be, which stands in for the real one: it runs its hooks, lists first and opens later by
//! path, takes in an incremental what was changed since the last job began, and keeps an image of each job.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

use crate::commands::demo::stage::run;

/// The one policy.
pub(super) const POLICY: &str = "apps";
const CLIENT: &str = "agenthost";

pub(super) struct Product {
    directory: PathBuf,
    hooks: PathBuf,
    tape: PathBuf,
    images: Vec<String>,
    /// When the last job began, in the whole seconds that products compare.
    last: Option<u64>,
}

impl Product {
    pub(super) fn new(directory: PathBuf, hooks: PathBuf, tape: PathBuf) -> Self {
        Self { directory, hooks, tape, images: Vec::new(), last: None }
    }

    /// What its client reads.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// A whole job whose client reports `status`; its id.
    pub(super) fn job(&mut self, kind: &str, status: &str) -> Result<String> {
        let began = seconds(SystemTime::now());
        let id = format!("{CLIENT}_{}", began * 100 + self.images.len() as u64);
        self.hook("bpstart_notify", &id, &[CLIENT, POLICY, "daily", kind])?;
        let since = self.last.filter(|_| kind != "FULL");
        let listed = list(&self.directory, since)?;
        let image = self.tape.join(&id);
        for path in listed {
            let to = image.join(path.strip_prefix(&self.directory).context("stay inside")?);
            let parent = to.parent().context("have a place on the tape")?;
            fs::create_dir_all(parent).context("write to the tape")?;
            fs::copy(&path, &to).with_context(|| format!("read {}", path.display()))?;
        }
        self.hook("bpend_notify", &id, &[CLIENT, POLICY, "daily", kind, status])?;
        self.last = Some(began);
        self.images.push(id.clone());
        Ok(id)
    }

    /// Brings back the newest image.
    pub(super) fn restore(&self, into: &Path) -> Result<()> {
        let image = self.tape.join(self.images.last().context("have an image")?);
        for path in list(&image, None)? {
            let to = into.join(path.strip_prefix(&image).context("stay inside")?);
            let parent = to.parent().context("have a place to restore to")?;
            fs::create_dir_all(parent).context("restore")?;
            fs::copy(&path, &to).with_context(|| format!("restore {}", path.display()))?;
        }
        Ok(())
    }

    fn hook(&self, name: &str, id: &str, arguments: &[&str]) -> Result<()> {
        let script = self.hooks.join(format!("{name}.{POLICY}"));
        run(Command::new(script).args(arguments).env("BACKUPID", id)).map(drop)
    }
}

/// All files below a directory, or those that were changed since.
fn list(directory: &Path, since: Option<u64>) -> Result<Vec<PathBuf>> {
    let (mut found, mut open) = (Vec::new(), vec![directory.to_owned()]);
    while let Some(directory) = open.pop() {
        let entries = fs::read_dir(&directory);
        for entry in entries.with_context(|| format!("list {}", directory.display()))? {
            let path = entry.context("list the directory")?.path();
            let facts =
                path.symlink_metadata().with_context(|| format!("look at {}", path.display()))?;
            if facts.is_dir() {
                open.push(path);
            } else if since
                .is_none_or(|since| facts.modified().is_ok_and(|at| seconds(at) >= since))
            {
                found.push(path);
            }
        }
    }
    Ok(found)
}

fn seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
