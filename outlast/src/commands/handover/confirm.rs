//! `outlast handover confirm`: what a product has, by its own record or by somebody's word.

mod asking;
mod products;
mod program;

use std::path::PathBuf;

use anyhow::Result;
use outlast_handover::inbox::{self, Word};
use outlast_handover::product::status;
use outlast_handover::status::{Overview, rules};
use outlast_handover::{Holds, JobFacts, Outcome, Place, Statement};
use outlast_types::{Environment, Timestamp};
use serde_json::json;

use self::asking::{Answered, Found};
use self::products::Product;
use super::which::{Chosen, Which};
use crate::exit::{Advised, Code, Usage};
use crate::output::{Output, counted};
use crate::settings::With;

/// A reason that is longer is a letter.
const REASON_CHARS_MAX: usize = 500;

/// Ask the product what it has, or say so yourself
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Without --reason, the product is asked of each job that has ended: which files it has, and
whether images that confirmed something are still there. [handover.confirm] of agent.toml says how
it is asked, or --with. The agent runs this command by itself where confirm.with is set.

With --job and --reason, nobody is asked: your word confirms all that lay there when the job began.
Your name, this host and the reason stay in audit.jsonl and in the receipts of the drops. --status
says how the job ended if not well; --gone takes back what a job confirmed whose image is gone. A
job that no hook has told of also needs --began.

Exit codes: 0 done; 1 the product could not be asked, or nobody here knows the job; 2 the command
line is wrong; 3 the job that --job names has not ended, or the product does not know it.

Examples:
  outlast handover confirm netbackup
  outlast handover confirm bacula --with bacula --job 4711
  outlast handover confirm netbackup --report ./bpdbjobs.csv
  outlast handover confirm netbackup --job host_1795662005 --reason \"Activity Monitor, CHG-4711\"
  outlast handover confirm netbackup --job host_1795662005 --gone --reason \"expired, INC-12\""
)]
pub(crate) struct ConfirmArgs {
    #[command(flatten)]
    which: Which,
    /// The job, by the product's id or by the key that `handover status` shows
    #[arg(long, value_name = "ID")]
    job: Option<String>,
    /// How the product is asked [default: confirm.with of agent.toml]
    #[arg(long, value_name = "HOW", conflicts_with = "reason")]
    with: Option<With>,
    /// Read what an administrator's `bpdbjobs -report -all_columns` printed, in place of asking
    #[arg(long, value_name = "FILE", conflicts_with_all = ["with", "reason"])]
    report: Option<PathBuf>,
    /// Why you say so by yourself; it is kept
    #[arg(long, value_name = "TEXT", requires = "job")]
    reason: Option<String>,
    /// When the job began, if no hook has told of it
    #[arg(long, value_name = "TIME", requires = "job")]
    began: Option<Timestamp>,
    /// The status with which the job ended, as NetBackup counts
    #[arg(long, value_name = "NUMBER", requires = "reason", default_value_t = 0)]
    status: i64,
    /// Its image is gone: what it confirmed is confirmed no more
    #[arg(long, requires = "reason", conflicts_with_all = ["status", "began"])]
    gone: bool,
}

pub(super) fn run(arguments: &ConfirmArgs, output: &Output) -> Result<Code> {
    match (&arguments.job, &arguments.reason) {
        (Some(job), Some(reason)) => by_hand(arguments, job, reason, output),
        _ => ask(arguments, output),
    }
}

/// Somebody's word.
fn by_hand(arguments: &ConfirmArgs, id: &str, reason: &str, output: &Output) -> Result<Code> {
    let (chosen, environment) = (arguments.which.one()?, Environment::system());
    let reason = reason.trim();
    if reason.is_empty() || reason.chars().count() > REASON_CHARS_MAX {
        let words = format!("give a reason of 1 to {REASON_CHARS_MAX} characters");
        return Err(Usage(words).into());
    }
    let reason: String = reason.chars().filter(|c| !c.is_control()).collect();
    let found = known(&chosen.place, id)?;
    let by = format!("{}: {reason}", whose_hands());
    if arguments.gone {
        let Some(found) = found else { return Err(unknown(&chosen.name, id).into()) };
        let word = Word::Withdrawn { job: found.facts.key(), reason: by.clone() };
        inbox::put(&chosen.place, &word, &environment)?;
        tell(output, &chosen.name, &found.facts, "its image is gone", &by)?;
        return Ok(Code::Done);
    }
    let began = arguments.began;
    if let Some(began) = began.filter(|began| *began > environment.clock.now()) {
        return Err(Usage(format!("--began {began} has not come yet")).into());
    }
    let facts = match (found, began) {
        (Some(found), _) => found.facts,
        (None, Some(_)) => JobFacts::of_id(id).bounded(),
        (None, None) => return Err(unknown(&chosen.name, id).into()),
    };
    let outcome = status::netbackup_outcome(arguments.status);
    let holds = if outcome == Outcome::Well { Holds::Everything } else { Holds::Unsaid };
    let words = match &outcome {
        Outcome::Well => "it ended well: all that lay there when it began is confirmed".to_owned(),
        Outcome::Partial => {
            "it was partially successful, which confirms nothing without a list of its files"
                .to_owned()
        }
        Outcome::Failed { status, words } => format!("it failed with status {status}: {words}"),
    };
    let statement = Statement {
        job: facts.clone(),
        began,
        ended: None,
        outcome,
        holds,
        product: None,
        by: by.clone(),
    };
    inbox::put(&chosen.place, &Word::Evidence(Box::new(statement)), &environment)?;
    tell(output, &chosen.name, &facts, &words, &by)?;
    Ok(Code::Done)
}

