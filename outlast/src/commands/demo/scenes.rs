//! The scenes of the rehearsal, in the order of the story.

mod loss;
mod proof;
mod wiped;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use super::database::Database;
use super::joining;
use super::pager::Pager;
use super::stage::{self, Actor, Stage, words};
use super::story::Story;
use crate::home::Home;

const DATABASE_WORKLOAD: &str = "shop-db";
const FILES_WORKLOAD: &str = "shop-files";
const LATE_WORKLOAD: &str = "billing";
/// The recovery point that the late workload promises: time compressed, so that it can be missed.
const LATE_RPO: Duration = Duration::from_secs(6);

/// One `up` in compressed time, the shop's database and files, and the share between them.
pub(super) struct Rehearsal {
    stage: Stage,
    pager: Pager,
    roles: Actor,
    database: Database,
    url: String,
    share: PathBuf,
}

/// What `outlast up` writes when all roles serve.
#[derive(Deserialize)]
pub(super) struct Ready {
    url: String,
    pub(super) share: PathBuf,
}

/// What `outlast workload list --json` says, as far as the story needs it.
#[derive(Deserialize)]
struct Overview {
    workloads: Vec<Workload>,
    incidents: Vec<Incident>,
}

#[derive(Deserialize)]
struct Workload {
    name: String,
    state: String,
}

#[derive(Deserialize)]
struct Incident {
    workload: Option<String>,
    owner: String,
    cause: String,
    resolved: Option<String>,
}

/// An instance of the shop: which colour and release it is.
#[derive(Clone, Copy)]
struct Instance {
    name: &'static str,
    release: &'static str,
    color: &'static str,
}

const BLUE: Instance = Instance { name: "blue-1", release: "v1", color: "blue" };
const GREEN: Instance = Instance { name: "green-1", release: "v2", color: "green" };

impl Rehearsal {
    /// Raises the stage: roles, share and database.
    pub(super) fn open(
        directory: PathBuf,
        interrupted: Arc<AtomicBool>,
        story: &mut Story,
    ) -> Result<Self> {
        story.act("The stage: one agent, one media server, one vault, one share");
        let stage = Stage::new(directory, interrupted)?;
        // The share is a machine of its own, and outlives that of the vault.
        fs::create_dir(stage.path("share")).context("make the share")?;
        let pager = Pager::listen()?;
        fs::create_dir(stage.path("up")).context("make the directory of the roles")?;
        create(&stage.path("up").join("vault.toml"), pager.route().as_bytes())?;
        let (roles, ready) = raise(&stage, "up", "127.0.0.1:0", &[])?;
        story.tell(&format!("agent, media server and vault serve, the vault at {}", ready.url));
        story.tell(&format!("the share is {}", ready.share.display()));
        joining::by_token(&stage, &stage.path("up"))?;
        story.kept("agent and operator have joined by a token each, which serves once");
        let database = Database::create(&stage.path(""), stage.program())?;
        story.tell(&format!("the shop's database: {}", database.product()));
        make_uploads(&stage.path("uploads"))?;
        Ok(Self { stage, pager, roles, database, url: ready.url, share: ready.share })
    }

    /// The story from the first blue drop to the restored green instance.
    pub(super) fn play(mut self, story: &mut Story) -> Result<()> {
        self.blue_serves(story)?;
        self.blue_is_killed_in_the_middle_of_a_drop(story)?;
        let newest = self.green_serves(story)?;
        self.a_recovery_point_is_missed(story)?;
        self.a_green_instance_restores(story, &newest)?;
        self.a_backup_is_tried_out(story)?;
        self.a_media_server_loses_its_disk(story)?;
        self.the_vault_is_lost_and_brought_back(story)?;
        story.act("Curtain");
        self.roles.must_live()?;
        self.roles.stop()?;
        story.kept("agent, media server and vault stopped cleanly");
        Ok(())
    }

