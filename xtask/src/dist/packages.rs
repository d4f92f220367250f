//! The packages that a release is built from, as cargo resolves them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::cargo::cargo;

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// All that is linked into the program.
pub(super) struct Packages {
    /// Of the program.
    pub(super) version: String,
    /// The name by which others refer to the program.
    pub(super) program: String,
    /// By the name that others refer to, and the program too.
    pub(super) all: BTreeMap<String, Package>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) licence: Option<String>,
    /// The SHA-256 of what the registry handed out; what is ours comes from no registry.
    pub(super) checksum: Option<String>,
    /// Where its files are.
    pub(super) directory: PathBuf,
    /// What it is linked with, by the names in `all`.
    pub(super) uses: BTreeSet<String>,
}

impl Packages {
    /// Asks cargo, and the lock file for checksums.
    pub(super) fn of(root: &Path) -> Result<Self> {
        let metadata = ask(root, &["metadata", "--format-version=1", "--filter-platform", TARGET])?;
        let metadata = serde_json::from_slice(&metadata).context("understand cargo metadata")?;
        // That knows of features that some package of the workspace asks for; this, of the program's own.
        let tree =
            ["tree", "--package=outlast", "--edges=normal", "--prefix=none", "--target", TARGET];
        let tree = ask(root, &[&tree[..], &["--format={p}"]].concat())?;
        let tree = String::from_utf8(tree).context("understand cargo tree")?;
        let linked = tree.lines().filter_map(|line| {
            let (name, rest) = line.split_once(" v")?;
            Some((name, rest.split(' ').next()?))
        });
        let lock = std::fs::read_to_string(root.join("Cargo.lock")).context("read Cargo.lock")?;
        let lock = lock.parse().context("understand Cargo.lock")?;
        Self::read(&metadata, &lock, &linked.collect())
            .context("cargo metadata has another form than we know")
    }

    fn read(metadata: &Value, lock: &toml::Table, linked: &BTreeSet<(&str, &str)>) -> Option<Self> {
        let mut known = BTreeMap::new();
        for package in metadata["packages"].as_array()? {
            known.insert(package["id"].as_str()?, package);
        }
        let mut uses: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for node in metadata.pointer("/resolve/nodes")?.as_array()? {
            let used = node["deps"].as_array()?.iter().filter(|used| is_linked(used));
            let ids = used.map(|used| used["pkg"].as_str()).collect::<Option<Vec<_>>>()?;
            let of_program = ids.into_iter().filter(|id| {
                let package = known.get(id).map(|it| (it["name"].as_str(), it["version"].as_str()));
                matches!(package, Some((Some(name), Some(version))) if linked.contains(&(name, version)))
            });
            uses.insert(node["id"].as_str()?, of_program.collect());
        }
        let checksums = checksums(lock)?;
        let mut program = None;
        let mut waiting: Vec<&str> =
            known.iter().filter(|(_, it)| it["name"] == "outlast").map(|it| *it.0).collect();
        let mut all = BTreeMap::new();
        while let Some(id) = waiting.pop() {
            let package = known.get(id)?;
            let name = reference(package)?;
            program.get_or_insert_with(|| name.clone());
            if all.contains_key(&name) {
                continue;
            }
            let used = uses.get(id)?;
            waiting.extend(used);
            let used = used.iter().map(|id| reference(known.get(id)?));
            let text = |key: &str| package[key].as_str().map(str::to_owned);
            let (of, version) = (text("name")?, text("version")?);
            let entry = Package {
                checksum: checksums.get(&(of.clone(), version.clone())).cloned(),
                name: of,
                version,
                licence: text("license"),
                directory: Path::new(package["manifest_path"].as_str()?).parent()?.to_owned(),
                uses: used.collect::<Option<_>>()?,
            };
            all.insert(name, entry);
        }
        let program = program?;
        Some(Self { version: all.get(&program)?.version.clone(), program, all })
    }

    /// Those of others.
    pub(super) fn of_others(&self) -> impl Iterator<Item = &Package> {
        self.all.values().filter(|package| package.checksum.is_some())
    }
}

fn ask(root: &Path, words: &[&str]) -> Result<Vec<u8>> {
    let output =
        cargo().args(words).arg("--locked").current_dir(root).output().context("start cargo")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cargo {} failed: {}", words[0], said.trim());
    Ok(output.stdout)
}

/// Whether a package is linked with another, and not only built or tested with it.
fn is_linked(used: &Value) -> bool {
    used["dep_kinds"].as_array().is_some_and(|kinds| kinds.iter().any(|it| it["kind"].is_null()))
}

/// The name of a package that is the same wherever the checkout lies.
fn reference(package: &Value) -> Option<String> {
    let (name, version) = (package["name"].as_str()?, package["version"].as_str()?);
    // A version may say with `+` which library is inside.
    let version = version.replace('+', "%2B");
    Some(match package["source"].as_str() {
        Some(_) => format!("pkg:cargo/{name}@{version}"),
        None => format!("{name}@{version}"),
    })
}

fn checksums(lock: &toml::Table) -> Option<BTreeMap<(String, String), String>> {
    let packages = lock.get("package")?.as_array()?.iter().filter_map(|package| {
        let text = |key: &str| Some(package.get(key)?.as_str()?.to_owned());
        Some(((text("name")?, text("version")?), text("checksum")?))
    });
    Some(packages.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_linked_is_listed_and_what_builds_or_tests_is_not() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let packages = Packages::of(root).unwrap();
        assert_eq!(packages.program, format!("outlast@{}", packages.version));
        let names: BTreeSet<&str> = packages.all.values().map(|it| it.name.as_str()).collect();
        for name in ["outlast-vault", "rustls", "zstd-sys", "libsqlite3-sys"] {
            assert!(names.contains(name), "{name}");
        }
        for name in ["xtask", "outlast-testing", "proptest", "cc", "windows-sys", "bit-vec"] {
            assert!(!names.contains(name), "{name}");
        }
        for package in packages.of_others() {
            assert!(package.licence.is_some(), "{package:?}");
            assert!(package.checksum.as_ref().is_some_and(|it| it.len() == 64), "{package:?}");
        }
        let used = packages.all.values().flat_map(|package| &package.uses);
        assert!(used.into_iter().all(|name| packages.all.contains_key(name)));
    }
}
