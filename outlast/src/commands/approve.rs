//! `outlast approve`: what takes two operators.

use std::str::FromStr;

use anyhow::Result;
use outlast_types::WorkloadName;
use outlast_wire::api::KeepingOrder;

use super::keeping;
use super::vault_access::VaultAccess;
use crate::exit::{Code, Usage};
use crate::output::Output;

/// Agree to what another operator asked for, or list what waits
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Destroying anything before policy lets it go takes two operators with certificates of their own: one
asks, another agrees, and seven days later the vault does it. Until then either can withdraw it. Each step
is in the audit log.

Examples:
  outlast approve --dir ./outlast-data
  outlast approve shop-db/3 --reason \"agreed with team-shop\" --vault https://vault.example:8443/ --identity ./id
  outlast approve shop-db/3 --withdraw --reason \"a mistake\" --dir ./outlast-data"
)]
pub(crate) struct Args {
    /// What was asked for, as the list shows it; without it, the list
    #[arg(value_name = "REQUEST", requires = "reason")]
    request: Option<RequestName>,
    /// Why, for those who read it later
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Take it back instead
    #[arg(long, requires = "request")]
    withdraw: bool,
    #[command(flatten)]
    vault: VaultAccess,
}

/// `shop-db/3`.
#[derive(Debug, Clone)]
struct RequestName {
    workload: WorkloadName,
    number: u64,
}

impl FromStr for RequestName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/');
        let parsed = parts.and_then(|(workload, number)| {
            Some(Self { workload: workload.parse().ok()?, number: number.parse().ok()? })
        });
        parsed.ok_or_else(|| format!("{text:?} is no request: write one such as shop-db/3"))
    }
}

pub(crate) fn run(arguments: &Args, output: &Output) -> Result<Code> {
    let client = arguments.vault.client()?;
    let Some(RequestName { workload, number }) = &arguments.request else {
        let requests = output.patiently(client.location(), || client.keeping_requests())?;
        if output.is_json() {
            output.json(&requests)?;
        } else if requests.is_empty() {
            output.line("nothing waits for an operator")?;
        } else {
            requests.iter().try_for_each(|request| output.line(keeping::in_words(request)))?;
        }
        return Ok(Code::Done);
    };
    let no_reason = || Usage("a reason is needed: --reason TEXT".to_owned());
    let (request, reason) = (*number, arguments.reason.clone().ok_or_else(no_reason)?);
    let order = match arguments.withdraw {
        true => KeepingOrder::Withdraw { request, reason },
        false => KeepingOrder::Approve { request, reason },
    };
    keeping::order(&client, workload, &order, output)
}