    fn blue_serves(&self, story: &mut Story) -> Result<()> {
        story.act("Release v1: blue serves, and writes its backups to the share");
        for drop in [self.drop_database(BLUE)?, self.drop_files(BLUE)?] {
            let took = self.wait_for_receipt(&drop, "vaulted")?;
            story.kept(&format!(
                "{} by blue-1: drop {} vaulted, {:.1} s after its seal",
                drop.workload,
                short(&drop.id),
                took.as_secs_f32()
            ));
        }
        self.no_incident(story, "two workloads are fresh")?;
        self.release_passes_the_gate(story, BLUE)
    }

    /// What a pipeline runs before it ends the instances of a release.
    fn release_passes_the_gate(&self, story: &mut Story, of: Instance) -> Result<()> {
        let ca = Home::new(&self.stage.path("up")).identity("agent").join("ca.pem");
        for workload in [DATABASE_WORKLOAD, FILES_WORKLOAD] {
            let mut arguments = words(&["gate", "--workload", workload, "--release", of.release]);
            arguments.extend(words(&["--timeout", "30s", "--share"]));
            arguments.extend([self.share.as_os_str(), OsStr::new("--ca"), ca.as_os_str()]);
            self.stage.run(&arguments)?;
        }
        story
            .kept(&format!("the gate is open for release {}: nothing of it is missed", of.release));
        Ok(())
    }

    fn blue_is_killed_in_the_middle_of_a_drop(&mut self, story: &mut Story) -> Result<()> {
        story.act("Release v2: green comes up, and blue is terminated in the middle of a drop");
        let (mut writer, victim) = self.start_endless_drop(BLUE)?;
        story.tell(&format!("blue-1 is writing drop {} …", short(&victim.id)));
        writer.kill()?;
        story.tell("… and is killed (SIGKILL): no seal, no farewell");
        ensure!(
            !self.drop_directory(&victim)?.join("sealed.json").exists(),
            "a killed writer sealed"
        );
        story.kept("what blue left unfinished has no seal, so it is not a backup");
        self.wait_for_receipt(&victim, "abandoned")?;
        self.stage.wait_until("the abandoned drop is cleaned up", || {
            Ok(self.find_drop_directory(&victim)?.is_none())
        })?;
        story.kept("the agent noticed, and cleaned it up");
        self.no_incident(story, "a vanished instance pages nobody")
    }

    fn green_serves(&self, story: &mut Story) -> Result<Dropped> {
        story.act("Green serves");
        self.database.add_orders(500)?;
        story.tell("customers bought 500 times since blue's backup");
        let database = self.drop_database(GREEN)?;
        let files = self.drop_files(GREEN)?;
        for drop in [&database, &files] {
            self.wait_for_receipt(drop, "vaulted")?;
            story.kept(&format!("{} by green-1: drop {} vaulted", drop.workload, short(&drop.id)));
        }
        let listed = self.outlast(&["snapshots", DATABASE_WORKLOAD])?;
        ensure!(
            listed.lines().filter(|line| line.contains("shop.")).count() == 2,
            "the vault should hold two snapshots of {DATABASE_WORKLOAD}, one by blue and one by \
             green, but lists: {listed}"
        );
        story.kept("the vault holds what blue and what green completed, and nothing else");
        self.no_incident(story, "the whole release paged nobody")?;
        self.nobody_was_paged(story)?;
        Ok(database)
    }

    fn a_recovery_point_is_missed(&self, story: &mut Story) -> Result<()> {
        story.act("Something really breaks: a workload stops producing backups");
        let declared = self.share.join("w").join(LATE_WORKLOAD);
        fs::create_dir_all(&declared).context("declare the workload")?;
        let declaration = format!("owner = \"team-billing\"\nrpo = \"{}s\"\n", LATE_RPO.as_secs());
        create(&declared.join("workload.toml"), declaration.as_bytes())?;
        let ledger = self.stage.path("ledger.csv");
        create(&ledger, b"2026,42\n")?;
        let first = self.drop_paths(LATE_WORKLOAD, BLUE, &[&ledger])?;
        self.wait_for_receipt(&first, "vaulted")?;
        story.tell(&format!(
            "billing promises a recovery point every {} s; its first drop is vaulted, then silence",
            LATE_RPO.as_secs()
        ));
        let mut seen = Vec::new();
        self.stage.wait_until("the missed recovery point opens an incident", || {
            seen = self.overview()?.incidents;
            Ok(!seen.is_empty())
        })?;
        let [incident] = seen.as_slice() else {
            bail!("one cause must page once, but {} incidents are open", seen.len());
        };
        ensure!(
            incident.workload.as_deref() == Some(LATE_WORKLOAD) && incident.resolved.is_none(),
            "the incident is about something else: {}",
            incident.cause
        );
        story.kept(&format!(
            "exactly one incident, for the {} team: {}",
            incident.owner, incident.cause
        ));
        self.the_page_arrives(story)?;
        let cure = self.drop_paths(LATE_WORKLOAD, GREEN, &[&ledger])?;
        self.wait_for_receipt(&cure, "vaulted")?;
        self.stage.wait_until("the incident resolves", || {
            Ok(self.overview()?.incidents.iter().all(|incident| incident.resolved.is_some()))
        })?;
        story.kept("the next drop resolved it; nobody had to touch anything");
        Ok(())
    }

