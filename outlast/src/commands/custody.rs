//! `outlast custody`: who held a drop when, with every signature verified.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::Result;
use outlast_drop::receipt::{self, ReceiptState, SignedReceipt};
use outlast_drop::{ReceiptError, Share, Verifier as _};
use outlast_types::{DropId, Timestamp, WorkloadName};
use outlast_wire::api::{CustodyView, HandedView, ShipmentView};
use outlast_wire::confirmation::Confirmation;
use outlast_wire::receipts::{Authority, Countersigned};
use serde_json::{Value, json};

use super::vault_access::VaultAccess;
use crate::exit::Code;
use crate::output::{Output, table, whole_seconds};

/// Everything that may be said of a drop on its share.
const STATES: [ReceiptState; 9] = [
    ReceiptState::Accepted,
    ReceiptState::Shipped,
    ReceiptState::Vaulted,
    ReceiptState::HandedOver,
    ReceiptState::Confirmed,
    ReceiptState::Released,
    ReceiptState::Abandoned,
    ReceiptState::Rejected,
    ReceiptState::Cleared,
];

/// Tell who held a drop when, with every signature verified
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Receipts on the share and the vault's own record are put in order, and each is verified: a word counts
if somebody signed it who may say it, under the authority of the identity that asks. The times are those
of whoever signed.

Exit codes: 0 the vault holds it, or a backup product whose word policy counts, and every signature is right;
1 a signature is wrong, or share and vault contradict each other; 3 nobody holds it for good, or not yet.

Examples:
  outlast custody 01a2066b-8649-78cb-a8bc-a5af0e952501 --dir ./outlast-data --share ./share
  outlast custody 01a2066b-8649-78cb-a8bc-a5af0e952501 --vault https://vault.example:8443/ --identity ./id \\
    --share /mnt/efs --json"
)]
pub(crate) struct Args {
    /// The drop's id, as `outlast drop` printed it
    #[arg(value_name = "DROP")]
    drop: DropId,
    /// The share's directory, for the receipts that lie there
    #[arg(long, value_name = "DIR", env = "OUTLAST_SHARE")]
    share: Option<PathBuf>,
    /// Look on the share at this workload, and not at those that the vault names
    #[arg(long, value_name = "WORKLOAD", requires = "share")]
    workload: Option<WorkloadName>,
    #[command(flatten)]
    vault: VaultAccess,
}

/// Of so many workloads all receipts are looked for, if nobody says whose the drop is.
const SEARCHED_MAX: usize = 1000;

/// What somebody said of the drop.
struct Word {
    /// Where it was found.
    place: &'static str,
    workload: WorkloadName,
    state: ReceiptState,
    at: Timestamp,
    by: String,
    /// Why it proves nothing, if so.
    flaw: Option<String>,
    /// Whether its signer's word would count now.
    counts_now: bool,
    /// Of a confirmation, whether the vault has signed in it that it was told so; else why not.
    countersigned: Option<Result<(), String>>,
    receipt: Value,
}

pub(crate) fn run(arguments: &Args, output: &Output) -> Result<Code> {
    let authority = arguments.vault.authority()?;
    let client = arguments.vault.client()?;
    let record = output.patiently(client.location(), || client.custody(arguments.drop))?;
    let mut words = Vec::new();
    let mut flaws = Vec::new();
    if let Some(share) = &arguments.share {
        let share = Share::open(share)?;
        let workloads = to_search(&share, arguments.workload.as_ref(), &record, output)?;
        for workload in workloads {
            of_share(&share, &workload, arguments.drop, &authority, &mut words, &mut flaws)?;
        }
    }
    for held in &record.records {
        let Some(text) = &held.receipt else { continue };
        match SignedReceipt::parse(text.as_bytes()) {
            Ok(signed) => words.push(word("vault", &held.workload, &signed, &authority)),
            Err(error) => flaws.push(format!("the vault's record of it is no receipt: {error}")),
        }
    }
    flaws.extend(contradiction(&words));
    flaws.extend(record.handed_over.iter().filter_map(|handed| unproved(handed, &authority)));
    words.sort_by_key(|word| (word.at, word.place));
    let is_held = record.records.iter().any(|held| held.is_published);
    let is_safe = is_held || record.handed_over.iter().any(|handed| handed.is_safe);
    if output.is_json() {
        output.json(&document(arguments.drop, is_held, &words, &flaws, &record))?;
    } else {
        tell(is_held, &words, &flaws, (&record, &authority), output)?;
    }
    let is_sound = flaws.is_empty() && words.iter().all(|word| word.flaw.is_none());
    Ok(match (is_sound, is_safe) {
        (false, _) => Code::Failed,
        (true, true) => Code::Done,
        (true, false) => Code::Incomplete,
    })
}

