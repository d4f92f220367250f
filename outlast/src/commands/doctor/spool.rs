//! A media server: its spool, its line and its calendar.

use std::path::Path;

use outlast_civil::Rate;
use outlast_media::{Ask, ControlError, MediaConfig, ask};
use outlast_types::{Clock as _, SystemClock, human};
use outlast_wire::Role;
use outlast_wire::api::MediaState;
use rustix::fs::statvfs;

use super::finding::Finding;
use super::{place, way};
use crate::output::Output;

/// What a spool needs to take one object more.
const SPOOL_BYTES_MIN: u64 = 1 << 30;

/// All that a media server stands on.
pub(super) fn look(config: &MediaConfig, output: &Output, found: &mut Vec<Finding>) {
    place::directory("spool", &config.dir, SPOOL_BYTES_MIN, found);
    room(config, found);
    found.push(line(config));
    match ask(&config.dir, &Ask::Status) {
        Ok(status) => {
            let report = &status.report;
            let said = format!(
                "{} objects ({}) wait in spool {}",
                report.objects,
                human::bytes(report.bytes),
                report.spool
            );
            found.push(match report.state {
                MediaState::Taking => Finding::good("spool", said),
                _ => Finding::warning("spool", format!("{said}, and it takes nothing new"))
                    .fix("`outlast media take` lets it take again"),
            });
            let problems = report.problems.iter().map(|problem| {
                Finding::bad("spool", problem).fix("the media server's log tells more")
            });
            found.extend(problems);
        }
        Err(error @ (ControlError::Nobody { .. } | ControlError::NotAllowed { .. })) => {
            found.push(Finding::unknown("spool", error.to_string()));
        }
        Err(error) => found.push(Finding::bad("spool", error.to_string())),
    }
    let role = Some(Role::Media);
    way::look(&config.upstream, &config.identity, &config.names, role, output, found);
}

/// Whether the disk has the room that the configuration gives away.
fn room(config: &MediaConfig, found: &mut Vec<Finding>) {
    let nearest = config.dir.ancestors().find(|path| path.exists());
    let Some(stat) = nearest.and_then(|at: &Path| statvfs(at).ok()) else { return };
    let (all, room) = (stat.f_blocks * stat.f_frsize, config.limits.room.total);
    if all > 0 && all < room {
        let said = format!(
            "the spool may have {}, and its disk has {}",
            human::bytes(room),
            human::bytes(all)
        );
        let fix = "make `room` in [media] smaller than the disk, so that agents are told before it is full";
        found.push(Finding::warning("spool", said).fix(fix));
    }
}

fn line(config: &MediaConfig) -> Finding {
    let allowed = config.limits.calendar.rate_at(SystemClock.now());
    let said = format!("by the calendar, the line may be used now at: {allowed}");
    match allowed {
        Rate::PerSecond(0) => Finding::warning("line", said)
            .fix("nothing is forwarded while it is closed; correct [line] if it should not be"),
        _ => Finding::good("line", said),
    }
}
