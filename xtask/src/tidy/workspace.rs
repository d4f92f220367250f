//! The packages of the workspace, as cargo knows them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::cargo::cargo;

/// A package of the workspace.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) targets: Vec<Target>,
    pub(crate) dependencies: Vec<Dependency>,
}

/// Something that is built from a package.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) name: String,
    /// `lib`, `bin`, `test`, `bench`, `example`, `custom-build`.
    pub(crate) kind: String,
    /// The root file, below the checkout.
    pub(crate) root: PathBuf,
}

/// What a package names in its manifest, for whatever platform.
#[derive(Debug)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// Whether tests, benchmarks and examples alone use it.
    pub(crate) for_development: bool,
}

/// Asks cargo for the packages of the checkout.
pub(crate) fn packages(checkout: &Path) -> Result<Vec<Package>> {
    let output = cargo()
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(checkout)
        .output()
        .context("start cargo metadata")?;
    ensure!(
        output.status.success(),
        "cargo metadata failed: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let value = serde_json::from_slice(&output.stdout).context("understand cargo metadata")?;
    parse(&value).context("cargo metadata has another form than we know")
}

fn parse(metadata: &Value) -> Option<Vec<Package>> {
    let checkout = Path::new(metadata["workspace_root"].as_str()?);
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let package = |package: &Value| {
        let target = |target: &Value| {
            let root = Path::new(target["src_path"].as_str()?);
            Some(Target {
                name: text(&target["name"])?,
                kind: text(&target["kind"][0])?,
                root: root.strip_prefix(checkout).ok()?.to_owned(),
            })
        };
        let dependency = |dependency: &Value| {
            Some(Dependency {
                name: text(&dependency["name"])?,
                for_development: dependency["kind"].as_str() == Some("dev"),
            })
        };
        Some(Package {
            name: text(&package["name"])?,
            targets: package["targets"].as_array()?.iter().map(target).collect::<Option<_>>()?,
            dependencies: package["dependencies"]
                .as_array()?
                .iter()
                .map(dependency)
                .collect::<Option<_>>()?,
        })
    };
    metadata["packages"].as_array()?.iter().map(package).collect()
}
