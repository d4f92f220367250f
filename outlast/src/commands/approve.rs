//! `outlast approve`: what takes two operators.

use std::str::FromStr;

use anyhow::Result;
use outlast_types::WorkloadName;
use outlast_wire::ApiClient;
use outlast_wire::api::{AgreementOrder, KeepingOrder};

use serde_json::json;

use super::keeping;
use super::promise::request_in_words;
use super::vault_access::VaultAccess;
use crate::exit::{Code, Usage};
use crate::output::Output;

/// Agree to what another operator asked for, or list what waits
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Destroying anything before policy lets it go takes two operators with certificates of their own: one
asks, another agrees, and seven days later the vault does it. Until then either can withdraw it. Maintenance
windows of more than 24 h take two as well (policy:NUMBER, by outlast promise request), and policy may say so
at once. Each step is in the audit log.

Examples:
  outlast approve --dir ./outlast-data
  outlast approve shop-db/3 --reason \"agreed with team-shop\" --vault https://vault.example:8443/ --identity ./id
  outlast approve policy:1 --reason \"the move is agreed\" --dir ./outlast-data
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

/// `shop-db/3`, or `policy:3`.
#[derive(Debug, Clone)]
enum RequestName {
    Of { workload: WorkloadName, number: u64 },
    Policy { number: u64 },
}

impl FromStr for RequestName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let of_policy = text.strip_prefix("policy:").and_then(|number| number.parse().ok());
        let parts = text.split_once('/');
        let of_workload = || {
            let (workload, number) = parts?;
            Some(Self::Of { workload: workload.parse().ok()?, number: number.parse().ok()? })
        };
        let parsed = of_policy.map(|number| Self::Policy { number }).or_else(of_workload);
        parsed.ok_or_else(|| {
            format!("{text:?} is no request: write one such as shop-db/3 or policy:3")
        })
    }
}

pub(crate) fn run(arguments: &Args, output: &Output) -> Result<Code> {
    let client = arguments.vault.client()?;
    let Some(name) = &arguments.request else { return list(&client, output) };
    let no_reason = || Usage("a reason is needed: --reason TEXT".to_owned());
    let reason = arguments.reason.clone().ok_or_else(no_reason)?;
    match (name, arguments.withdraw) {
        (RequestName::Of { workload, number }, withdraw) => {
            let request = *number;
            let order = match withdraw {
                true => KeepingOrder::Withdraw { request, reason },
                false => KeepingOrder::Approve { request, reason },
            };
            keeping::order(&client, workload, &order, output)
        }
        (RequestName::Policy { number }, withdraw) => {
            let agreement = *number;
            let order = match withdraw {
                true => AgreementOrder::Withdraw { agreement, reason },
                false => AgreementOrder::Approve { agreement, reason },
            };
            let done = client.order_agreement(&order)?;
            match (output.is_json(), withdraw) {
                (true, _) => output.json(&done)?,
                (false, true) => output.line(format_args!("policy:{agreement} is withdrawn"))?,
                (false, false) => output.line(request_in_words(&done))?,
            }
            Ok(Code::Done)
        }
    }
}

/// What waits. For programs, it is a list of what goes and, apart from it, one of what policy may say.
fn list(client: &ApiClient, output: &Output) -> Result<Code> {
    let requests = output.patiently(client.location(), || client.keeping_requests())?;
    let agreements = client.agreements()?;
    if output.is_json() {
        output.json(&json!({ "requests": requests, "agreements": agreements }))?;
    } else if requests.is_empty() && agreements.is_empty() {
        output.line("nothing waits for an operator")?;
    } else {
        requests.iter().try_for_each(|request| output.line(keeping::in_words(request)))?;
        agreements.iter().try_for_each(|it| output.line(request_in_words(it)))?;
    }
    Ok(Code::Done)
}
