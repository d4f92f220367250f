//! The rules of the house that no compiler checks; see CONTRIBUTING.md for the reasons.

mod budget;
mod circles;
mod doors;
mod floors;
mod layers;
mod modules;
mod named;
mod ratchet;
mod share;
mod source;
mod workspace;

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, Result};

use modules::Tree;
use workspace::{Package, Target};

/// Everything that is out of order below `root`, one line each.
pub(crate) fn violations(root: &Path) -> Result<Vec<String>> {
    let packages = workspace::packages(root)?;
    let mut found = layers::violations(&packages);
    found.extend(within_crates(root, &packages)?);
    let read =
        |path: &str| fs::read_to_string(root.join(path)).with_context(|| format!("read {path}"));
    found.extend(budget::violations(&read(budget::LIST)?, &read("Cargo.lock")?)?);
    let mut ratchet = ratchet::Ratchet::load(&root.join("xtask/tidy.toml"))?;
    let mut named = named::Named::default();
    for path in files(root)? {
        let content =
            fs::read(root.join(&path)).with_context(|| format!("read {}", path.display()))?;
        let Ok(text) = String::from_utf8(content) else { continue };
        found.extend(source::everywhere(&path, &text));
        named.see(&path, &text);
        if path.extension().is_some_and(|extension| extension == "rs") {
            found.extend(source::rust(&path, &text, &mut ratchet));
        }
    }
    found.extend(ratchet.stale());
    found.extend(named.violations());
    for licence in ["LICENSE-MIT", "LICENSE-APACHE"] {
        if !root.join(licence).exists() {
            found.push(format!("{licence} is missing"));
        }
    }
    Ok(found)
}

/// The circles of imports in each crate, with all that is to be untied.
pub(crate) fn circles(root: &Path) -> Result<Vec<String>> {
    in_each_crate(root, &workspace::packages(root)?, &|tree| {
        let circles = circles::circles(tree, &tree.edges());
        circles.iter().map(|circle| circle.shown(&tree.name, true)).collect()
    })
}

/// The lowest floors of each crate's modules that imports allow.
pub(crate) fn floors(root: &Path) -> Result<Vec<String>> {
    in_each_crate(root, &workspace::packages(root)?, &|tree| {
        let has_modules = tree.houses().next().is_some();
        has_modules.then(|| floors::lowest(tree, &tree.edges())).into_iter().collect()
    })
}

/// What is wrong within each crate.
fn within_crates(root: &Path, packages: &[Package]) -> Result<Vec<String>> {
    let floors = root.join(floors::LIST);
    let floors =
        fs::read_to_string(&floors).with_context(|| format!("read {}", floors.display()))?;
    let floors = floors::Floors::parse(&floors)?;
    let mut found = in_each_crate(root, packages, &|tree| {
        let edges = tree.edges();
        let circles = circles::circles(tree, &edges);
        let mut found: Vec<_> =
            circles.iter().map(|circle| circle.shown(&tree.name, false)).collect();
        // What goes round in a circle has no order.
        if circles.is_empty() {
            found.extend(floors.judge(tree, &edges));
        }
        found.extend(doors::violations(tree));
        found.extend(share::violations(tree));
        found
    })?;
    found.extend(floors.gone(built(packages).iter().map(|(name, _)| name.as_str())));
    Ok(found)
}

/// What `judge` finds in the modules of each library and program, in the order of packages. They are
/// parsed by as many threads as there are processors: nobody waits long for tidy.
fn in_each_crate(
    root: &Path,
    packages: &[Package],
    judge: &(dyn Fn(&Tree) -> Vec<String> + Sync),
) -> Result<Vec<String>> {
    let crates = built(packages);
    let next = AtomicUsize::new(0);
    let work = || {
        let mut found = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some((name, file)) = crates.get(at) else { return Ok(found) };
            found.push((at, judge(&Tree::read(name, root, file)?)));
        }
    };
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let results: Vec<Result<Vec<_>>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let panicked = |_| anyhow::anyhow!("a thread that parses panicked");
        threads.into_iter().map(|thread| thread.join().map_err(panicked).flatten()).collect()
    });
    let mut found = results.into_iter().collect::<Result<Vec<_>>>()?.concat();
    found.sort_by_key(|(at, _)| *at);
    Ok(found.into_iter().flat_map(|(_, found)| found).collect())
}

/// The libraries and programs of the workspace, each with its root file. A program beside a library
/// is called `PACKAGE/PROGRAM`.
fn built(packages: &[Package]) -> Vec<(String, PathBuf)> {
    let mut built = Vec::new();
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
            built.push((name, target.root.clone()));
        }
    }
    built
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