    fn a_green_instance_restores(&self, story: &mut Story, newest: &Dropped) -> Result<()> {
        story.act("A new green instance restores, and every byte is compared");
        let (seeded, restored) = (self.stage.path("seeded"), self.stage.path("restored"));
        let share = self.share.as_os_str();
        let mut arguments = words(&["fetch", "--workload", DATABASE_WORKLOAD, "--share"]);
        arguments.extend([share, OsStr::new("--into"), seeded.as_os_str()]);
        self.stage.run(&arguments)?;
        let mut arguments = words(&["restore", DATABASE_WORKLOAD, "--dir"]);
        let up = self.stage.path("up");
        arguments.extend([up.as_os_str(), OsStr::new("--into"), restored.as_os_str()]);
        self.stage.run(&arguments)?;
        let name = self.database.dump_name();
        let (from_share, from_vault) = (seeded.join(name), restored.join(name));
        ensure!(same_content(&from_share, &from_vault)?, "share and vault restored other bytes");
        let bytes = fs::metadata(&from_vault).context("look at the restored dump")?.len();
        story.kept(&format!(
            "drop {} restored from the share and from the vault: {bytes} bytes, equal",
            short(&newest.id)
        ));
        let (live, loaded) =
            (self.database.fingerprint()?, self.database.fingerprint_of_dump(&from_vault)?);
        ensure!(live == loaded, "the live database has {live}, the restored one {loaded}");
        story.kept(&format!("loaded into a second database: {loaded}, as in the live one"));

        let files = self.stage.path("restored-files");
        let mut arguments = words(&["restore", FILES_WORKLOAD, "--dir"]);
        arguments.extend([up.as_os_str(), OsStr::new("--into"), files.as_os_str()]);
        self.stage.run(&arguments)?;
        let count = compare_uploads(&self.stage.path("uploads"), &files)?;
        story.kept(&format!("{FILES_WORKLOAD} restored from the vault: {count} files, equal"));
        Ok(())
    }

    // ---- what instances do -------------------------------------------------------------------

    fn drop_database(&self, instance: Instance) -> Result<Dropped> {
        let command = self.database.dump_command();
        let mut tail = words(&["--exec", self.database.dump_name(), "--"]);
        tail.extend(command.iter().map(|word| word.as_os_str()));
        self.drop(DATABASE_WORKLOAD, instance, &tail)
    }

    fn drop_files(&self, instance: Instance) -> Result<Dropped> {
        self.drop_paths(FILES_WORKLOAD, instance, &[&self.stage.path("uploads")])
    }

    fn drop_paths(&self, workload: &str, instance: Instance, paths: &[&Path]) -> Result<Dropped> {
        let tail: Vec<&OsStr> = paths.iter().map(|path| path.as_os_str()).collect();
        self.drop(workload, instance, &tail)
    }

    fn drop(&self, workload: &str, instance: Instance, tail: &[&OsStr]) -> Result<Dropped> {
        let mut arguments = self.drop_arguments(workload, instance);
        arguments.extend(tail);
        let id = self.stage.run(&arguments)?.trim().to_owned();
        Ok(Dropped { workload: workload.to_owned(), id })
    }

