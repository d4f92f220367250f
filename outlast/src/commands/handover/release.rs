//! `outlast handover release`: an operator takes a drop out of the directory, with a reason.

use anyhow::{Context, Result, bail};
use outlast_drop::receipt::{self, ReceiptState};
use outlast_drop::{Share, Verifier};
use outlast_handover::inbox::{self, Word};
use outlast_handover::offer::Release;
use outlast_handover::status::Overview;
use outlast_handover::{DropKey, Offer};
use outlast_types::{DropId, Environment, WorkloadName};
use outlast_wire::receipts::Authority;
use serde_json::json;

use super::which::{Chosen, Which};
use crate::exit::{Code, Usage};
use crate::output::Output;

const REASON_CHARS_MAX: usize = 300;

/// Take a drop out of the directory by hand, although the rules would keep it
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The agent takes it out when nobody reads; it is not offered again. Who did it and why stays in audit.jsonl of the
hand-over's own directory. It is refused where nobody else is known to hold the drop: a drop may go if the product has
confirmed it, or if a receipt on the share, signed by the vault, says that the vault holds it (by --config, not by
--directory, which knows of no share).

Exit codes: 0 the agent will take it out; 1 it could not be noted; 2 the command line is wrong; 3 no such drop lies
there; 4 refused: nobody else is known to hold it.

Examples:
  outlast handover release netbackup --workload shop-db --drop 01a2066b-8649-78cb-a8bc-a5af0e952501 \\
    --reason 'the disk is full, CHG-4711'"
)]
pub(crate) struct ReleaseArgs {
    #[command(flatten)]
    which: Which,
    /// The workload
    #[arg(long, value_name = "NAME")]
    workload: WorkloadName,
    /// The drop
    #[arg(long, value_name = "ID")]
    drop: DropId,
    /// Why, for whoever looks later
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

pub(super) fn run(arguments: &ReleaseArgs, output: &Output) -> Result<Code> {
    let ReleaseArgs { which, workload, drop, reason } = arguments;
    if reason.trim().is_empty() || reason.chars().count() > REASON_CHARS_MAX {
        let words = format!("give a reason of 1 to {REASON_CHARS_MAX} characters");
        return Err(Usage(words).into());
    }
    let (chosen, environment) = (which.one()?, Environment::system());
    let overview = Overview::read(chosen.place.directory())?;
    let key = DropKey { workload: workload.clone(), drop: *drop };
    let Some(tracked) = overview.ledger.get(&key) else {
        let is_gone = overview.ledger.is_gone(&key);
        let words =
            if is_gone { "has left the directory already" } else { "is not in the directory" };
        output.warn(&format!("{}: {drop} of {workload} {words}", chosen.name));
        return Ok(if is_gone { Code::Done } else { Code::Incomplete });
    };
    let is_confirmed = overview.ledger.is_confirmed(tracked);
    let held_by = if is_confirmed {
        format!("the product of {} has confirmed it", chosen.name)
    } else {
        match vaulted(which, &chosen, &tracked.offer)? {
            Ok(words) => words,
            Err(why) => {
                let message = format!(
                    "{}: {drop} of {workload} stays: {why}, and the product has not confirmed it; what nobody else \
                     holds does not go",
                    chosen.name
                );
                if output.is_json() {
                    output
                        .json(&json!({ "handover": chosen.name, "released": false, "why": why }))?;
                }
                output.warn(&message);
                return Ok(Code::Refused);
            }
        }
    };
    let by = somebody();
    let release = Release {
        drop: key,
        by: by.clone(),
        reason: reason.trim().to_owned(),
        held_by,
        vaulted: !is_confirmed,
    };
    let words = release.held_by.clone();
    inbox::put(&chosen.place, &Word::Released(release), &environment)?;
    if output.is_json() {
        output.json(&json!({
            "handover": chosen.name, "released": true, "by": by, "held_by": words, "reason": reason,
        }))?;
    } else {
        output.line(format_args!(
            "{drop} of {workload} leaves {} when nobody reads: {words}",
            chosen.name
        ))?;
    }
    Ok(Code::Done)
}

/// That the vault holds a drop, by its signed word on the share; or why that cannot be told.
fn vaulted(which: &Which, chosen: &Chosen, offer: &Offer) -> Result<Result<String, String>> {
    let Some(config) = which.configured()? else {
        let words = "no share is known that could say whether the vault holds it: name --config";
        return Ok(Err(words.to_owned()));
    };
    let share = Share::open(&config.share)
        .with_context(|| format!("cannot ask the share of {} for receipts", chosen.name))?;
    if share.id() != offer.share {
        bail!("the drop comes from another share than {}", share.path().display());
    }
    let authority = Authority::load(&config.identity.join("ca.pem"))?;
    let verifier: &dyn Verifier = &authority;
    let state = ReceiptState::Vaulted;
    let found = receipt::read(&share, &offer.workload, offer.drop, state);
    Ok(match found {
        Ok(Some(signed)) if let Err(why) = verifier.check(&signed) => {
            Err(format!("the vault's receipt cannot be believed ({why})"))
        }
        Ok(Some(signed)) if signed.receipt().seal == Some(offer.seal) => {
            Ok("the vault holds it, as it has signed on the share".to_owned())
        }
        Ok(Some(_)) => Err("the vault's receipt is about another content".to_owned()),
        Ok(None) => Err("the vault has not said that it holds it".to_owned()),
        Err(error) => Err(format!("the vault's receipt cannot be believed ({error})")),
    })
}

/// Who runs this, as far as the system knows: behind sudo, who called it.
fn somebody() -> String {
    let named = |name: &str| std::env::var(name).ok().filter(|name| !name.trim().is_empty());
    let name = named("SUDO_USER").or_else(|| named("USER")).or_else(|| named("LOGNAME"));
    let uid = rustix::process::getuid().as_raw();
    match name {
        Some(name) => format!("operator {name} (uid {uid})"),
        None => format!("operator with uid {uid}"),
    }
}
