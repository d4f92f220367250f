//! The rules of the house that no compiler checks; see CONTRIBUTING.md for the reasons.

mod layers;
mod ratchet;
mod source;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Everything that is out of order below `root`, one line each.
pub(crate) fn violations(root: &Path) -> Result<Vec<String>> {
    let mut found = layers::violations(root)?;
    let mut ratchet = ratchet::Ratchet::load(&root.join("xtask/tidy.toml"))?;
    for path in files(root)? {
        let content =
            fs::read(root.join(&path)).with_context(|| format!("read {}", path.display()))?;
        let Ok(text) = String::from_utf8(content) else { continue };
        found.extend(source::everywhere(&path, &text));
        if path.extension().is_some_and(|extension| extension == "rs") {
            found.extend(source::rust(&path, &text, &mut ratchet));
        }
    }
    found.extend(ratchet.stale());
    for licence in ["LICENSE-MIT", "LICENSE-APACHE"] {
        if !root.join(licence).exists() {
            found.push(format!("{licence} is missing"));
        }
    }
    Ok(found)
}

/// The files that git tracks or would track, so that what a build leaves behind is not judged.
fn files(root: &Path) -> Result<Vec<PathBuf>> {
    let output = std::process::Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .context("ask git for the files")?;
    anyhow::ensure!(output.status.success(), "git ls-files failed: is this a checkout?");
    let names = String::from_utf8_lossy(&output.stdout).into_owned();
    let present = |path: &PathBuf| root.join(path).is_file();
    Ok(names
        .split('\0')
        .filter(|name| !name.is_empty())
        .map(PathBuf::from)
        .filter(present)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_checkout_is_tidy() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let found = violations(root).unwrap();
        assert!(found.is_empty(), "\n{}", found.join("\n"));
    }
}
