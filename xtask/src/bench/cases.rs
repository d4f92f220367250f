//! What is measured, and in which order.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::commands::Task;
use super::data::Input;
use super::measure::{Cost, Files};
use super::tools::Tool;

/// One thing that is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Case {
    First,
    NextDay,
    Again,
    Cat,
    Restore,
    Check,
    Prune,
    Tree,
    TreeAgain,
    TreeRestore,
    TreeCheck,
    Noise,
}

/// What a case showed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Figures {
    pub(super) cost: Cost,
    /// The size of the repository afterwards.
    pub(super) stored_bytes: u64,
    /// What was written into the repository: files that are new, or were written again. Where it is
    /// on another host, that crossed the line, even if the repository did not grow by as much.
    pub(super) shipped_bytes: u64,
}

impl Case {
    pub(super) const ALL: [Self; 12] = [
        Self::First,
        Self::NextDay,
        Self::Again,
        Self::Cat,
        Self::Restore,
        Self::Check,
        Self::Prune,
        Self::Tree,
        Self::TreeAgain,
        Self::TreeRestore,
        Self::TreeCheck,
        Self::Noise,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::NextDay => "next-day",
            Self::Again => "again",
            Self::Cat => "cat",
            Self::Restore => "restore",
            Self::Check => "check",
            Self::Prune => "prune",
            Self::Tree => "tree",
            Self::TreeAgain => "tree-again",
            Self::TreeRestore => "tree-restore",
            Self::TreeCheck => "tree-check",
            Self::Noise => "noise",
        }
    }

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::First => "first backup of a dump",
            Self::NextDay => "the next day's dump",
            Self::Again => "the same dump again, all of it read",
            Self::Cat => "the dump printed, to nowhere",
            Self::Restore => "restore of the dump",
            Self::Check => "check of the dump's repository, all data read",
            Self::Prune => "prune after the first dump is forgotten",
            Self::Tree => "first backup of a tree",
            Self::TreeAgain => "the same tree again, all of it read",
            Self::TreeRestore => "restore of the tree",
            Self::TreeCheck => "check of the tree's repository, all data read",
            Self::Noise => "first backup of incompressible data",
        }
    }

    /// The most processor time, as a part of restic's, that we want to need.
    pub(super) fn goal(self) -> Option<f64> {
        match self {
            Self::First => Some(0.33),
            Self::NextDay => Some(0.12),
            Self::Restore => Some(0.25),
            Self::Tree | Self::TreeAgain => Some(0.5),
            Self::Check | Self::TreeCheck | Self::TreeRestore => Some(0.35),
            Self::Again | Self::Cat | Self::Prune | Self::Noise => None,
        }
    }

    /// The repository that it works on: cases of one name share it.
    fn repository(self) -> &'static str {
        match self {
            Self::First
            | Self::NextDay
            | Self::Again
            | Self::Cat
            | Self::Restore
            | Self::Check
            | Self::Prune => "dump",
            Self::Tree | Self::TreeAgain | Self::TreeRestore | Self::TreeCheck => "tree",
            Self::Noise => "noise",
        }
    }
}

