//! `outlast agent` and `outlast vault`: one long-running role, configured by a file, and what else is done
//! with a vault.

mod import;
mod policy_file;
mod recover;
mod reload;
mod vault_config;

use outlast_types::Environment;
use std::path::{Path, PathBuf};
use std::process;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use outlast_agent::{Agent, Asking, Changes, Shutdown};
use outlast_fs::durable;
use outlast_vault::VaultConfig;
use outlast_wire::Roads;
use outlast_wire::outside::{Lookout, Watcher};
use serde_json::{Value, json};

use super::sources::{Sources, settings_of};
use crate::exit::Code;
use crate::log::{Log, LogArgs};
use crate::notify::Service;
use crate::output::{Output, counted};
use crate::proxies::proxies;
use crate::settings::key::RoleKeys;
use crate::settings::table::{AGENT, VAULT};
use crate::settings::{AgentSettings, Document};
use crate::signals::{Hangups, Signals};

pub(crate) use reload::Reload;
pub(crate) use vault_config::{policy_file, saved_with_vault, vault_config};

use vault_config::VAULT_TAKES;

/// How long the roles may take to end; then what is under way is cut off, which harms nothing.
/// Less than the thirty seconds that service managers and clusters give before they kill.
pub(crate) const PATIENCE: Duration = Duration::from_secs(25);

/// The keys of an agent that it takes over without a restart.
const AGENT_TAKES: [&str; 13] = [
    "agent.poll",
    "agent.grace",
    "agent.keep",
    "agent.patience",
    "agent.receipts_keep",
    "agent.budget",
    "agent.share_budget",
    "agent.drop_max",
    "agent.ratio_max",
    "workloads.drop_max",
    "workloads.budget",
    "agent.vault_silence",
    "route.*",
];

/// How often it is looked whether the roles live.
const LOOK: Duration = Duration::from_millis(500);

/// Run the agent: verify what instances drop, ship it, let it go when it is vaulted
#[derive(Debug, clap::Args)]
#[command(after_help = agent_help())]
pub(crate) struct AgentArgs {
    /// The role's configuration, in TOML; `outlast up` writes one to start from
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Write this file, as JSON, when the role is at work; it is gone when it is not any more
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    #[command(flatten)]
    log: LogArgs,
}

/// Run the vault: keep repositories, publish snapshots, watch over promises
#[derive(Debug, clap::Args)]
#[command(after_help = vault_help())]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct VaultArgs {
    #[command(subcommand)]
    command: Option<recover::Command>,
    /// The role's configuration, in TOML; `outlast up` writes one to start from
    #[arg(long, value_name = "FILE", required = true)]
    config: Option<PathBuf>,
    /// Write this file, as JSON, when the vault serves; it is gone when it does not
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// Make the catalog anew from the repositories, and end; the vault must not be running
    #[arg(long)]
    rebuild_catalog: bool,
    #[command(flatten)]
    log: LogArgs,
}

impl VaultArgs {
    /// Whether the role itself is to run.
    pub(crate) fn is_the_role(&self) -> bool {
        self.command.is_none()
    }
}

/// The help of a role: its keys from their table, and `more`.
pub(crate) fn help(role: &RoleKeys, example: &str, more: &str) -> String {
    let keys = role.help();
    format!(
        "{keys}
Each key can be set by the environment: {example}. `outlast config show {} --config FILE` prints
what is in force.

The files of the identity are looked at while it is in use: what replaces them counts within a second for
all connections and signatures from then on, without a restart or a signal. Files that cannot be used are
told in the log, and those of before go on to serve.

{more}",
        role.name
    )
}

fn agent_help() -> String {
    help(
        &AGENT,
        "OUTLAST_AGENT_POLL=5s",
        "SIGTERM and SIGINT end it in order, within 25 seconds in any case, and a second one at once: what is under
way goes on at the next start. SIGHUP reads the file again: poll, grace, keep, patience, receipts_keep, budgets,
limits, vault_silence and routes take effect at once, and the log names each changed key, and those that want a restart. In a container, the file after --ready-file is what a
readiness probe looks for.

Examples:
  outlast agent --config /etc/outlast/agent.toml
  outlast agent --config /etc/outlast/agent.toml --ready-file /run/outlast-agent.ready",
    )
}

fn vault_help() -> String {
    help(
        &VAULT,
        "OUTLAST_VAULT_LISTEN=:8443",
        "SIGTERM and SIGINT end it in order, within 25 seconds in any case, and a second one at once. SIGHUP reads
the file again: what it says of promises, classes, workloads, content, keeping and routes takes effect at once, and the
log names each changed key, and those that want a restart; a file with a flaw changes nothing. In a container, the file after --ready-file is what a readiness probe looks for.

Examples:
  outlast vault --config /etc/outlast/vault.toml
  outlast vault --config /etc/outlast/vault.toml --rebuild-catalog   # of a vault that is stopped
  outlast vault recover --from /mnt/repos --kit ./kit --passphrase-file F --dir /srv/outlast",
    )
}