    fn drop_arguments<'a>(&'a self, workload: &'a str, instance: Instance) -> Vec<&'a OsStr> {
        let mut arguments = words(&["drop", "--workload", workload, "--share"]);
        arguments.push(self.share.as_os_str());
        arguments.extend(words(&["--instance", instance.name, "--release", instance.release]));
        arguments.extend(words(&["--color", instance.color]));
        arguments
    }

    /// An instance whose dump never ends, caught when its first bytes are on the share.
    fn start_endless_drop(&self, instance: Instance) -> Result<(Actor, Dropped)> {
        let before = self.drops_of(DATABASE_WORKLOAD)?;
        let mut arguments = self.drop_arguments(DATABASE_WORKLOAD, instance);
        let endless = "while :; do echo 'INSERT INTO orders VALUES (1, now());'; done";
        arguments.extend(words(&["--exec", "shop.sql", "--", "sh", "-c", endless]));
        let mut writer = self.stage.start("blue-1", &arguments, &[])?;
        let mut found = None;
        self.stage.wait_until("blue writes to the share", || {
            writer.must_live()?;
            found =
                self.drops_of(DATABASE_WORKLOAD)?.into_iter().find(|path| !before.contains(path));
            let Some(path) = &found else { return Ok(false) };
            Ok(fs::metadata(path.join("0001.seg")).is_ok_and(|segment| segment.len() > 0))
        })?;
        let id = found
            .and_then(|path| Some(path.file_name()?.to_str()?.to_owned()))
            .context("name the drop that blue is writing")?;
        Ok((writer, Dropped { workload: DATABASE_WORKLOAD.to_owned(), id }))
    }

    // ---- what the share and the vault show ---------------------------------------------------

    fn drops_of(&self, workload: &str) -> Result<Vec<PathBuf>> {
        let mut drops = Vec::new();
        let days = self.share.join("w").join(workload).join("drops");
        for day in fs::read_dir(&days).with_context(|| format!("list {}", days.display()))? {
            let day = day.context("list the days")?.path();
            for drop in fs::read_dir(&day).with_context(|| format!("list {}", day.display()))? {
                drops.push(drop.context("list the drops")?.path());
            }
        }
        Ok(drops)
    }

    fn find_drop_directory(&self, drop: &Dropped) -> Result<Option<PathBuf>> {
        let drops = self.drops_of(&drop.workload)?;
        Ok(drops.into_iter().find(|path| path.file_name() == Some(OsStr::new(&drop.id))))
    }

    fn drop_directory(&self, drop: &Dropped) -> Result<PathBuf> {
        self.find_drop_directory(drop)?.with_context(|| format!("find drop {}", drop.id))
    }

    fn wait_for_receipt(&self, drop: &Dropped, state: &str) -> Result<Duration> {
        let receipts = self.share.join("w").join(&drop.workload).join("receipts");
        let receipt = receipts.join(format!("{}.{state}.json", drop.id));
        let what = format!("drop {} of {} is {state}", drop.id, drop.workload);
        self.stage
            .wait_until(&what, || Ok(receipt.exists()))
            .map_err(|error| stage::with_words(format!("{error:#}"), self.roles.last_words()))
    }

    fn overview(&self) -> Result<Overview> {
        let listed = self.outlast(&["workload", "list", "--json"])?;
        serde_json::from_str(&listed).context("understand the list of workloads")
    }

    fn no_incident(&self, story: &mut Story, meaning: &str) -> Result<()> {
        let overview = self.overview()?;
        if let Some(incident) = overview.incidents.first() {
            bail!("an incident is open that should not be: {}", incident.cause);
        }
        for name in [DATABASE_WORKLOAD, FILES_WORKLOAD] {
            let state = overview.workloads.iter().find(|w| w.name == name).map(|w| &*w.state);
            ensure!(state == Some("fresh"), "{name} should be fresh but is {state:?}");
        }
        story.kept(&format!("no incident: {meaning}"));
        Ok(())
    }

    /// Runs `outlast WORDS… --dir UP`.
    fn outlast(&self, plain: &[&str]) -> Result<String> {
        let up = self.stage.path("up");
        let mut arguments = words(plain);
        arguments.extend([OsStr::new("--dir"), up.as_os_str()]);
        self.stage.run(&arguments).with_context(|| format!("ask the vault at {}", self.url))
    }
}

