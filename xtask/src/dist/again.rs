//! Whether the same commit makes the same program in another place: built there from a clone, and compared.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::build;

/// Builds the last commit in `directory`, which must not be there yet, and compares with `binary`. The clone and what
/// was built there stay if they differ.
pub(super) fn compare(root: &Path, directory: &Path, binary: &Path) -> Result<()> {
    let changes = git(root, &["status", "--porcelain"])?;
    ensure!(
        changes.is_empty(),
        "there are changes that are not in the last commit: a clone has none of them"
    );
    ensure!(!directory.exists(), "{} is there already: name a new directory", directory.display());
    // By its full path, since cargo is started in it.
    let directory = std::path::absolute(directory).context("where am I?")?;
    let (from, to) = (root.display().to_string(), directory.display().to_string());
    git(root, &["clone", "--quiet", "--no-hardlinks", &from, &to])?;
    let other = build::release(&directory)?;
    let read =
        |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    if let Some(difference) = difference(&read(binary)?, &read(&other)?) {
        bail!(
            "{} and {} differ: {difference}. `diffoscope` shows what it is",
            binary.display(),
            other.display()
        );
    }
    fs::remove_dir_all(&directory)
        .with_context(|| format!("cannot remove {}", directory.display()))?;
    println!("built again in {}: every byte is the same", directory.display());
    Ok(())
}

/// How two programs differ, if they do.
fn difference(one: &[u8], two: &[u8]) -> Option<String> {
    if one == two {
        return None;
    }
    let differing = one.iter().zip(two).filter(|(a, b)| a != b).count();
    let first = one.iter().zip(two).position(|(a, b)| a != b).unwrap_or(one.len().min(two.len()));
    Some(format!(
        "{} and {} bytes, of which {differing} are not the same, the first at {first}",
        one.len(),
        two.len()
    ))
}

fn git(root: &Path, words: &[&str]) -> Result<String> {
    let output = Command::new("git")
        .args(["-c", "safe.directory=*"])
        .args(words)
        .current_dir(root)
        .output()
        .context("start git")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "git {}: {}", words[0], said.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_two_programs_differ_is_told() {
        assert_eq!(difference(b"same", b"same"), None);
        let told = "4 and 4 bytes, of which 2 are not the same, the first at 1";
        assert_eq!(difference(b"same", b"soma").as_deref(), Some(told));
        let longer = "4 and 5 bytes, of which 0 are not the same, the first at 4";
        assert_eq!(difference(b"same", b"same5").as_deref(), Some(longer));
    }
}