pub(crate) fn vault(arguments: &VaultArgs, output: &Output) -> Result<Code> {
    let _log = Log::start(&arguments.log);
    if let Some(command) = &arguments.command {
        return recover::run(command, output);
    }
    let config = arguments.config.as_deref().context("name the configuration by --config")?;
    if arguments.rebuild_catalog {
        // Begun anew whenever it is broken off, so a signal ends it as it ends other commands.
        Signals::end_first_process()?;
        let config = vault_config(config)?;
        return rebuild_catalog(&config, output);
    }
    let (signals, hangups) = Signals::catch_but_hangups(PATIENCE)?;
    let mut ready = ReadyFile::new(arguments.ready_file.as_deref())?;
    let mut reload = Reload::of(&VAULT, config, &VAULT_TAKES)?;
    let config = vault_config(config)?;
    let environment = Environment::system();
    let mut service = Service::of_environment(std::slice::from_ref(&environment.pulse));
    let vault = outlast_vault::start(config, environment)?;
    ready.write(&json!({ "url": vault.url(), "process": process::id() }))?;
    let again = || {
        reload.again(vault_config, |new| match vault.adopt(&new) {
            Ok(()) => tracing::info!("policy and routes hold from now on"),
            Err(error) => tracing::error!("what held before holds: {error}"),
        });
    };
    let fault = || {
        vault.begin_again_if_due();
        vault.fault()
    };
    attend_hearing(&signals, Some((&hangups, again)), &mut service, fault)?;
    drop(ready);
    vault.shutdown();
    Ok(Code::Done)
}

fn rebuild_catalog(config: &VaultConfig, output: &Output) -> Result<Code> {
    let rebuilt = outlast_vault::rebuild(config, &Environment::system())?;
    if output.is_json() {
        output.json(&json!({ "workloads": rebuilt.workloads, "snapshots": rebuilt.snapshots }))?;
    } else {
        output.line(format_args!(
            "rebuilt the catalog: {} of {}",
            counted(rebuilt.snapshots as u64, "snapshot"),
            counted(rebuilt.workloads as u64, "workload")
        ))?;
    }
    Ok(Code::Done)
}

pub(crate) fn agent(arguments: &AgentArgs) -> Result<Code> {
    let (signals, hangups) = Signals::catch_but_hangups(PATIENCE)?;
    let _log = Log::start(&arguments.log);
    let mut ready = ReadyFile::new(arguments.ready_file.as_deref())?;
    let mut reload = Reload::of(&AGENT, &arguments.config, &AGENT_TAKES)?;
    let mut settings = settings_of(&Document::read(&arguments.config)?)?;
    settings.config.proxies = proxies()?;
    let environment = Environment::system();
    let mut service = Service::of_environment(std::slice::from_ref(&environment.pulse));
    let agent = AgentThread::start(&settings, &arguments.config, environment, &arguments.log)?;
    ready.write(&json!({ "process": process::id() }))?;
    let changes = agent.changes.clone();
    let read = |path: &Path| settings_of(&Document::read(path)?);
    let again = || {
        reload.again(read, |new| {
            agent.lookout.set(&new.lookout);
            changes.put(new.config);
        });
    };
    attend_hearing(&signals, Some((&hangups, again)), &mut service, || agent.fault())?;
    drop(ready);
    agent.stop()?;
    Ok(Code::Done)
}

/// Waits for a signal, and watches over the roles meanwhile: one that has ended although nobody
/// asked for it is an error, and the end of the process, so that whoever started it starts it again.
/// The service manager hears of all of it.
pub(crate) fn attend(
    signals: &Signals,
    service: &mut Service,
    fault: impl Fn() -> Option<&'static str>,
) -> Result<()> {
    attend_hearing(signals, None::<(&Hangups, fn())>, service, fault)
}

/// The same, where a hangup lets something be done, such as reading the configuration again.
pub(crate) fn attend_hearing(
    signals: &Signals,
    mut hearing: Option<(&Hangups, impl FnMut())>,
    service: &mut Service,
    fault: impl Fn() -> Option<&'static str>,
) -> Result<()> {
    service.ready();
    let told_to_stop = || {
        service.watch();
        if let Some((hangups, again)) = &mut hearing
            && hangups.take()
        {
            service.reloading();
            again();
            service.ready();
        }
        signals.wait(LOOK).is_some()
    };
    watch(told_to_stop, fault).inspect_err(|_| {
        // Whatever is broken must not keep the rest from ending.
        end_within(PATIENCE);
    })?;
    service.stopping();
    tracing::info!("stopping");
    Ok(())
}

/// Looks at `fault` until `told_to_stop`, which waits a while each time.
fn watch(
    mut told_to_stop: impl FnMut() -> bool,
    fault: impl Fn() -> Option<&'static str>,
) -> Result<()> {
    while !told_to_stop() {
        if let Some(fault) = fault() {
            bail!("{fault}, although nobody asked for it; what happened is in the log");
        }
    }
    Ok(())
}

