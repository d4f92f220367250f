//! One case, run with one program, and judged by what it left behind.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::case::Case;
use super::commands::Task;
use super::data::Input;
use super::measure::Files;
use super::results::Figures;
use super::scratch;
use super::tools::Tool;

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
            scratch::remove(&target)?;
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
