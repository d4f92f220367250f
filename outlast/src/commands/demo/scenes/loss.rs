//! The last scene: the vault's machine is lost.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::{DATABASE_WORKLOAD, GREEN, Incident, LATE_WORKLOAD, Rehearsal, create, raise, short};
use crate::commands::demo::stage::words;
use crate::commands::demo::story::Story;

/// The passphrase of the rehearsal's recovery kit: its data is worth nothing.
const PASSPHRASE: &str = "only for the rehearsal, worth nothing";

impl Rehearsal {
    /// The machine of agent and vault burns; its repositories, on a disk of their own, and a kit are left.
    pub(super) fn the_vault_is_lost_and_brought_back(&mut self, story: &mut Story) -> Result<()> {
        story.act(
            "The vault's machine is lost, and a new one is made of its repositories and a kit",
        );
        let [up, kit, disk] = ["up", "kit", "disk"].map(|name| self.stage.path(name));
        let passphrase = self.stage.path("passphrase");
        create(&passphrase, PASSPHRASE.as_bytes())?;
        let mut arguments = words(&["ca", "kit", "--dir"]);
        arguments.extend([up.as_os_str(), OsStr::new("--into"), kit.as_os_str()]);
        arguments.extend([OsStr::new("--passphrase-file"), passphrase.as_os_str()]);
        self.stage.run(&arguments)?;
        story.tell("`outlast ca kit` made a recovery kit; it is in the safe, with a page to print");
        let younger = self.drop_database(GREEN)?;
        self.wait_for_receipt(&younger, "vaulted")?;
        self.roles.kill()?;
        save_disk(&up.join("vault/repos"), &disk)?;
        fs::remove_dir_all(&up).context("lose the machine")?;
        story.tell(
            "the machine burns (SIGKILL, directory gone); the disk with the repositories is left",
        );
        let meanwhile = self.drop_database(GREEN)?;
        story.tell(&format!("green-1 knows nothing of it, and drops on: {}", short(&meanwhile.id)));

        let mut arguments = words(&["vault", "recover", "--from"]);
        arguments.extend([disk.as_os_str(), OsStr::new("--kit"), kit.as_os_str()]);
        arguments.extend([OsStr::new("--passphrase-file"), passphrase.as_os_str()]);
        arguments.extend([OsStr::new("--dir"), up.as_os_str()]);
        self.stage.run(&arguments)?;
        self.outlast(&["audit", "verify"])?;
        story.kept(
            "`outlast vault recover` brought back keys, authority, records and audit log, whole",
        );
        let address = self.url.trim_start_matches("https://").trim_end_matches('/').to_owned();
        (self.roles, _) = raise(&self.stage, "up-again", &address, &[])?;
        let took = self.wait_for_receipt(&meanwhile, "vaulted")?;
        story.kept(&format!(
            "the agent went on by itself: drop {} vaulted, {:.1} s after the vault was back",
            short(&meanwhile.id),
            took.as_secs_f32()
        ));
        let restored = self.stage.path("restored-again");
        let mut arguments = words(&["restore", DATABASE_WORKLOAD, "--dir"]);
        arguments.extend([up.as_os_str(), OsStr::new("--into"), restored.as_os_str()]);
        self.stage.run(&arguments)?;
        let dump = restored.join(self.database.dump_name());
        let (live, loaded) =
            (self.database.fingerprint()?, self.database.fingerprint_of_dump(&dump)?);
        ensure!(live == loaded, "the live database has {live}, the restored one {loaded}");
        story.kept(&format!("restored from the new vault: {loaded}, as in the live one"));
        // While the agent had not reported, nothing could leave the share; that was told, and is over.
        self.stage.wait_until("the new vault has heard its agent", || {
            let incidents = self.overview()?.incidents;
            let of_others = |it: &&Incident| it.workload.as_deref() != Some(LATE_WORKLOAD);
            Ok(incidents.iter().filter(of_others).all(|it| it.resolved.is_some()))
        })?;
        story.kept("nothing was lost, and no incident is left of it");
        Ok(())
    }
}

/// The disk is another machine's from now on.
#[expect(clippy::disallowed_methods, reason = "a rehearsal need not outlive a power cut")]
fn save_disk(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).context("save the disk with the repositories")
}