/// The workloads whose receipts are looked for: those that the vault knows the drop of. Each costs nine names.
fn to_search(
    share: &Share,
    named: Option<&WorkloadName>,
    record: &CustodyView,
    output: &Output,
) -> Result<BTreeSet<WorkloadName>> {
    if let Some(named) = named {
        return Ok([named.clone()].into());
    }
    let held = record.records.iter().map(|held| held.workload.clone());
    let coming = record.on_their_way.iter().map(|shipment| shipment.workload.clone());
    let handed = record.handed_over.iter().map(|handed| handed.workload.clone());
    let known: BTreeSet<WorkloadName> = held.chain(coming).chain(handed).collect();
    if !known.is_empty() {
        return Ok(known);
    }
    let all: BTreeSet<WorkloadName> = share.workloads()?.into_iter().collect();
    if all.len() > SEARCHED_MAX {
        output.remark(format_args!(
            "The vault does not know it, and there are {} workloads on the share: the first {SEARCHED_MAX} are \
             looked at; name the right one by --workload.",
            all.len()
        ));
    }
    Ok(all.into_iter().take(SEARCHED_MAX).collect())
}

/// What the receipts of a workload on a share say.
fn of_share(
    share: &Share,
    workload: &WorkloadName,
    drop: DropId,
    authority: &Authority,
    words: &mut Vec<Word>,
    flaws: &mut Vec<String>,
) -> Result<()> {
    for state in STATES {
        match receipt::read(share, workload, drop, state) {
            Ok(Some(signed)) => words.push(word("share", workload, &signed, authority)),
            Ok(None) => {}
            Err(ReceiptError::Io { path, source }) => {
                return Err(
                    anyhow::Error::new(source).context(format!("cannot read {}", path.display()))
                );
            }
            Err(error) => {
                flaws.push(format!("the receipt `{state}` of {workload} is none: {error}"));
            }
        }
    }
    Ok(())
}

fn word(
    place: &'static str,
    workload: &WorkloadName,
    signed: &SignedReceipt,
    authority: &Authority,
) -> Word {
    let said = signed.receipt();
    let judged = authority.judge(signed);
    let counts_now = judged.as_ref().is_ok_and(|judged| judged.counts_now);
    let flaw = judged.err().map(|error| error.to_string());
    // Nobody else was there: without the vault's word a confirmation is the agent's alone.
    let countersigned = match said.state {
        ReceiptState::Confirmed => Some(Countersigned(authority.clone()).check(signed)),
        _ => None,
    };
    let flaw = flaw.or_else(|| {
        (said.workload != *workload)
            .then(|| format!("it is of another workload, {}", said.workload))
    });
    let receipt = serde_json::from_slice(signed.bytes()).unwrap_or(Value::Null);
    Word {
        place,
        workload: workload.clone(),
        state: said.state,
        at: said.at,
        by: format!("{} {}", said.role, said.by),
        flaw,
        counts_now,
        countersigned,
        receipt,
    }
}

/// Why the vault's signature under a confirmation proves nothing, if so.
fn unproved(handed: &HandedView, authority: &Authority) -> Option<String> {
    let why = match countersigned(handed, authority)? {
        Ok(_) => return None,
        Err(why) => why,
    };
    let HandedView { handover, agent, .. } = handed;
    Some(format!(
        "the vault's word for what {handover} of agent {agent} confirmed proves nothing: {why}"
    ))
}

/// Which vault signed for a confirmation, if it was signed for.
fn countersigned(handed: &HandedView, authority: &Authority) -> Option<Result<String, String>> {
    let text = handed.countersigned.as_deref()?;
    let mut signer = None;
    let read = Confirmation::read_by(text, |chain, message, proof| {
        let judged = authority.signer(chain, message, proof);
        let judged = judged.map_err(|error| Box::<dyn std::error::Error>::from(error.to_string()));
        signer = judged.as_ref().ok().map(|judged| judged.peer.to_string());
        judged
    });
    Some(match (read, signer) {
        (Ok(_), Some(signer)) => Ok(signer),
        (Ok(_), None) => Err("nobody signed it".to_owned()),
        (Err(error), _) => Err(error.to_string()),
    })
}

