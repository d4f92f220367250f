//! `outlast workload rename`: gives the order, and waits until the vault knows the workload by its new name.

use std::time::Duration;

use anyhow::{Result, bail};
use outlast_types::{Environment, Interrupt, Timestamp, WorkloadName};
use outlast_wire::api::{OrderView, RenameOrder};
use outlast_wire::{ApiClient, CallError};

use crate::commands::vault_access::VaultAccess;
use crate::output::Output;

/// How long a vault may take to begin anew: to end what is under way, and to look at all that it has.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long to wait between two looks.
const LOOK: Duration = Duration::from_millis(250);

pub(super) const HELP: &str = "\
The vault ends and begins anew for it, which takes a moment; agents come again by themselves. What instances
still drop under the old name goes on into the same repository until the date; what they drop later waits on
the share, and is an incident. Policy that names the old name holds for the new one, unless it names that.

Examples:
  outlast workload rename shop-db shop-database --dir ./outlast-data
  outlast workload rename shop-db shop-database --until 2027-03-01T00:00:00Z --dir ./outlast-data";

/// What `workload rename` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The workload's name, as `outlast workload list` shows it
    workload: WorkloadName,
    /// The name that it is to have, which no other workload has or had
    to: WorkloadName,
    /// Until when the old name is accepted [default: for 30 days]; may be given anew later
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
    /// Why, for those who read it later
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    vault: VaultAccess,
}

/// Gives the order; what was ordered.
pub(super) fn run(arguments: &Args, output: &Output) -> Result<OrderView> {
    let Args { workload, to, until, reason, vault } = arguments;
    let client = vault.client()?;
    let order = RenameOrder { to: to.clone(), until: *until, reason: reason.clone() };
    let order = client.rename(workload, &order)?;
    output.patiently(client.location(), || wait(&client, workload))?;
    Ok(order)
}

/// Waits until the vault knows no workload by the old name: it has begun anew.
fn wait(client: &ApiClient, old: &WorkloadName) -> Result<()> {
    let environment = Environment::system();
    let began = environment.timer.elapsed();
    loop {
        match client.workload(old) {
            Ok(view) if view.name != *old => return Ok(()),
            // It is accepted no more.
            Err(CallError::Refused { .. }) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.is_passing() => {}
            Err(error) => return Err(error.into()),
        }
        if environment.timer.elapsed().saturating_sub(began) > PATIENCE {
            bail!(
                "{} took the order, and has not begun anew since: its next start makes it good",
                client.location()
            );
        }
        environment.timer.pause(LOOK, &Interrupt::default());
    }
}