/// Starts agent, media server and vault, with more settings, and waits until they serve.
pub(super) fn raise(
    stage: &Stage,
    name: &str,
    listen: &str,
    more: &[(&str, &str)],
) -> Result<(Actor, Ready)> {
    let [up, share, ready_file] = ["up", "share", "ready.json"].map(|name| stage.path(name));
    let mut arguments = words(&["up", "--listen", listen, "--dir"]);
    arguments.extend([up.as_os_str(), OsStr::new("--share"), share.as_os_str()]);
    arguments.extend([OsStr::new("--ready-file"), ready_file.as_os_str()]);
    // Compressed time: what takes minutes in production takes seconds here.
    let settings = [
        ("OUTLAST_AGENT_POLL", "250ms"),
        ("OUTLAST_AGENT_GRACE", "2s"),
        ("OUTLAST_VAULT_SAVE_STATE", "1s"),
        ("NO_COLOR", "1"),
    ];
    // That of a process that was killed says nothing.
    let _ = fs::remove_file(&ready_file);
    let settings = [&settings, more].concat();
    let mut roles = stage.start(name, &arguments, &settings)?;
    stage.wait_until("agent, media server and vault serve", || {
        roles.must_live()?;
        Ok(ready_file.exists())
    })?;
    let ready = fs::read(&ready_file).context("read the ready file")?;
    let ready = serde_json::from_slice(&ready).context("understand the ready file")?;
    Ok((roles, ready))
}

/// A drop on the share.
struct Dropped {
    workload: String,
    id: String,
}

/// The end of a drop's id, which is its random part: the beginning is the time.
pub(super) fn short(id: &str) -> &str {
    id.rsplit('-').next().unwrap_or(id)
}

pub(super) fn create(path: &Path, content: &[u8]) -> Result<()> {
    let mut file = File::create(path).with_context(|| format!("create {}", path.display()))?;
    file.write_all(content).with_context(|| format!("write {}", path.display()))
}

/// A small tree as a web shop has it.
fn make_uploads(root: &Path) -> Result<()> {
    for customer in 0..12_u32 {
        let directory = root.join(format!("customer-{customer:02}"));
        fs::create_dir_all(&directory).context("make the uploads")?;
        for picture in 0..25_u32 {
            let mut state = customer * 1000 + picture + 1;
            let size = 200 + state % 40 * 1000;
            let content: Vec<u8> = (0..size)
                .map(|_| {
                    // A multiplicative generator is enough for bytes that do not repeat.
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    state.to_be_bytes()[0]
                })
                .collect();
            create(&directory.join(format!("picture-{picture:02}.jpg")), &content)?;
        }
    }
    std::os::unix::fs::symlink("customer-00", root.join("newest")).context("make a link")
}

/// Compares every file of `expected` with its restored twin, which keeps its full path below the
/// target; gives their number.
fn compare_uploads(expected: &Path, target: &Path) -> Result<usize> {
    let below = expected.strip_prefix("/").context("the stage has an absolute path")?;
    let restored = target.join(below);
    let mut count = 0;
    let mut open = vec![PathBuf::new()];
    while let Some(directory) = open.pop() {
        let listed = fs::read_dir(expected.join(&directory)).context("list the uploads")?;
        for entry in listed {
            let entry = entry.context("list the uploads")?;
            let path = directory.join(entry.file_name());
            let kind = entry.file_type().context("look at an upload")?;
            if kind.is_dir() {
                open.push(path);
            } else {
                let (a, b) = (expected.join(&path), restored.join(&path));
                let equal = if kind.is_symlink() {
                    fs::read_link(&a).ok() == fs::read_link(&b).ok()
                } else {
                    same_content(&a, &b)?
                };
                ensure!(equal, "{} was not restored as it was", path.display());
                count += 1;
            }
        }
    }
    ensure!(count > 0, "no upload was compared");
    Ok(count)
}

pub(super) fn same_content(a: &Path, b: &Path) -> Result<bool> {
    let read = |path: &Path| fs::read(path).with_context(|| format!("read {}", path.display()));
    Ok(read(a)? == read(b)?)
}
