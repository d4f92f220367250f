//! What an agent backs up itself: whether it can be read, and how the last attempt ended.

use std::path::Path;

use rustix::fs::{Access, access};

use super::finding::Finding;
use crate::commands::drop::{Status, status_file};
use crate::commands::sources::directory_of;
use crate::output::whole_seconds;
use crate::settings::SourceSetting;

/// Looks at one source of the agent whose state is at `state`.
pub(super) fn look(source: &SourceSetting, state: &Path, found: &mut Vec<Finding>) {
    let workload = &source.workload;
    let unreadable = source.paths().find_map(|path| {
        let error = access(path, Access::READ_OK).err()?;
        Some(format!("{workload}: this user cannot read {}: {error}", path.display()))
    });
    if let Some(words) = unreadable {
        found.push(Finding::bad("source", words).fix(
            "correct the path, or let the agent's user read it: docs/instances.md, \"A server that stays\"",
        ));
    }
    let file = status_file(&directory_of(state, workload));
    found.push(match Status::read(&file) {
        Some(Status { problem: Some(problem), .. }) => {
            Finding::bad("source", format!("{workload}: the last attempt failed: {problem}"))
                .fix("it is tried again by itself; the agent's log has all that was said")
        }
        Some(Status { last_success: Some(at), gaps: Some(gaps), .. }) => {
            let at = whole_seconds(at);
            let words = format!("{workload}: dropped at {at}, but not all of it: {gaps}");
            Finding::warning("source", words)
                .fix("let the agent's user read it, or leave it out by `exclude`")
        }
        Some(Status { last_success: Some(at), due: Some(due), .. }) => {
            let (at, due) = (whole_seconds(at), whole_seconds(due));
            Finding::good("source", format!("{workload}: dropped at {at}, and due at {due}"))
        }
        Some(_) => Finding::good("source", format!("{workload}: nothing was due yet")),
        None => Finding::warning("source", format!("{workload}: no agent has attended to it yet"))
            .fix("start the agent, or start it again if this source is new"),
    });
}
