//! Who serves a share: the marks of its agent.
//!
//! An agent at work leaves a mark now and then, `agent/<tenure>.<n>`, and remembers elsewhere how far it
//! has counted. A copy of the share, or an older state of it that was put back, has a mark that counts
//! less; and two agents on one share see each other's marks.

use std::collections::BTreeMap;

use outlast_types::TenureId;
use serde::{Deserialize, Serialize};

use crate::files::Directory;
use crate::layout::AGENT;
use crate::share::{Share, ShareError};

/// More names than this are not looked at: an agent has one or two.
const MARKS_MAX: usize = 1000;
const MARK_BYTES_MAX: u64 = 4096;

/// How far each tenure has counted.
pub type Marks = BTreeMap<TenureId, u64>;

#[derive(Serialize, Deserialize)]
struct MarkJson {
    version: u64,
    agent: String,
}

/// The marks that lie on the share.
pub fn marks(share: &Share) -> Result<Marks, ShareError> {
    let path = share.path().join(AGENT);
    let mut marks = Marks::new();
    let see = |name: &[u8]| {
        if let Some((tenure, count)) = parse(name) {
            let known = marks.entry(tenure).or_insert(count);
            *known = count.max(*known);
        }
    };
    match share.directory().and_then(|root| root.directory(AGENT)?.each_name(MARKS_MAX, see)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(ShareError::io("list", &path)(error))
        }
        _ => Ok(marks),
    }
}

/// The name of the agent that left a mark, as it says itself; `None` if it does not say so.
pub fn agent(share: &Share, tenure: TenureId, count: u64) -> Option<String> {
    let directory = share.directory().and_then(|root| root.directory(AGENT)).ok()?;
    let bytes = directory.read_bounded(&name(tenure, count), MARK_BYTES_MAX).ok()?;
    serde_json::from_slice(&bytes).ok().map(|mark: MarkJson| mark.agent)
}

/// Leaves a mark.
pub fn put(share: &Share, tenure: TenureId, count: u64, agent: &str) -> Result<(), ShareError> {
    let path = share.path().join(AGENT).join(name(tenure, count));
    let io = |action| ShareError::io(action, &path);
    let json = MarkJson { version: 1, agent: agent.to_owned() };
    let bytes = serde_json::to_vec(&json).map_err(|error| io("write")(error.into()))?;
    let root = share.root_to_change()?;
    let made = root.access().and_then(|access| root.make_directory(AGENT, access));
    let directory = made.map_err(ShareError::io("open or make", &share.path().join(AGENT)))?;
    let access = directory.access().map_err(io("write"))?;
    directory.create_own(&name(tenure, count), &bytes, access).map_err(io("write"))
}

/// Removes the marks of a tenure that count less than `below`.
pub fn remove(share: &Share, tenure: TenureId, below: u64) -> Result<(), ShareError> {
    let path = share.path().join(AGENT);
    let root = share.root_to_change()?;
    let directory = root.directory(AGENT).map_err(ShareError::io("open", &path))?;
    remove_in(&directory, tenure, below).map_err(ShareError::io("tidy up", &path))
}

fn remove_in(directory: &Directory, tenure: TenureId, below: u64) -> std::io::Result<()> {
    let (names, _) = directory.names_up_to(MARKS_MAX)?;
    for name in names {
        if parse(&name).is_some_and(|(of, count)| of == tenure && count < below) {
            directory.remove_file(&name)?;
        }
    }
    Ok(())
}

fn name(tenure: TenureId, count: u64) -> String {
    format!("{tenure}.{count}")
}

fn parse(name: &[u8]) -> Option<(TenureId, u64)> {
    let (tenure, count) = std::str::from_utf8(name).ok()?.split_once('.')?;
    Some((tenure.parse().ok()?, count.parse().ok()?))
}
