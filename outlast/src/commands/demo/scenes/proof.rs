//! What is proved: a page that arrives, a backup that comes back in a drill, the report of the month.

use std::ffi::OsStr;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use outlast_types::{Clock as _, SystemClock, human};
use serde::Deserialize;

use super::{DATABASE_WORKLOAD, LATE_WORKLOAD, Rehearsal, create};
use crate::commands::demo::stage::words;
use crate::commands::demo::story::Story;

/// What `outlast drill run --json` says, as far as the story needs it.
#[derive(Deserialize)]
struct Drill {
    state: String,
    lowered: Option<String>,
    why: Option<String>,
    rto_milliseconds: Option<u64>,
}

impl Rehearsal {
    /// Waits for the one page about the missed recovery point.
    pub(super) fn the_page_arrives(&self, story: &mut Story) -> Result<()> {
        let mut page = None;
        self.stage.wait_until("the page arrives", || {
            page = self.pager.next();
            Ok(page.is_some())
        })?;
        let page = page.context("take the page")?;
        ensure!(
            page.what == "incident.opened" && page.data.title.contains(LATE_WORKLOAD),
            "the page is about something else: {}",
            page.data.title
        );
        story
            .kept(&format!("one page reached {} by web hook: {}", page.data.team, page.data.title));
        Ok(())
    }

    pub(super) fn nobody_was_paged(&self, story: &mut Story) -> Result<()> {
        if let Some(page) = self.pager.next() {
            bail!("somebody was paged: {}", page.data.title);
        }
        story.kept("no page: the web hook that policy names has heard nothing");
        Ok(())
    }

    /// A restore is rehearsed beside the vault, and the month is written down.
    pub(super) fn a_backup_is_tried_out(&self, story: &mut Story) -> Result<()> {
        story.act("A drill: the vault brings the database back by itself, and takes the time");
        let (code, told) = self.ask(&["drill", "run", DATABASE_WORKLOAD, "--json"])?;
        let drill: Drill = serde_json::from_str(&told).context("understand the drill")?;
        let failure = drill.why.as_deref().unwrap_or("nobody says why");
        ensure!(
            matches!(code, Some(0 | 3)) && drill.state == "good",
            "the drill failed: {failure}"
        );
        match (&drill.lowered, drill.rto_milliseconds) {
            (Some(why), _) => story.kept(&format!("read, verified and parsed, not loaded: {why}")),
            (None, Some(took)) => story.kept(&format!(
                "restored, loaded and counted in a sandbox without network: measured RTO {}",
                human::duration(std::time::Duration::from_millis(took))
            )),
            (None, None) => bail!("a backup that was loaded has no time"),
        }
        let month: String = SystemClock.now().to_string().chars().take(7).collect();
        let (code, page) = self.ask(&["report", "--month", &month, "--html"])?;
        // The month is not over, so the report is not frozen.
        ensure!(matches!(code, Some(0 | 3)), "there is no report of {month}");
        ensure!(
            page.contains(DATABASE_WORKLOAD),
            "the report of {month} does not name the database"
        );
        let path = self.stage.path("report.html");
        create(&path, page.as_bytes())?;
        story.kept(&format!("the report of {month} names each workload: {}", path.display()));
        Ok(())
    }

    /// `outlast WORDS… --dir UP`, whatever it ends with.
    fn ask(&self, plain: &[&str]) -> Result<(Option<i32>, String)> {
        let up = self.stage.path("up");
        let mut arguments = words(plain);
        arguments.extend([OsStr::new("--dir"), up.as_os_str()]);
        let mut command = Command::new(self.stage.program());
        let output = command.args(arguments).output().context("ask the vault")?;
        Ok((output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned()))
    }
}
