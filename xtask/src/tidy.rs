//! The rules of the house that no compiler checks; see CONTRIBUTING.md for the reasons.

mod circles;
mod layers;
mod modules;
mod ratchet;
mod source;
mod workspace;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use modules::Tree;
use workspace::{Package, Target};

/// Everything that is out of order below `root`, one line each.
pub(crate) fn violations(root: &Path) -> Result<Vec<String>> {
    let packages = workspace::packages(root)?;
    let mut found = layers::violations(&packages);
    found.extend(within_crates(root, &packages)?);
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

/// The circles of imports in each crate, with all that is to be untied.
pub(crate) fn circles(root: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for tree in trees(root, &workspace::packages(root)?)? {
        let circles = circles::circles(&tree, &tree.edges());
        found.extend(circles.iter().map(|circle| circle.shown(&tree.name, true)));
    }
    Ok(found)
}

/// What is wrong with the imports within each crate.
fn within_crates(root: &Path, packages: &[Package]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let known = circles::Known::load(&root.join("xtask/circles.toml"))?;
    for tree in trees(root, packages)? {
        found.extend(known.judge(&tree.name, &circles::circles(&tree, &tree.edges())));
    }
    Ok(found)
}

/// The modules of everything that is built from the workspace, tests and the like aside.
fn trees(root: &Path, packages: &[Package]) -> Result<Vec<Tree>> {
    let mut trees = Vec::new();
    for package in packages {
        let is_library = |target: &Target| matches!(target.kind.as_str(), "lib" | "proc-macro");
        let has_library = package.targets.iter().any(is_library);
        for target in &package.targets {
            let name = match (is_library(target), target.kind.as_str()) {
                (true, _) => package.name.clone(),
                (false, "bin") if !has_library => package.name.clone(),
                (false, "bin") => format!("{}/{}", package.name, target.name),
                _ => continue,
            };
            trees.push(Tree::read(&name, root, &target.root)?);
        }
    }
    Ok(trees)
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
