//! Three processes and the line between two of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use outlast_fs::durable;
use outlast_testing::faulty_line::FaultyLine;
use serde_json::Value;

use super::link::Link;
use crate::harness::{Role, Up, document, outlast, run, succeed, wait_until};

/// One of the processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tier {
    Agent,
    Media,
    Vault,
}

/// The processes, in the directory of an `up` that made what they need.
pub(super) struct Tiers {
    dir: PathBuf,
    pub(super) share: PathBuf,
    pub(super) line: FaultyLine,
    /// What the environment says to each of them.
    settings: Vec<(&'static str, String)>,
    agent: Option<Role>,
    media: Option<Role>,
    vault: Option<Role>,
    /// Where commands ask the vault.
    door: String,
    /// Beyond which the vault is, if it is not beside us. Goes after it.
    link: Option<Link>,
    /// The agent's program, if it is not this one.
    agent_program: Option<PathBuf>,
}

impl Tiers {
    /// Starts all three; the agent knows the media server only, and that one the vault behind the line.
    pub(super) fn start(stage: &Path) -> Self {
        Self::start_with(stage, "", &[])
    }

    /// The same, with the vault at the far end of a link.
    pub(super) fn start_over(stage: &Path, link: Link) -> Self {
        Self::begin_all(stage, "", &[], Some(link), None)
    }

    /// The same, beside us, with an agent of another release.
    pub(super) fn start_with_agent_of(stage: &Path, program: &Path) -> Self {
        Self::begin_all(stage, "", &[], None, Some(program.to_owned()))
    }

