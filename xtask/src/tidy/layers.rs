//! Which crate may know which: arrows point down, and crates of one level do not know each other.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Crates from the ground up. The two of the ground floor are the vocabulary of all others.
const LEVELS: [&[&str]; 5] = [
    &["outlast-types", "outlast-fs"],
    &["outlast-format", "outlast-store", "outlast-drop", "outlast-catalog", "outlast-promise"],
    &["outlast-repo", "outlast-wire"],
    &["outlast-agent", "outlast-vault"],
    &["outlast"],
];

/// For development: `outlast-testing` is depended on by tests only, `outlast-fuzz` by nobody, and
/// knows everybody.
const DEVELOPMENT: [&str; 2] = ["outlast-testing", "outlast-fuzz"];

/// Libraries behind a wall, each with the only crates that may name it.
const WALLS: [(&str, &[&str]); 4] = [
    // The demo keeps a small SQLite shop where PostgreSQL is not installed.
    ("rusqlite", &["outlast-catalog", "outlast"]),
    ("rustls", &["outlast-wire"]),
    ("reqwest", &["outlast-wire"]),
    ("anyhow", &["outlast", "xtask", "outlast-fuzz"]),
];

pub(super) fn violations(root: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for (level, crates) in LEVELS.iter().enumerate() {
        for name in *crates {
            let path = root.join(name).join("Cargo.toml");
            let manifest =
                fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
            found.extend(judge(name, level, &manifest));
        }
    }
    Ok(found)
}

/// What is wrong with the dependencies in one manifest.
fn judge(name: &str, level: usize, manifest: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut section = "";
    for line in manifest.lines() {
        if let Some(header) = line.strip_prefix('[') {
            section = header.trim_end_matches(']');
            continue;
        }
        let Some(dependency) = line.split(['.', ' ', '=']).next().filter(|word| !word.is_empty())
        else {
            continue;
        };
        if section != "dependencies" {
            continue;
        }
        let below = |wanted: &str| LEVELS[..level].iter().any(|crates| crates.contains(&wanted));
        if DEVELOPMENT.contains(&dependency) {
            found.push(format!("{name} depends on {dependency}, which is for development only"));
        } else if dependency.starts_with("outlast-") && !below(dependency) {
            found.push(format!("{name} must not know {dependency}: it is not below"));
        }
        for (library, allowed) in WALLS {
            if dependency == library && !allowed.contains(&name) {
                found.push(format!("{name} must not use {library}; only {allowed:?} may"));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arrow_that_points_up_or_sideways_is_found() {
        let manifest =
            "[dependencies]\noutlast-types.workspace = true\noutlast-drop.workspace = true";
        assert_eq!(judge("outlast-store", 1, manifest).len(), 1);
        assert_eq!(judge("outlast-agent", 3, manifest).len(), 0);
        let manifest =
            "[dependencies]\nrusqlite = \"1\"\n[dev-dependencies]\noutlast-testing = \"1\"";
        assert_eq!(judge("outlast-vault", 3, manifest).len(), 1);
    }
}