fn tell(output: &Output, name: &str, job: &JobFacts, words: &str, by: &str) -> Result<()> {
    if output.is_json() {
        return output.json(
            &json!({ "handover": name, "job": job, "key": job.key(), "said": words, "by": by }),
        );
    }
    output.line(format_args!("{name}: {}: {words} ({by})", job.shown()))
}

fn unknown(name: &str, id: &str) -> Advised {
    Advised {
        message: format!(
            "nobody has told hand-over {name} of a job {id:?}: no hook said that it began, so nothing tells which drops lay \
             there then"
        ),
        hint: "`outlast handover status` shows the jobs that are known; of another, say with --began when it began"
            .to_owned(),
    }
}

/// A job that a hook or somebody else has told of, by its id or key.
fn known(place: &Place, id: &str) -> Result<Option<Found>> {
    // What is no hand-over at all has no jobs.
    rules(place)?;
    let overview = Overview::read(place.directory())?;
    let found = asking::known(&overview, place)?;
    let key = JobFacts::of_id(id).key();
    let is_it = |found: &Found| found.facts.key() == key || found.facts.key().as_str() == id;
    Ok(found.into_iter().find(is_it))
}

/// The product's own word.
fn ask(arguments: &ConfirmArgs, output: &Output) -> Result<Code> {
    let chosen = arguments.which.one()?;
    let mut product = product(arguments, &chosen)?;
    let only = arguments.job.as_deref().map(|id| (id, arguments.began));
    let answers = asking::ask(&mut product, &chosen.place, only, &Environment::system())?;
    if only.is_some() && answers.is_empty() {
        return Err(unknown(&chosen.name, arguments.job.as_deref().unwrap_or_default()).into());
    }
    if output.is_json() {
        output.json(&json!({ "handover": chosen.name, "by": product.by(), "jobs": answers }))?;
    } else {
        for answer in &answers {
            output.line(answer.shown())?;
        }
        if answers.is_empty() {
            output.line(format_args!("{}: no job waits for an answer", chosen.name))?;
        }
    }
    let failed = answers.iter().filter_map(|answer| answer.trouble.as_deref());
    let failed: Vec<&str> = failed.collect();
    if let Some(first) = failed.first() {
        let count = counted(failed.len() as u64, "job");
        anyhow::bail!("of {count} the product could not be asked: {first}");
    }
    let is_open = |answer: &Answered| only.is_some() && !answer.has_ended;
    Ok(if answers.iter().any(is_open) { Code::Incomplete } else { Code::Done })
}

/// What is asked.
fn product(arguments: &ConfirmArgs, chosen: &Chosen) -> Result<Product> {
    let directory = chosen.place.directory();
    if let Some(file) = &arguments.report {
        return Product::report(file, directory, &chosen.name);
    }
    let confirmers = arguments.which.confirmers(&chosen.name)?;
    let Some(with) = arguments.with.or(confirmers.with) else {
        return Err(Usage(format!(
            "hand-over {} does not say how its product is asked: set confirm.with in agent.toml, give --with, or say it \
             yourself with --job and --reason",
            chosen.name
        ))
        .into());
    };
    Product::new(confirmers.of(with)?, directory, &chosen.name, confirmers.deadline)
}

/// Whose word it is, as far as the host tells.
fn whose_hands() -> String {
    let variable = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    let name = ["SUDO_USER", "LOGNAME", "USER"].into_iter().find_map(variable);
    let name = name.unwrap_or_else(|| "somebody".to_owned());
    let name: String = name.chars().filter(|c| !c.is_control()).take(40).collect();
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let by_hand = inbox::BY_HAND;
    format!("{by_hand}{name} (user {} on {host})", rustix::process::getuid().as_raw())
}