    /// The same, with this in `vault.toml` and these settings of all of them.
    pub(super) fn start_with(
        stage: &Path,
        policy: &str,
        settings: &[(&'static str, &str)],
    ) -> Self {
        Self::begin_all(stage, policy, settings, None, None)
    }

    fn begin_all(
        stage: &Path,
        policy: &str,
        settings: &[(&'static str, &str)],
        link: Option<Link>,
        agent_program: Option<PathBuf>,
    ) -> Self {
        let dir = stage.join("up");
        fs::create_dir(&dir).unwrap();
        // What `up` does not find there it adds.
        durable::replace(&dir.join("vault.toml"), policy.as_bytes(), 0o644).unwrap();
        // It makes certificates, share and configuration; then each role runs by itself.
        let mut up = Up::start(&dir);
        let share = up.share.clone();
        let token = stage.join("media.token");
        let mut make = up.ask(&["ca", "token", "--role", "media", "--name", "eu-1"]);
        succeed(make.args(["--host", "127.0.0.1", "--out"]).arg(&token));
        let identity = dir.join("identity/media");
        succeed(
            outlast().args(["enroll", "--token-file"]).arg(&token).arg("--identity").arg(&identity),
        );
        up.role.stop();
        let mut vault = value_in(&dir.join("vault.toml"), "listen");
        if let Some(link) = &link {
            let (_, port) = vault.rsplit_once(':').unwrap();
            let there = format!("{}:{port}", link.far_end());
            set_in(&dir.join("vault.toml"), &vault, &there);
            vault = there;
        }
        let line = FaultyLine::to(&*vault, 1).unwrap();
        // Its certificate says that it is here.
        let door = if link.is_some() { line.address().to_string() } else { vault };
        let media = format!(
            "[media]\ndir = {:?}\nlisten = \"127.0.0.1:0\"\nidentity = {:?}\nupstream = \"https://{}/\"\n",
            dir.join("media"),
            identity,
            line.address()
        );
        durable::replace(&dir.join("media.toml"), media.as_bytes(), 0o644).unwrap();
        let mut settings: Vec<_> =
            settings.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        settings.push(("OUTLAST_AGENT_POLL", "200ms".to_owned()));
        let (agent, media, vault) = (None, None, None);
        let mut tiers =
            Self { dir, share, line, settings, agent, media, vault, door, link, agent_program };
        tiers.begin(Tier::Vault);
        let url = tiers.begin(Tier::Media);
        // It listens there from now on, whenever it is started.
        let address = url.trim_start_matches("https://").trim_end_matches('/').to_owned();
        tiers.set("media", "127.0.0.1:0", &address);
        let upstream = value_in(&tiers.dir.join("agent.toml"), "upstream");
        tiers.set("agent", &upstream, &url);
        tiers.begin(Tier::Agent);
        tiers
    }

    /// Starts a tier, and waits until it serves; its address.
    pub(super) fn begin(&mut self, tier: Tier) -> String {
        let name = name(tier);
        let ready = self.dir.join(format!("{name}.ready"));
        let _ = fs::remove_file(&ready);
        let mut command = match (tier, &self.agent_program) {
            (Tier::Agent, Some(program)) => Command::new(program),
            _ => outlast(),
        };
        command.arg(name).arg("--config").arg(self.dir.join(format!("{name}.toml")));
        command.arg("--ready-file").arg(&ready);
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        if let (Tier::Vault, Some(link)) = (tier, &self.link) {
            command = link.beyond(&command);
        }
        let mut role = Role::start(&mut command, &self.dir.join(format!("{name}.log")));
        let mut told = None;
        wait_until(&format!("the {name} serves"), || {
            assert!(!role.has_ended(), "the {name} ended early:\n{}", role.words());
            told =
                fs::read(&ready).ok().and_then(|text| serde_json::from_slice::<Value>(&text).ok());
            told.is_some()
        });
        *self.role(tier) = Some(role);
        told.unwrap()["url"].as_str().unwrap_or_default().to_owned()
    }

    /// Gives a tier that runs a web hook, which it takes over without a restart.
    pub(super) fn add_route(&mut self, tier: Tier, url: &str) {
        let path = self.dir.join(format!("{}.toml", name(tier)));
        let before = fs::read_to_string(&path).unwrap();
        let route = format!("\n[[route]]\nname = \"hook\"\nkind = \"webhook\"\nurl = {url:?}\n");
        durable::replace(&path, format!("{before}{route}").as_bytes(), 0o644).unwrap();
        let role = self.role(tier).as_ref().unwrap();
        role.signal(rustix::process::Signal::HUP);
        wait_until("the route is taken over", || role.words().contains("was read again: route"));
    }

    /// kill -9.
    pub(super) fn kill(&mut self, tier: Tier) {
        let mut role = self.role(tier).take().unwrap();
        assert!(!role.has_ended(), "it ended by itself:\n{}", role.words());
        role.kill();
    }

    /// The agent is of this release when it begins again.
    pub(super) fn upgrade_agent(&mut self) {
        self.agent_program = None;
    }

    /// The agent knows the vault only when it begins again.
    pub(super) fn go_straight_to_the_vault(&self) {
        let upstream = value_in(&self.dir.join("agent.toml"), "upstream");
        self.set("agent", &upstream, &format!("https://{}/", self.door));
    }

    /// All that a tier said.
    pub(super) fn words(&self, tier: Tier) -> String {
        let role = match tier {
            Tier::Agent => &self.agent,
            Tier::Media => &self.media,
            Tier::Vault => &self.vault,
        };
        role.as_ref().map(Role::words).unwrap_or_default()
    }

    pub(super) fn link(&self) -> &Link {
        self.link.as_ref().unwrap()
    }

    pub(super) fn vault_directory(&self) -> PathBuf {
        self.dir.join("vault")
    }

    /// `outlast media WORD`, beside the media server.
    pub(super) fn media(&self, word: &str) -> Command {
        let mut command = outlast();
        command.args(["media", word, "--config"]).arg(self.dir.join("media.toml"));
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Whom instances believe.
    pub(super) fn authority(&self) -> PathBuf {
        self.dir.join("identity/agent/ca.pem")
    }

    /// Removes all that a media server that is not running has stored.
    pub(super) fn wipe_spool(&self) {
        fs::remove_dir_all(self.dir.join("media")).unwrap();
    }

    pub(super) fn drop(&self, workload: &str, file: &Path) -> String {
        let mut command = outlast();
        command.args(["drop", "--workload", workload, "--share"]).arg(&self.share).arg(file);
        succeed(&mut command).trim().to_owned()
    }

    pub(super) fn is_vaulted(&self, workload: &str, drop: &str) -> bool {
        self.receipt(workload, drop, "vaulted").exists()
    }

    #[track_caller]
    pub(super) fn wait_for_receipt(&mut self, workload: &str, drop: &str, state: &str) {
        let path = self.receipt(workload, drop, state);
        wait_until(&format!("drop {drop} of {workload} is {state}"), || {
            for tier in [Tier::Agent, Tier::Media, Tier::Vault] {
                if let Some(role) = self.role(tier) {
                    assert!(!role.has_ended(), "the {tier:?} ended early:\n{}", role.words());
                }
            }
            path.exists()
        });
    }

    fn receipt(&self, workload: &str, drop: &str, state: &str) -> PathBuf {
        self.share.join("w").join(workload).join("receipts").join(format!("{drop}.{state}.json"))
    }

    /// `outlast WORDS… --dir DIR`, for the commands that ask the vault.
    pub(super) fn ask(&self, words: &[&str]) -> Command {
        let plain = words.iter().take_while(|word| !word.starts_with("--")).count();
        let mut command = outlast();
        command.args(&words[..plain]).arg("--vault").arg(format!("https://{}/", self.door));
        command.arg("--identity").arg(self.dir.join("identity/operator")).args(&words[plain..]);
        command
    }

    /// How many snapshots a workload has.
    pub(super) fn snapshots(&self, workload: &str) -> usize {
        document(&mut self.ask(&["snapshots", workload, "--json"])).as_array().unwrap().len()
    }

    /// What stock restic finds in a file's place in the newest snapshot.
    pub(super) fn content(&self, workload: &str, file: &Path) -> Vec<u8> {
        run(self.restic(workload).args(["dump", "latest"]).arg(file)).stdout
    }

    /// The causes of all incidents, also of those that are over.
    pub(super) fn incidents(&self) -> Vec<String> {
        self.causes(&["incident", "list", "--all", "--json"])
    }

    /// Those of incidents that are not over.
    pub(super) fn open_incidents(&self) -> Vec<String> {
        self.causes(&["incident", "list", "--json"])
    }

    fn causes(&self, words: &[&str]) -> Vec<String> {
        let listed = document(&mut self.ask(words)).as_array().cloned().unwrap_or_default();
        listed.iter().map(|incident| incident["cause"].to_string()).collect()
    }

    /// Stock restic on the workload's repository in the vault, with the password kept there.
    pub(super) fn restic(&self, workload: &str) -> Command {
        let vault = self.dir.join("vault");
        let mut command = Command::new("restic");
        command.arg("-r").arg(vault.join("repos").join(workload));
        command.arg("--password-file").arg(vault.join(format!("keys/{workload}.password")));
        command.args(["--no-cache", "--no-lock"]);
        command
    }

    fn set(&self, role: &str, before: &str, after: &str) {
        set_in(&self.dir.join(format!("{role}.toml")), before, after);
    }

    fn role(&mut self, tier: Tier) -> &mut Option<Role> {
        match tier {
            Tier::Agent => &mut self.agent,
            Tier::Media => &mut self.media,
            Tier::Vault => &mut self.vault,
        }
    }
}

fn name(tier: Tier) -> &'static str {
    match tier {
        Tier::Agent => "agent",
        Tier::Media => "media",
        Tier::Vault => "vault",
    }
}

/// Changes a text in a configuration file.
fn set_in(path: &Path, before: &str, after: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(before), "{text}");
    durable::replace(path, text.replace(before, after).as_bytes(), 0o644).unwrap();
}

/// The value of a key in a configuration file.
fn value_in(path: &Path, key: &str) -> String {
    let text = fs::read_to_string(path).unwrap();
    let line = text.lines().find(|line| line.trim_start().starts_with(key)).unwrap().to_owned();
    line.split('"').nth(1).unwrap().to_owned()
}