/// In which respect the vault's receipt on the share is not the one that the vault has.
fn contradiction(words: &[Word]) -> Option<String> {
    let of = |place: &str| {
        let vaulted = words.iter().filter(|word| word.state == ReceiptState::Vaulted);
        vaulted.filter(|word| word.place == place).collect::<Vec<_>>()
    };
    let (on_share, at_vault) = (of("share"), of("vault"));
    let (Some(there), false) = (on_share.first(), at_vault.is_empty()) else { return None };
    let differs = |part: &str| at_vault.iter().all(|it| it.receipt[part] != there.receipt[part]);
    let part =
        ["share", "workload", "day", "seal", "tree"].into_iter().find(|part| differs(part))?;
    Some(format!("the vault signed another {part} than its receipt on the share says"))
}

fn document(
    drop: DropId,
    is_held: bool,
    words: &[Word],
    flaws: &[String],
    record: &CustodyView,
) -> Value {
    let words = words.iter().map(|word| {
        json!({
            "state": word.state.to_string(),
            "at": word.at,
            "by": word.by,
            "workload": word.workload,
            "found": word.place,
            "proved": word.flaw.is_none(),
            "flaw": word.flaw,
            "counts_now": word.counts_now,
            "countersigned": word.countersigned.as_ref().map(Result::is_ok),
            "receipt": word.receipt,
        })
    });
    json!({
        "drop": drop,
        "held": is_held,
        "custody": words.collect::<Vec<_>>(),
        "flaws": flaws,
        "on_its_way": record.on_their_way,
        "handed_over": record.handed_over,
    })
}

fn tell(
    is_held: bool,
    words: &[Word],
    flaws: &[String],
    (record, authority): (&CustodyView, &Authority),
    output: &Output,
) -> Result<()> {
    let rows: Vec<Vec<String>> = words.iter().map(row).collect();
    table(output, &["STATE", "AT", "BY", "WORKLOAD", "FOUND", "SIGNATURE"], &rows)?;
    for ShipmentView { workload, agent, since, last, objects, .. } in &record.on_their_way {
        output.remark(format_args!(
            "on its way to {workload} since {since}, by agent {agent}: {objects} objects came, the last at \
             {last}"
        ));
    }
    for handed in &record.handed_over {
        tell_handed(handed, authority, output);
    }
    for flaw in flaws {
        output.remark(flaw);
    }
    let safe = record.handed_over.iter().find(|handed| handed.is_safe);
    match (is_held, safe) {
        (true, _) => output.remark("The vault holds it."),
        (false, Some(handed)) => output.remark(format_args!(
            "The vault does not hold it; {} does, and that is what policy counts.",
            product_of(handed)
        )),
        (false, None) => output.remark("The vault does not hold it."),
    }
    Ok(())
}

fn product_of(handed: &HandedView) -> &str {
    handed.product.as_deref().unwrap_or("the backup product")
}

/// What became of it in a hand-over.
fn tell_handed(handed: &HandedView, authority: &Authority, output: &Output) {
    let HandedView { agent, handover, job, by, evidence, .. } = handed;
    let product = product_of(handed);
    let what = format!("handed over by {handover} of agent {agent}");
    let steps = [("read", handed.read), ("confirmed", handed.confirmed)];
    let steps = steps.into_iter().filter_map(|(step, at)| Some((step, at?)));
    for (step, at) in steps {
        let mut line = format!("{what}: {step} by {product}, told at {}", whole_seconds(at));
        if step == "confirmed" {
            let details = [
                ("job", job.clone()),
                ("says", by.clone()),
                ("evidence", evidence.map(|evidence| evidence.to_string())),
            ];
            for (name, text) in details {
                line.extend(text.map(|text| format!("; {name} {text}")));
            }
        }
        output.remark(line);
    }
    if let Some(Ok(signer)) = countersigned(handed, authority) {
        output.remark(format_args!("{what}: {signer} has signed that it was told so"));
    }
    if let Some(why) = &handed.suspect {
        output.remark(format_args!("{what}: it counts for nothing, by what it looks like: {why}"));
    }
    if let Some(at) = handed.withdrawn {
        let reason = handed.reason.as_deref().unwrap_or("nobody says why");
        output.remark(format_args!(
            "{what}: {product} has it no more, told at {}: {reason}",
            whole_seconds(at)
        ));
    }
}

fn row(word: &Word) -> Vec<String> {
    let signature = match (&word.flaw, word.counts_now) {
        (Some(flaw), _) => format!("WRONG: {flaw}"),
        (None, true) => match &word.countersigned {
            None => "right".to_owned(),
            Some(Ok(())) => "right, and the vault's in it".to_owned(),
            Some(Err(why)) => format!("right, and counts for nothing yet: {why}"),
        },
        (None, false) => "right, of a signer who counts no more".to_owned(),
    };
    vec![
        word.state.to_string(),
        whole_seconds(word.at),
        word.by.clone(),
        word.workload.to_string(),
        word.place.to_owned(),
        signature,
    ]
}
