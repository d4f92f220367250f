//! `outlast workload …`: what is protected, whether its promises are kept, and what operators order.

mod deploying;
mod rename;

use std::time::Duration;

use anyhow::Result;
use clap::Subcommand;
use outlast_promise::Keep;
use outlast_types::{Timestamp, WorkloadName, human};
use outlast_wire::api::{
    DoubtfulDrop, IncidentView, KeepingOrder, MemberView, OrderView, PauseOrder, ReasonedOrder,
    RecreateOrder, ToldView, WorkloadView,
};
use outlast_wire::{ApiClient, CallError};
use serde_json::json;

use super::incident::addressee;
use super::keeping;
use super::vault_access::VaultAccess;
use crate::exit::Code;
use crate::output::whole_seconds;
use crate::output::{Output, counted, table};

/// Show workloads and their promises; pause, retire, resume and rename them
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  outlast workload list --dir ./outlast-data
  outlast workload show shop-db --dir ./outlast-data --json
  outlast workload pause shop-db --for 3d --reason \"data centre moves\" --dir ./outlast-data
  outlast workload retire old-name --reason \"the product ended\" --dir ./outlast-data")]
pub(crate) enum Command {
    /// All workloads, and all incidents
    #[command(after_help = "Examples:
  outlast workload list --dir ./outlast-data
  outlast workload list --vault https://vault.example:8443/ --identity ./id --json")]
    List {
        #[command(flatten)]
        vault: VaultAccess,
    },
    /// One workload and its incidents, and those of the platform that are open
    #[command(after_help = "Example:
  outlast workload show shop-db --dir ./outlast-data --json")]
    Show {
        /// The workload's name, as `outlast workload list` shows it
        workload: WorkloadName,
        #[command(flatten)]
        vault: VaultAccess,
    },
    /// Page nobody for a workload's recovery point for a time
    #[command(after_help = "When the pause ends, the promise counts as if there had been none.

Examples:
  outlast workload pause shop-db --for 3d --reason \"data centre moves\" --dir ./outlast-data
  outlast workload pause shop-db --until 2026-02-01T06:00:00Z --reason migration --dir ./outlast-data")]
    #[command(group = clap::ArgGroup::new("end").required(true).args(["duration", "until"]))]
    Pause {
        /// The workload's name, as `outlast workload list` shows it
        workload: WorkloadName,
        /// For how long, such as 12h or 3d; at most 366d
        #[arg(long = "for", value_name = "DURATION", value_parser = human::parse_duration)]
        duration: Option<Duration>,
        /// Until when, such as 2026-02-01T06:00:00Z
        #[arg(long, value_name = "TIME")]
        until: Option<Timestamp>,
        /// Why, for those who read it later
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        vault: VaultAccess,
    },
    /// Expect no more drops of a workload; what is vaulted stays
    ///
    /// For as long as its promise allows between two drops, a drop that was under way is no surprise.
    /// A later one is told, and the promise counts again.
    #[command(after_help = "Example:
  outlast workload retire old-name --reason \"the product ended\" --dir ./outlast-data")]
    Retire {
        /// The workload's name, as `outlast workload list` shows it
        workload: WorkloadName,
        /// Why, for those who read it later
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        #[command(flatten)]
        vault: VaultAccess,
    },
    /// Let the promise of a paused or retired workload count again
    #[command(after_help = "Example:
  outlast workload resume shop-db --dir ./outlast-data")]
    Resume {
        /// The workload's name, as `outlast workload list` shows it
        workload: WorkloadName,
        /// Why, for those who read it later
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        #[command(flatten)]
        vault: VaultAccess,
    },
    /// Give a workload another name: one repository, history and promise
    #[command(after_help = rename::HELP)]
    Rename(rename::Args),
    /// Say that a release begins: pages for its first drop wait, as far as policy allows
    #[command(after_help = deploying::HELP)]
    Deploying(deploying::Args),
    /// Let nothing of a workload go, whatever rules and operators say, until it is released
    #[command(after_help = "Examples:
  outlast workload hold shop-db --reason \"case 2026-114\" --person \"legal, J. Doe\" --dir ./outlast-data
  outlast workload hold shop-db --reason \"case 2026-114\" --snapshot 4f0b12ac --for 366d --dir ./outlast-data")]
    Hold {
        /// The workload's name, as `outlast workload list` shows it
        workload: WorkloadName,
        /// Why, for those who read it later
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Who wants it [default: who orders it]
        #[arg(long, value_name = "NAME")]
        person: Option<String>,
        /// For how long, such as 90d [default: until it is released]
        #[arg(long = "for", value_name = "DURATION", value_parser = human::parse_duration)]
        duration: Option<Duration>,
        /// Until when, such as 2027-02-01T06:00:00Z
        #[arg(long, value_name = "TIME", conflicts_with = "duration")]
        until: Option<Timestamp>,
        /// Only this snapshot, by its id or the beginning of it; may be given several times
        #[arg(long = "snapshot", value_name = "ID")]
        snapshots: Vec<String>,
        #[command(flatten)]
        vault: VaultAccess,
    },
    /// End a hold, or all holds of a workload
    #[command(after_help = "Example:
  outlast workload release shop-db --reason \"the case is closed\" --dir ./outlast-data")]
    Release {
        /// The workload's name, as `outlast workload list` shows it
        workload: WorkloadName,
        /// Only this one, by the number that `outlast snapshots WORKLOAD --kept` shows
        #[arg(long, value_name = "NUMBER")]
        hold: Option<u64>,
        /// Why, for those who read it later
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        vault: VaultAccess,
    },
    /// Ask another operator to agree that other rules hold for all snapshots that are here
    ///
    /// Each snapshot is kept by the rules that were in force when it came, at least. Rules that keep less
    /// reach it by this only, seven days after another operator has agreed.
    #[command(after_help = "Example:
  outlast workload shorten shop-db --keep daily=7 --reason \"the law changed\" --dir ./outlast-data")]
    Shorten {
        /// The workload's name, as `outlast workload list` shows it
        workload: WorkloadName,
        /// The rules, such as last=5,daily=7,within=30d
        #[arg(long, value_name = "RULES")]
        keep: Keep,
        /// Why, for those who read it later
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        vault: VaultAccess,
    },
    /// Ask another operator to agree that a retired repository is destroyed before its time
    #[command(after_help = "Example:
  outlast workload destroy old-name --reason \"the contract ended\" --dir ./outlast-data")]
    Destroy {
        /// The workload's name, as `outlast workload list` shows it
        workload: WorkloadName,
        /// Why, for those who read it later
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        vault: VaultAccess,
    },
    /// Begin a workload's repository anew that is missing for good
    ///
    /// A vault makes nothing in the place of a repository that it remembers and does not find, because
    /// its disk may only not be mounted. If it is lost for good, this sets aside what is left of it,
    /// forgets its snapshots, and lets the next drop begin a new one. It is refused while nothing is
    /// missing, and is kept in the list of orders that `outlast workload show` prints.
    #[command(after_help = "Example:
  outlast workload recreate shop-db --reason \"disk 3 burned\" --dir ./outlast-data")]
    Recreate {
        /// The workload's name, as `outlast workload list` shows it
        workload: WorkloadName,
        /// Why, for those who read it later
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        vault: VaultAccess,
    },
}