/// Lets the process fail if it has not ended by then.
fn end_within(patience: Duration) {
    // If there is no thread to be had, it is only later.
    let _ = thread::Builder::new().name("end".to_owned()).spawn(move || {
        thread::sleep(patience);
        process::exit(i32::from(Code::Failed as u8));
    });
}

/// The file that tells others, such as a container's probe, that the roles serve. It is there while
/// they do: one that an earlier process left behind is removed first.
pub(crate) struct ReadyFile(Option<PathBuf>);

impl ReadyFile {
    pub(crate) fn new(path: Option<&Path>) -> Result<Self> {
        if let Some(path) = path {
            match durable::remove_file(path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("cannot remove {}", path.display()));
                }
                _ => {}
            }
        }
        Ok(Self(path.map(Path::to_owned)))
    }

    pub(crate) fn write(&mut self, document: &Value) -> Result<()> {
        let Some(path) = &self.0 else { return Ok(()) };
        let document = serde_json::to_vec_pretty(document).context("cannot say what serves")?;
        durable::replace(path, &document, 0o644)
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

impl Drop for ReadyFile {
    fn drop(&mut self) {
        if let Some(path) = self.0.take() {
            // The next start removes what cannot be removed now.
            let _ = durable::remove_file(&path);
        }
    }
}

/// The agent at work on a thread of its own, and what it backs up itself.
pub(crate) struct AgentThread {
    shutdown: Shutdown,
    changes: Changes,
    thread: JoinHandle<()>,
    sources: Option<Sources>,
    lookout: Lookout,
}

impl AgentThread {
    /// Starts an agent that is configured by `file`.
    pub(crate) fn start(
        settings: &AgentSettings,
        file: &Path,
        environment: Environment,
        log: &LogArgs,
    ) -> Result<Self> {
        let mut agent = Agent::start(settings.config.clone(), environment.clone())?;
        let sources = Sources::start(settings, log)?.map(|(sources, own)| {
            agent.answer_for(own);
            sources
        });
        let program = std::env::current_exe().context("cannot tell which program this is")?;
        agent.ask_products_by(Asking { program, config: file.to_owned() });
        let lookout = lookout(settings, &agent, &environment)?;
        let (shutdown, changes) = (Shutdown::default(), agent.changes());
        let heard = shutdown.clone();
        let thread = thread::Builder::new()
            .name("agent".to_owned())
            .spawn(move || agent.run(&heard))
            .context("cannot start the agent's thread")?;
        Ok(Self { shutdown, changes, thread, sources, lookout })
    }

    /// What is wrong with it, if it has ended.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        let ended = self.thread.is_finished().then_some("the agent has ended");
        let blind = self.lookout.has_ended().then_some("what watches over the vault has ended");
        ended.or(blind).or_else(|| self.sources.as_ref()?.fault())
    }

    /// Asks it to stop, and waits for that.
    pub(crate) fn stop(self) -> Result<()> {
        self.shutdown.request();
        self.sources.iter().for_each(Sources::ask_to_stop);
        let ended = self.thread.join();
        self.sources.map_or(Ok(()), Sources::stop)?;
        ended.map_err(|_| anyhow::anyhow!("the agent ended in a panic; see the log"))
    }
}

/// What watches over the vault of an agent.
fn lookout(settings: &AgentSettings, agent: &Agent, environment: &Environment) -> Result<Lookout> {
    let config = &settings.config;
    let watcher = Watcher {
        name: &agent.name(),
        vault: &config.upstream,
        means: "what is dropped stays on the share, and is shipped when the vault is back",
        directory: &config.state,
        heard: agent.vault_heard(),
    };
    let roads = Roads::through(config.proxies.clone());
    Lookout::start(&watcher, &settings.lookout, environment, roads)
        .context("cannot start the threads that watch over the vault")
}

#[cfg(test)]
mod tests {
    use outlast_types::Pulse;
    use outlast_wire::outside::LookoutConfig;

    use super::*;

    #[test]
    fn a_role_that_ends_by_itself_is_the_end_of_the_process() {
        let (shutdown, heard) = (Shutdown::default(), Shutdown::default());
        // The panic of a role, without its words among those of the tests.
        let thread = thread::spawn(move || {
            Environment::system().timer.pause(Duration::from_millis(1), &heard);
            std::panic::resume_unwind(Box::new("broken"));
        });
        let directory = tempfile::tempdir().unwrap();
        let watcher = Watcher {
            name: "agent/road-1",
            vault: "https://vault/",
            means: "",
            directory: directory.path(),
            heard: Pulse::default(),
        };
        let config = LookoutConfig { after: Duration::from_secs(900), routes: Vec::new() };
        let environment = Environment::system();
        let lookout = Lookout::start(&watcher, &config, &environment, Roads::default()).unwrap();
        let changes = Changes::default();
        let agent = AgentThread { shutdown, changes, thread, sources: None, lookout };
        let timer = Environment::system().timer;
        let told = || timer.pause(Duration::from_millis(1), &agent.shutdown);
        let ended = watch(told, || agent.fault());
        assert!(ended.unwrap_err().to_string().contains("the agent has ended"));
        assert!(agent.stop().unwrap_err().to_string().contains("panic"));
    }
}
