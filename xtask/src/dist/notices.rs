//! The licences of others, whose texts must go with what is built from their work.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::packages::Packages;

/// How names of such files begin.
const NAMES: [&str; 6] = ["copying", "copyright", "licence", "license", "notice", "unlicense"];

/// Every text once, under the packages that carry it.
pub(super) fn text(packages: &Packages) -> Result<String> {
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut whole =
        "Outlast is built from packages of others, under these licences.\n\n".to_owned();
    for package in packages.of_others() {
        let name = format!("{} {}", package.name, package.version);
        let licence = package.licence.as_deref().unwrap_or("see below");
        whole.push_str(&format!("{name}: {licence}\n"));
        for file in files(package.directory.clone())? {
            let bytes = std::fs::read(&file).with_context(|| format!("read {}", file.display()))?;
            let text = String::from_utf8_lossy(&bytes).replace('\r', "");
            texts.entry(text.trim_end().to_owned()).or_default().push(name.clone());
        }
    }
    let mut texts: Vec<(Vec<String>, String)> =
        texts.into_iter().map(|(text, names)| (names, text)).collect();
    texts.sort();
    for (mut names, text) in texts {
        names.dedup();
        whole.push_str(&format!("\n{}\n{}\n\n{text}\n", "=".repeat(80), names.join(", ")));
    }
    Ok(whole)
}

fn files(directory: PathBuf) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(&directory)
        .with_context(|| format!("look into {}: cargo fetch brings it", directory.display()))?;
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().to_lowercase();
        let is_text = NAMES.iter().any(|begin| name.starts_with(begin)) && !name.ends_with(".rs");
        if is_text && entry.file_type()?.is_file() {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}