pub(crate) fn run(command: &Command, output: &Output) -> Result<Code> {
    match command {
        Command::List { vault } => {
            let client = vault.client()?;
            let ask = || Ok::<_, CallError>((client.workloads()?, client.incidents()?));
            let (workloads, incidents) = output.patiently(client.location(), ask)?;
            if output.is_json() {
                output.json(&json!({ "workloads": workloads, "incidents": incidents }))?;
            } else {
                tell(&workloads, &incidents, output)?;
            }
        }
        Command::Show { workload, vault } => show(&vault.client()?, workload, output)?,
        Command::Pause { workload, duration, until, reason, vault } => {
            let order = PauseOrder {
                for_seconds: duration.map(|duration| duration.as_secs()),
                until: *until,
                reason: reason.clone(),
            };
            let client = vault.client()?;
            order_each(&client, workload, |name| client.pause(name, &order), output)?;
        }
        Command::Retire { workload, reason, vault } => {
            let order = ReasonedOrder { reason: reason.clone() };
            let client = vault.client()?;
            order_each(&client, workload, |name| client.retire(name, &order), output)?;
        }
        Command::Resume { workload, reason, vault } => {
            let order = ReasonedOrder { reason: reason.clone() };
            let client = vault.client()?;
            order_each(&client, workload, |name| client.resume(name, &order), output)?;
        }
        Command::Deploying(arguments) => deploying::run(arguments, output)?,
        Command::Rename(arguments) => tell_order(&rename::run(arguments, output)?, output)?,
        Command::Hold { workload, reason, person, duration, until, snapshots, vault } => {
            let order = KeepingOrder::Hold {
                person: person.clone(),
                for_seconds: duration.map(|duration| duration.as_secs()),
                until: *until,
                snapshots: snapshots.clone(),
                reason: reason.clone(),
            };
            return keeping::order(&vault.client()?, workload, &order, output);
        }
        Command::Release { workload, hold, reason, vault } => {
            let order = KeepingOrder::Release { hold: *hold, reason: reason.clone() };
            return keeping::order(&vault.client()?, workload, &order, output);
        }
        Command::Shorten { workload, keep, reason, vault } => {
            let (keep, reason) = (keep.to_string(), reason.clone());
            let order = KeepingOrder::RequestShorten { keep, reason };
            return keeping::order(&vault.client()?, workload, &order, output);
        }
        Command::Destroy { workload, reason, vault } => {
            let order = KeepingOrder::RequestDestroy { reason: reason.clone() };
            return keeping::order(&vault.client()?, workload, &order, output);
        }
        Command::Recreate { workload, reason, vault } => {
            let order = RecreateOrder { reason: reason.clone() };
            let order = vault.client()?.recreate(workload, &order)?;
            tell_order(&order, output)?;
        }
    }
    Ok(Code::Done)
}

