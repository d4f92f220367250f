//! The other rehearsal, `outlast demo --handover`: a backup product that is there already takes what instances drop, and
//! nothing of it is changed.

mod product;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, ensure};
use outlast_handover::State;
use outlast_handover::status::{DropStatus, Overview};
use outlast_types::{Clock, SystemClock};

use self::product::Product;
use super::scenes::{create, raise, same_content, short};
use super::stage::{self, Actor, Stage, words};
use super::story::Story;

const WORKLOAD: &str = "shop-db";
const NAME: &str = "nbu";
const DUMP: &str = "shop.sql";
/// Media write error.
const MEDIA_ERROR: &str = "84";

/// One `up` whose agent hands over, and a product beside it.
pub(super) struct HandedOver {
    stage: Stage,
    roles: Actor,
    share: PathBuf,
    product: Product,
}

impl HandedOver {
    /// Raises the stage.
    pub(super) fn open(
        directory: PathBuf,
        interrupted: Arc<AtomicBool>,
        story: &mut Story,
    ) -> Result<Self> {
        story.act("The stage: agent, vault and share, and a backup product that is there already");
        let stage = Stage::new(directory, interrupted)?;
        let [share, up, handed, hooks, tape] =
            ["share", "up", "handover", "netbackup/bin", "tape"].map(|name| stage.path(name));
        stage.run(&[OsStr::new("share"), OsStr::new("init"), share.as_os_str()])?;
        fs::create_dir(&up).context("make the directory of the roles")?;
        let shown = toml::Value::String(handed.to_string_lossy().into_owned());
        let text =
            format!("[[handover]]\nname = \"{NAME}\"\ndirectory = {shown}\nlayout = \"plain\"\n");
        create(&up.join("agent.toml"), text.as_bytes())?;
        let (roles, ready) = raise(&stage, "up", "127.0.0.1:0", &[("OUTLAST_AGENT_KEEP", "1")])?;
        story.tell(&format!("the share is {}", ready.share.display()));
        story.tell(&format!("the product's client reads {}, and nothing else", handed.display()));
        let mut arguments = words(&["handover", "hooks", "netbackup", "--policy", product::POLICY]);
        arguments.extend([OsStr::new("--directory"), handed.as_os_str()]);
        arguments.extend([OsStr::new("--into"), hooks.as_os_str()]);
        stage.wait_until("the agent has made the directory", || {
            Ok(handed.join("outlast-heartbeat.json").exists())
        })?;
        stage.run(&arguments)?;
        story.kept("its hooks are written; the directory is never empty, so that a job finds a fault only if there is one");
        let product = Product::new(handed, hooks, tape);
        Ok(Self { stage, roles, share: ready.share, product })
    }

    pub(super) fn play(mut self, story: &mut Story) -> Result<()> {
        let first = self.blue_is_taken(story)?;
        self.green_frees_the_space(story, &first)?;
        let third = self.a_job_fails(story)?;
        self.the_product_restores(story, &third)?;
        story.act("Curtain");
        self.roles.must_live()?;
        self.roles.stop()?;
        story.kept("agent and vault stopped cleanly");
        Ok(())
    }

    fn blue_is_taken(&mut self, story: &mut Story) -> Result<Dumped> {
        story.act("Release v1: blue drops, and the product's job takes it");
        let first = self.drop(1, "blue-1", "v1")?;
        let offered = self.wait_for(&first, State::Offered)?;
        story.kept(&format!("drop {} appeared whole, as {}", short(&first.id), offered.path));
        let job = self.product.job("INCR", "0")?;
        self.wait_for(&first, State::Read)?;
        story.kept("the client reported 0: read, and nothing is freed by that");
        self.confirm(&job, "0")?;
        self.wait_for(&first, State::Confirmed)?;
        self.wait_for_receipt(&first, "confirmed")?;
        story.kept("the product's catalogue says that the job ended well: confirmed, by a receipt on the share");
        Ok(first)
    }

    fn green_frees_the_space(&mut self, story: &mut Story, first: &Dumped) -> Result<()> {
        story.act("Release v2: blue is terminated, green drops, and the space comes back");
        let second = self.drop(2, "green-1", "v2")?;
        self.wait_for(&second, State::Offered)?;
        self.wait_for_receipt(first, "vaulted")?;
        ensure!(self.find(first)?.is_some(), "the only confirmed drop has left");
        story.tell("blue-1 is gone; the product never knew it, so that no job of it can fail");
        let job = self.product.job("INCR", "0")?;
        self.confirm(&job, "0")?;
        self.wait_for(&second, State::Confirmed)?;
        self.stage.wait_until("the first drop leaves directory and share", || {
            let receipts = self.share.join("w").join(WORKLOAD).join("receipts");
            let released = receipts.join(format!("{}.released.json", first.id)).exists();
            Ok(released && self.find(first)?.is_none())
        })?;
        story.kept(&format!(
            "drop {} has left directory and share: product and vault hold it, and a newer one is confirmed",
            short(&first.id)
        ));
        Ok(())
    }

