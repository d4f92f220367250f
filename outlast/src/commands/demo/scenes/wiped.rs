//! The media server loses its disk, with a drop in it that nobody else has but the share.

use std::fs;

use anyhow::{Context, Result, bail, ensure};

use super::{GREEN, Incident, LATE_WORKLOAD, Rehearsal, raise, short};
use crate::commands::demo::story::Story;

impl Rehearsal {
    pub(super) fn a_media_server_loses_its_disk(&mut self, story: &mut Story) -> Result<()> {
        story.act("The media server loses its disk, with a drop in it");
        self.roles.kill()?;
        self.raise_again(&[("OUTLAST_LINE_RATE", "closed")])?;
        story.tell("the line from the media server to the vault is closed for now");
        self.database.add_orders(100)?;
        let drop = self.drop_database(GREEN)?;
        self.wait_for_receipt(&drop, "shipped")?;
        story.kept(&format!("drop {} is shipped: it waits in the media server", short(&drop.id)));
        let receipts = self.share.join("w").join(&drop.workload).join("receipts");
        let vaulted = receipts.join(format!("{}.vaulted.json", drop.id));
        ensure!(!vaulted.exists(), "a drop cannot be vaulted over a line that is closed");
        self.roles.kill()?;
        let spool = self.stage.path("up").join("media");
        fs::remove_dir_all(&spool).with_context(|| format!("remove {}", spool.display()))?;
        story.tell("everything is killed (SIGKILL), and the disk of the media server is gone");
        self.raise_again(&[])?;
        self.wait_for_receipt(&drop, "vaulted")?;
        story.kept("the line is open, and the drop is vaulted: the share still had it");
        let incidents = self.overview()?.incidents;
        let of_others = |it: &&Incident| it.workload.as_deref() != Some(LATE_WORKLOAD);
        if let Some(incident) = incidents.iter().find(of_others) {
            bail!("an incident is open that should not be: {}", incident.cause);
        }
        story.kept("no incident: a media server may lose its disk, and nobody is woken");
        Ok(())
    }

    fn raise_again(&mut self, settings: &[(&str, &str)]) -> Result<()> {
        let (roles, ready) = raise(&self.stage, "up", "127.0.0.1:0", settings)?;
        (self.roles, self.url) = (roles, ready.url);
        Ok(())
    }
}