fn show(client: &ApiClient, name: &WorkloadName, output: &Output) -> Result<()> {
    let mut incidents = client.incidents()?;
    // What the platform team has open may be why this one's drops do not arrive.
    let workloads = [client.workload(name)?];
    let members: Vec<&WorkloadName> = workloads[0].members.iter().map(|it| &it.name).collect();
    incidents.retain(|incident| match &incident.workload {
        Some(of) => of == name || members.contains(&of),
        None => incident.resolved.is_none(),
    });
    let orders = client.orders(Some(name))?;
    if output.is_json() {
        let document = json!({ "workloads": workloads, "incidents": incidents, "orders": orders });
        return output.json(&document);
    }
    if let Some(told) = &workloads[0].told {
        tell_standing(told, output)?;
    }
    tell(&workloads, &incidents, output)?;
    tell_members(&workloads[0], output)?;
    if let [WorkloadView { rpo_from: Some(rpo), owner_from: Some(owner), .. }] = &workloads {
        output.gap()?;
        output.line(format_args!("its RPO is from: {rpo}; its owner: {owner}"))?;
    }
    let [WorkloadView { suspect, quarantine, failing, safe, last_confirmed, last_safe, .. }] =
        &workloads;
    if let Some(safe) = safe.as_ref().filter(|safe| *safe != "vaulted") {
        let last = last_confirmed.map_or_else(|| "never".to_owned(), whole_seconds);
        let point = last_safe.map_or_else(|| "none".to_owned(), whole_seconds);
        output.line(format_args!(
            "what counts as safe: {safe}; newest recovery point: {point}; last confirmed drop: {last}"
        ))?;
    }
    if let Some(failing) = failing {
        output.gap()?;
        output.line(format_args!("its agent cannot make a drop now: {failing}"))?;
    }
    tell_doubtful(suspect.as_ref(), quarantine, output)?;
    if !orders.is_empty() {
        output.gap()?;
        output.line("ordered:")?;
    }
    orders.iter().try_for_each(|order| output.line(format_args!("  {}", in_words(order))))
}

/// How a workload stands, in a sentence, and what to do next.
fn tell_standing(told: &ToldView, output: &Output) -> Result<()> {
    output.line(&told.sentence)?;
    if let Some(next) = &told.next {
        output.line(format_args!("next: {next}"))?;
    }
    if let Some(class) = &told.class {
        output.line(format_args!(
            "class {class}: {}, by the clocks of {}",
            told.promise, told.zone
        ))?;
    }
    for (key, words) in told.terms.iter().flatten() {
        output.line(format_args!("{key}: {words}"))?;
    }
    if !told.also.is_empty() {
        output.line(format_args!("also told: {}", told.also.join(", ")))?;
    }
    output.gap()
}

/// The drops that are no recovery points, and why.
fn tell_doubtful(
    suspect: Option<&DoubtfulDrop>,
    quarantine: &[DoubtfulDrop],
    output: &Output,
) -> Result<()> {
    if suspect.is_none() && quarantine.is_empty() {
        return Ok(());
    }
    output.gap()?;
    if let Some(DoubtfulDrop { drop, received, reason }) = suspect {
        let received = received.map_or_else(|| "-".to_owned(), whole_seconds);
        output
            .line(format_args!("suspect, so it does not count: {drop} of {received}: {reason}"))?;
    }
    for DoubtfulDrop { drop, reason, .. } in quarantine {
        output.line(format_args!("in quarantine on its share: {drop}: {reason}"))?;
    }
    output.remark("`outlast share accept DROP` takes one for a backup all the same");
    Ok(())
}

/// Gives an order for a workload; for one that consists of others, to each of them.
fn order_each(
    client: &ApiClient,
    name: &WorkloadName,
    give: impl Fn(&WorkloadName) -> Result<OrderView, CallError>,
    output: &Output,
) -> Result<()> {
    // One that the vault does not know is for the order itself to be refused.
    let members = client.workload(name).map_or_else(|_| Vec::new(), |view| view.members);
    if members.is_empty() {
        return tell_order(&give(name)?, output);
    }
    let mut orders = Vec::new();
    for member in members {
        let order = give(&member.name)?;
        if !output.is_json() {
            output.line(in_words(&order))?;
        }
        orders.push(order);
    }
    if output.is_json() { output.json(&orders) } else { Ok(()) }
}