/// Runs a case with a tool below `work`.
pub(super) fn run(case: Case, tool: &Tool, input: &Input, work: &Path) -> Result<Figures> {
    let home = work.join(case.repository());
    let repository = tool.repository(&home);
    if !repository.exists() {
        std::fs::create_dir_all(&home).context("cannot make a directory to work in")?;
        tool.run(Task::Init, &home)?;
    }
    let before = Files::below(&repository)?;
    let source = match case {
        Case::First => &input.dump,
        Case::NextDay | Case::Again | Case::Cat | Case::Restore | Case::Check | Case::Prune => {
            &input.next
        }
        Case::Tree | Case::TreeAgain | Case::TreeRestore | Case::TreeCheck => &input.tree,
        Case::Noise => &input.noise,
    };
    warm(source)?;
    let cost = match case {
        Case::First | Case::NextDay | Case::Again | Case::Tree | Case::TreeAgain | Case::Noise => {
            tool.run(Task::Backup(source), &home)?
        }
        Case::Cat => {
            let cost = tool.run(Task::Cat(source), &home)?;
            if !tool.prints(source, &home)? {
                bail!("{} does not print what was backed up", tool.name());
            }
            cost
        }
        Case::Check | Case::TreeCheck => tool.run(Task::Check, &home)?,
        Case::Prune => tool.run(Task::Prune, &home)?,
        Case::Restore | Case::TreeRestore => {
            let target = home.join("restored");
            std::fs::create_dir_all(&target).context("cannot make the target")?;
            let cost = tool.run(Task::Restore(&target), &home)?;
            compare(source, &target)?;
            super::remove(&target)?;
            cost
        }
    };
    let after = Files::below(&repository)?;
    let shipped_bytes = after.written_since(&before, |path| tool.ships(path));
    Ok(Figures { cost, stored_bytes: after.bytes(), shipped_bytes })
}

/// Reads the input once, so that everybody finds it in memory.
fn warm(source: &Path) -> Result<()> {
    let cannot = || format!("cannot read {}", source.display());
    if !source.is_dir() {
        let mut file = File::open(source).with_context(cannot)?;
        std::io::copy(&mut file, &mut std::io::sink()).with_context(cannot)?;
        return Ok(());
    }
    for entry in std::fs::read_dir(source).with_context(cannot)? {
        let entry = entry?;
        if !entry.file_type()?.is_symlink() {
            warm(&entry.path())?;
        }
    }
    Ok(())
}

/// A restore that is not what was backed up has no figures.
fn compare(source: &Path, target: &Path) -> Result<()> {
    let restored = find(target, source)?;
    let output = Command::new("diff")
        .args(["--recursive", "--brief", "--no-dereference"])
        .arg(source)
        .arg(&restored)
        .output()
        .context("cannot start diff")?;
    if !output.status.success() {
        bail!("what was restored differs: {}", String::from_utf8_lossy(&output.stdout));
    }
    Ok(())
}

/// Where `source` lies below `target`: programs keep its whole path, or its end.
fn find(target: &Path, source: &Path) -> Result<PathBuf> {
    let names: Vec<_> = source.iter().skip(1).collect();
    (0..names.len())
        .map(|skipped| target.join(names[skipped..].iter().collect::<PathBuf>()))
        .find(|path| path.exists())
        .with_context(|| format!("{} was not restored", source.display()))
}

/// Lets restic check what Outlast wrote, where restic is installed.
pub(super) fn judge(tool: &Tool, work: &Path) -> Result<()> {
    if !tool.is_judged() || Command::new("restic").arg("version").output().is_err() {
        return Ok(());
    }
    for name in ["dump", "tree", "noise"] {
        let repository = tool.repository(&work.join(name));
        if !repository.exists() {
            continue;
        }
        let output = Command::new("restic")
            .args(["-q", "check", "--no-cache", "-r"])
            .arg(&repository)
            .env("RESTIC_PASSWORD", super::tools::PASSWORD)
            .output()
            .context("cannot start restic")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("restic finds fault with {}: {said}", repository.display());
        }
    }
    Ok(())
}

impl Figures {
    pub(super) fn line(&self, case: Case, tool: &Tool) -> String {
        let Cost { wall_seconds, cpu_seconds, peak_rss_bytes } = self.cost;
        format!(
            "{:<13} {:<8} {wall_seconds:>7.2} s wall {cpu_seconds:>7.2} s CPU {:>6.1} MiB RSS \
             {:>8.1} MiB stored {:>8.1} MiB shipped",
            case.name(),
            tool.name(),
            mib(peak_rss_bytes),
            mib(self.stored_bytes),
            mib(self.shipped_bytes),
        )
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
pub(super) fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
