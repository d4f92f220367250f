//! The bell: a hint to the agent that something is new in a workload, so that it looks there in its next pass.
//!
//! An agent over thousands of workloads cannot afford to look at each of them in every pass. A writer that has begun or sealed a
//! drop makes an empty file of its workload's name in `bell/`, and the agent takes it away before it looks. Nothing depends
//! on it: where nobody rings, or may not, or where somebody rings for nothing, the agent comes by turns all the same.

use std::collections::BTreeSet;
use std::io;

use outlast_types::WorkloadName;

use crate::files::Directory;
use crate::layout::{BELL, WORKLOADS};
use crate::share::Share;

/// Rings for a workload, if the agent has a bell there.
pub(crate) fn ring(share: &Share, workload: &WorkloadName) {
    // One that rings already has not been heard, and will be.
    let _ = share.directory().and_then(|root| {
        let bell = root.directory(BELL)?;
        bell.create_file(workload.as_str(), bell.access()?)
    });
}

/// The workloads for which somebody has rung, as many as `max`. None of them rings any more.
///
/// # Errors
/// If there is no bell, or it cannot be looked at.
pub fn heard(share: &Share, max: usize) -> io::Result<BTreeSet<WorkloadName>> {
    let bell = share.directory()?.directory(BELL)?;
    let mut heard = BTreeSet::new();
    bell.each_name(max, |name| {
        let name = std::str::from_utf8(name).ok().and_then(|name| WorkloadName::new(name).ok());
        heard.extend(name);
    })?;
    // What cannot be taken away would ring for ever.
    heard.retain(|name| bell.remove_file(name.as_str().as_bytes()).is_ok());
    Ok(heard)
}

/// Puts up a bell: whoever may make a workload may ring.
pub fn put_up(share: &Share) -> io::Result<()> {
    let root: Directory = share.directory()?;
    let access = root.directory(WORKLOADS)?.access()?;
    root.make_directory(BELL, access).map(drop)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use outlast_types::{SystemClock, SystemRandom};

    use super::*;

    #[test]
    fn who_rings_is_heard_once_and_where_there_is_no_bell_nobody_minds() {
        let directory = tempfile::tempdir().unwrap();
        let share = Share::init(directory.path(), &SystemClock, &SystemRandom).unwrap();
        let [shop, blog] = ["shop", "blog"].map(|name| WorkloadName::new(name).unwrap());
        ring(&share, &shop);
        assert_eq!(heard(&share, 10).unwrap_err().kind(), io::ErrorKind::NotFound);
        put_up(&share).unwrap();
        put_up(&share).unwrap();
        for workload in [&shop, &blog, &shop] {
            ring(&share, workload);
        }
        fs::create_dir(directory.path().join("bell/no-file")).unwrap();
        fs::File::create(directory.path().join("bell/No Workload")).unwrap();
        assert_eq!(heard(&share, 10).unwrap(), BTreeSet::from([shop.clone(), blog]));
        assert_eq!(heard(&share, 10).unwrap(), BTreeSet::new());
        ring(&share, &shop);
        assert_eq!(heard(&share, 10).unwrap(), BTreeSet::from([shop]));
    }
}
