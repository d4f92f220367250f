//! Verifying a directory that a product brought back, wherever it is, whole or in part: every file against the manifests.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use outlast_drop::hash::{Algorithm, Hasher};
use outlast_types::Monitor;
use serde::Serialize;

use crate::error::HandoverError;
use crate::manifest::{MANIFEST_FILE, Manifest};
use crate::names::{LIST_FILE, List, parse_name};

const BUFFER_BYTES: usize = 1 << 20;
/// How deep drops may lie: products put the whole path of before below where they restore to.
const DEPTH_MAX: usize = 32;
/// Directories that are looked at.
const DIRECTORIES_MAX: usize = 1_000_000;
const LIST_BYTES_MAX: u64 = 1 << 30;

/// A drop that was found.
#[derive(Debug, Clone)]
pub struct Found {
    pub path: PathBuf,
    pub manifest: Manifest,
}

/// All that was found in a directory.
#[derive(Debug, Default)]
pub struct Search {
    /// The oldest first.
    pub drops: Vec<Found>,
    /// Manifests that cannot be read, and why.
    pub unreadable: Vec<(PathBuf, String)>,
    /// Drops that the newest list names, and that are not there.
    pub missing: Vec<String>,
}

/// What is wrong with one drop.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Findings {
    pub missing: Vec<String>,
    pub changed: Vec<String>,
}

impl Findings {
    pub fn is_well(&self) -> bool {
        self.missing.is_empty() && self.changed.is_empty()
    }
}

/// Looks for drops below a directory, however deep.
pub fn search(directory: &Path) -> Result<Search, HandoverError> {
    let (mut search, mut lists) = (Search::default(), Vec::new());
    let mut open = vec![(directory.to_owned(), 0)];
    let mut looked = 0;
    while let Some((path, depth)) = open.pop() {
        looked += 1;
        if looked > DIRECTORIES_MAX || depth > DEPTH_MAX {
            let reason =
                "there is too much in it to look for drops: name a directory nearer to them"
                    .to_owned();
            return Err(HandoverError::Form { path, reason });
        }
        if path.join(MANIFEST_FILE).symlink_metadata().is_ok() {
            match Manifest::read(&path) {
                Ok(manifest) => search.drops.push(Found { path, manifest }),
                Err(error) => search.unreadable.push((path, error.to_string())),
            }
            continue;
        }
        for entry in std::fs::read_dir(&path).map_err(HandoverError::io("list", &path))? {
            let entry = entry.map_err(HandoverError::io("list", &path))?;
            if entry.file_name() == LIST_FILE {
                lists.extend(read_list(&entry.path()));
            }
            let kind = entry.file_type().map_err(HandoverError::io("look at", &entry.path()))?;
            if kind.is_dir() {
                open.push((entry.path(), depth + 1));
            }
        }
    }
    search.drops.sort_by_key(order);
    let newest = lists.into_iter().max_by_key(|list: &List| list.at);
    for listed in newest.into_iter().flat_map(|list| list.drops) {
        let is_it = |found: &&Found| {
            found.manifest.drop == listed.drop && found.manifest.workload == listed.workload
        };
        if !search.drops.iter().any(|found| is_it(&found)) {
            search.missing.push(listed.path);
        }
    }
    Ok(search)
}

fn read_list(path: &Path) -> Option<List> {
    serde_json::from_slice(&outlast_fs::durable::read_bounded(path, LIST_BYTES_MAX).ok()?).ok()
}

/// In which drops came into the directory, as far as their names tell: their times may be of the restore.
pub(crate) fn order(found: &Found) -> (outlast_types::Timestamp, outlast_types::DropId) {
    let name = found.path.file_name().and_then(|name| name.to_str()).and_then(parse_name);
    let claimed = found.manifest.drop.claimed_time();
    (name.map_or(claimed, |(moment, _)| moment), found.manifest.drop)
}

/// Compares all files of a drop with its manifest.
pub fn verify(found: &Found, monitor: &dyn Monitor) -> Result<Findings, HandoverError> {
    let mut findings = Findings::default();
    for file in &found.manifest.files {
        let path = found.path.join(&file.path);
        monitor.item(&file.path);
        match path.symlink_metadata() {
            Err(error) if is_not_there(&error) => {
                findings.missing.push(file.path.clone());
                continue;
            }
            Err(error) => return Err(HandoverError::io("look at", &path)(error)),
            Ok(facts) if !facts.is_file() || facts.len() != file.size => {
                findings.changed.push(file.path.clone());
                continue;
            }
            Ok(_) => {}
        }
        let sha256 = sha256(&path, monitor).map_err(HandoverError::io("read", &path))?;
        if sha256 != file.sha256 {
            findings.changed.push(file.path.clone());
        }
    }
    for other in &found.manifest.others {
        let path = found.path.join(&other.path);
        match path.symlink_metadata() {
            Ok(facts) if facts.is_symlink() == other.target.is_some() => {}
            Ok(_) => findings.changed.push(other.path.clone()),
            Err(error) if is_not_there(&error) => findings.missing.push(other.path.clone()),
            Err(error) => return Err(HandoverError::io("look at", &path)(error)),
        }
    }
    Ok(findings)
}

fn is_not_there(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn sha256(path: &Path, monitor: &dyn Monitor) -> io::Result<String> {
    let (mut file, mut hasher) = (File::open(path)?, Hasher::new(Algorithm::Sha256));
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finish().digits().as_str().to_owned()),
            length => {
                hasher.update(&buffer[..length]);
                monitor.advance(length as u64);
            }
        }
    }
}