    fn a_job_fails(&mut self, story: &mut Story) -> Result<Dumped> {
        story.act("A job fails, after its client has reported success");
        let third = self.drop(3, "green-1", "v2")?;
        self.wait_for(&third, State::Offered)?;
        let job = self.product.job("INCR", "0")?;
        self.confirm(&job, MEDIA_ERROR)?;
        let mut why = String::new();
        self.stage.wait_until("status tells of the failure", || {
            why = self.find(&third)?.map(|it| it.why).unwrap_or_default();
            Ok(why.contains(&format!("status {MEDIA_ERROR}")))
        })?;
        story.kept(&format!("`outlast handover status` says why it is still there: {why}"));
        ensure!(self.is_on_share(&third), "an unconfirmed drop left the share");
        story.kept("nothing of it was released, neither from the directory nor from the share");
        let again = self.product.job("FULL", "0")?;
        self.confirm(&again, "0")?;
        self.wait_for(&third, State::Confirmed)?;
        story.kept("the next job took it, and the catalogue confirms it");
        Ok(third)
    }

    fn the_product_restores(&self, story: &mut Story, newest: &Dumped) -> Result<()> {
        story.act("Years later: the product restores to another host");
        let [restored, into] = ["restored", "seed"].map(|name| self.stage.path(name));
        self.product.restore(&restored)?;
        let verify = [OsStr::new("handover"), OsStr::new("verify"), restored.as_os_str()];
        self.stage.run(&verify)?;
        story.kept("`outlast handover verify`: every file is as its manifest says");
        let mut arguments = words(&["fetch", "--workload", WORKLOAD, "--from"]);
        arguments.extend([restored.as_os_str(), OsStr::new("--into"), into.as_os_str()]);
        self.stage.run(&arguments)?;
        let below = newest.content.strip_prefix("/").context("the stage has an absolute path")?;
        let fetched = [into.join(below), into.join(DUMP)].into_iter().find(|path| path.exists());
        let fetched = fetched.context("find the dump that was fetched")?;
        ensure!(same_content(&newest.content, &fetched)?, "other bytes came back");
        story.kept(
            "`outlast fetch --from` gave the dump back, byte by byte, without agent and vault",
        );
        Ok(())
    }

    // ---- what the parts do -------------------------------------------------------------------

    fn drop(&self, number: u32, instance: &str, release: &str) -> Result<Dumped> {
        let directory = self.stage.path(&format!("dump-{number}"));
        fs::create_dir(&directory).context("make a dump")?;
        let content = directory.join(DUMP);
        let line = format!("INSERT INTO orders VALUES ({number}, 'an order of {release}');\n");
        create(&content, line.repeat(20_000).as_bytes())?;
        let mut arguments = words(&["drop", "--workload", WORKLOAD, "--instance", instance]);
        arguments.extend(words(&["--release", release, "--share"]));
        arguments.extend([self.share.as_os_str(), content.as_os_str()]);
        let id = self.stage.run(&arguments)?.trim().to_owned();
        Ok(Dumped { id, content })
    }

    /// What the product's catalogue says of a job.
    fn confirm(&self, job: &str, status: &str) -> Result<()> {
        let mut arguments = words(&["handover", "confirm", "--job", job, "--status", status]);
        arguments.extend(words(&["--reason", "its catalogue says so", "--directory"]));
        arguments.push(self.product.directory().as_os_str());
        self.stage.run(&arguments).map(drop)
    }

    fn find(&self, dumped: &Dumped) -> Result<Option<DropStatus>> {
        let drops = Overview::read(self.product.directory())?.drops(SystemClock.now());
        Ok(drops.into_iter().find(|it| it.drop == dumped.id))
    }

    fn wait_for(&self, dumped: &Dumped, state: State) -> Result<DropStatus> {
        let mut found = None;
        let what = format!("drop {} is {state:?}", dumped.id);
        let waited = self.stage.wait_until(&what, || {
            found = self.find(dumped)?.filter(|it| it.state >= state);
            Ok(found.is_some())
        });
        waited.map_err(|error| stage::with_words(format!("{error:#}"), self.roles.last_words()))?;
        found.context("find the drop")
    }

    fn wait_for_receipt(&self, dumped: &Dumped, state: &str) -> Result<()> {
        let receipts = self.share.join("w").join(WORKLOAD).join("receipts");
        let receipt = receipts.join(format!("{}.{state}.json", dumped.id));
        let what = format!("drop {} is {state}", dumped.id);
        self.stage
            .wait_until(&what, || Ok(receipt.exists()))
            .map(drop)
            .map_err(|error| stage::with_words(format!("{error:#}"), self.roles.last_words()))
    }

    fn is_on_share(&self, dumped: &Dumped) -> bool {
        let days = fs::read_dir(self.share.join("w").join(WORKLOAD).join("drops"));
        days.into_iter().flatten().flatten().any(|day| is_in(&day.path(), &dumped.id))
    }
}

fn is_in(day: &Path, drop: &str) -> bool {
    day.join(drop).join("sealed.json").exists()
}

/// A drop, and what it was made of.
struct Dumped {
    id: String,
    content: PathBuf,
}
