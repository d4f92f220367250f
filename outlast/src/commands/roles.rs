//! `outlast agent` and `outlast vault`: one long-running role, configured by a file.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use outlast_agent::{Agent, AgentConfig, Shutdown};
use outlast_vault::{Doors, Vault, VaultConfig};
use serde_json::json;
use tracing_subscriber::EnvFilter;

use crate::exit::Code;
use crate::output::{Output, counted};
use crate::settings;
use crate::signals::Signals;

/// Run the agent: verify what instances drop, ship it, let it go when it is vaulted
#[derive(Debug, clap::Args)]
#[command(after_help = "Each key of the file can be set by the environment: OUTLAST_AGENT_POLL=5s.

Example:
  outlast agent --config /etc/outlast/agent.toml")]
pub(crate) struct AgentArgs {
    /// The role's configuration, in TOML; `outlast up` writes one to start from
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// Run the vault: keep repositories, publish snapshots, watch over promises
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Each key of the file can be set by the environment: OUTLAST_VAULT_LISTEN=0.0.0.0:8443.

Examples:
  outlast vault --config /etc/outlast/vault.toml
  outlast vault --config /etc/outlast/vault.toml --rebuild-catalog   # of a vault that is stopped"
)]
pub(crate) struct VaultArgs {
    /// The role's configuration, in TOML; `outlast up` writes one to start from
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Make the catalog anew from the repositories, and end; the vault must not be running
    #[arg(long)]
    rebuild_catalog: bool,
}

pub(crate) fn vault(arguments: &VaultArgs, output: &Output) -> Result<Code> {
    let signals = Signals::catch()?;
    log_to_standard_error();
    let table = settings::read(&arguments.config)?;
    let config = VaultConfig::parse(&settings::with_environment(table, "vault")?)?;
    if arguments.rebuild_catalog {
        return rebuild_catalog(&config, output);
    }
    let vault = Vault::start(config, Doors::system())?;
    output.remark(format_args!("the vault serves at {}", vault.url()));
    signals.wait();
    vault.shutdown();
    Ok(Code::Done)
}

fn rebuild_catalog(config: &VaultConfig, output: &Output) -> Result<Code> {
    let rebuilt = Vault::rebuild(config, &Doors::system())?;
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

pub(crate) fn agent(arguments: &AgentArgs, output: &Output) -> Result<Code> {
    let signals = Signals::catch()?;
    log_to_standard_error();
    let table = settings::read(&arguments.config)?;
    let agent = AgentThread::start(&settings::with_environment(table, "agent")?)?;
    output.remark("the agent is at work");
    signals.wait();
    agent.stop()?;
    Ok(Code::Done)
}

/// The agent at work on a thread of its own.
pub(crate) struct AgentThread {
    shutdown: Shutdown,
    thread: JoinHandle<()>,
}

impl AgentThread {
    /// Starts an agent with the configuration in the TOML text `config`.
    pub(crate) fn start(config: &str) -> Result<Self> {
        let config = AgentConfig::parse(config)?;
        let mut agent = Agent::start(config, outlast_agent::Doors::system())?;
        let shutdown = Shutdown::default();
        let heard = shutdown.clone();
        let thread = std::thread::Builder::new()
            .name("agent".to_owned())
            .spawn(move || agent.run(&heard))
            .context("cannot start the agent's thread")?;
        Ok(Self { shutdown, thread })
    }

    /// Asks it to stop, and waits for that.
    pub(crate) fn stop(self) -> Result<()> {
        self.shutdown.request();
        self.thread.join().map_err(|_| anyhow::anyhow!("the agent ended in a panic; see the log"))
    }
}

/// Sends what the roles have to say to standard error: `RUST_LOG` chooses what, and
/// `OUTLAST_LOG_FORMAT=json` makes every line a JSON document.
pub(crate) fn log_to_standard_error() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let json = std::env::var("OUTLAST_LOG_FORMAT").is_ok_and(|format| format == "json");
    // Fails only if a log was set up already, which then goes on.
    let _ = if json {
        builder.json().try_init()
    } else {
        let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        builder.with_ansi(colour).with_target(false).try_init()
    };
}