/// What was ordered just now.
fn tell_order(order: &OrderView, output: &Output) -> Result<()> {
    if output.is_json() { output.json(order) } else { output.line(in_words(order)) }
}

/// An order as one line: `2026-11-25T18:00:00Z operator up: recreate shop-db, 3 snapshots …`.
fn in_words(order: &OrderView) -> String {
    let OrderView { by, action, workload, .. } = order;
    let mut line = format!("{} {by}: {action} {workload}", whole_seconds(order.at));
    if let Some(to) = &order.to {
        line.push_str(&format!(" to {to}, and accept the name of before"));
    }
    if let Some(drop) = order.drop {
        line.push_str(&format!(" drop {drop}"));
    }
    if let Some(until) = order.until {
        line.push_str(&format!(" until {}", whole_seconds(until)));
    }
    if let Some(count) = order.snapshots_forgotten {
        line.push_str(&format!(", {} forgotten", counted(count, "snapshot")));
    }
    if let Some(reason) = &order.reason {
        line.push_str(&format!("; {reason}"));
    }
    line
}

fn tell(workloads: &[WorkloadView], incidents: &[IncidentView], output: &Output) -> Result<()> {
    let rows: Vec<Vec<String>> = workloads.iter().map(row).collect();
    table(output, &["WORKLOAD", "STATE", "LAST VAULTED", "RPO", "SNAPSHOTS", "OWNER"], &rows)?;
    let (open, resolved): (Vec<_>, Vec<_>) =
        incidents.iter().partition(|incident| incident.resolved.is_none());
    output.gap()?;
    output.line(match open.len() {
        0 => "no open incident".to_owned(),
        1 => "1 open incident:".to_owned(),
        count => format!("{count} open incidents:"),
    })?;
    for incident in open {
        output.line(format_args!(
            "  since {}, for {}: {}",
            whole_seconds(incident.opened),
            addressee(incident),
            incident.cause
        ))?;
    }
    if !resolved.is_empty() {
        output.line(format_args!("{} resolved by themselves", resolved.len()))?;
    }
    Ok(())
}

/// Its state; of one that consists of others, how many of them are in it.
fn state(workload: &WorkloadView) -> String {
    let WorkloadView { state, members, .. } = workload;
    if let Some(until) = workload.until {
        return format!("{state} until {}", whole_seconds(until));
    }
    if members.is_empty() {
        return state.clone();
    }
    let so = members.iter().filter(|member| member.state == *state).count();
    format!("{state} ({so} of {})", counted(members.len() as u64, "member"))
}

/// The workloads of which one consists.
fn tell_members(workload: &WorkloadView, output: &Output) -> Result<()> {
    if let Some(service) = &workload.member_of {
        output.gap()?;
        output.line(format_args!("a member of {service}"))?;
    }
    if workload.members.is_empty() {
        return Ok(());
    }
    output.gap()?;
    let row = |member: &MemberView| {
        let last = member.last_vaulted.map_or_else(|| "-".to_owned(), whole_seconds);
        vec![member.name.to_string(), member.state.clone(), last]
    };
    let rows: Vec<Vec<String>> = workload.members.iter().map(row).collect();
    table(output, &["MEMBER", "STATE", "LAST VAULTED"], &rows)?;
    for unlisted in &workload.unlisted {
        output.line(format_args!(
            "{unlisted} is called like a member, and policy does not list it: it is watched by itself"
        ))?;
    }
    Ok(())
}

fn row(workload: &WorkloadView) -> Vec<String> {
    let dash = || "-".to_owned();
    let rpo = workload.rpo_seconds.map(Duration::from_secs);
    let confirmed = workload.last_safe.or(workload.last_confirmed);
    let last = match (workload.safe.as_deref(), confirmed) {
        (Some("confirmed"), Some(at)) => format!("{} confirmed", whole_seconds(at)),
        (Some("confirmed"), None) => dash(),
        (Some("either"), Some(at)) if workload.last_vaulted.is_none_or(|it| it < at) => {
            format!("{} confirmed", whole_seconds(at))
        }
        (Some("both"), _) => workload.last_safe.map_or_else(dash, whole_seconds),
        _ => workload.last_vaulted.map_or_else(dash, whole_seconds),
    };
    vec![
        workload.name.to_string(),
        state(workload),
        last,
        rpo.map_or_else(dash, human::duration),
        workload.snapshots.to_string(),
        workload.owner.clone().unwrap_or_else(dash),
    ]
}
