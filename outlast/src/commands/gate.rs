//! `outlast gate`: what a pipeline runs before it ends an instance.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use outlast_drop::gate::{Gate, GatedDrop, Selection, Standing, Until, Verdict};
use outlast_drop::{Share, ShareError, Verifier};
use outlast_types::{DropId, Environment, Interrupt, WorkloadName, human};
use outlast_wire::receipts::{Authority, Countersigned};
use serde_json::{Value, json};

use super::share::Ca;
use crate::exit::{Code, Usage};
use crate::output::Output;

/// How often the share is looked at, at first and in the end: network file systems show new names only
/// after seconds.
const PAUSE_FIRST: Duration = Duration::from_millis(500);
const PAUSE_LONGEST: Duration = Duration::from_secs(5);
/// How often it is said again for what it waits.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// Wait until a drop has come so far, before the instance that wrote it may end
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The gate looks at the share and at nothing else, so it needs no path to agent or vault. It believes
receipts that are signed under the authority in --ca, which comes with the image or the pipeline; never
one that lies on the share. A receipt counts for the drop that it names, with its seal, and for no other.

Of an instance (or of the workload, if none is named) the newest drop decides; older ones that are sealed
must get there, too. With --release, that holds for each instance of the release; name an instance at
each `outlast drop`. A drop that was released, so that nothing of it lies there, is found by --drop.

States, of which each of the first four stands for those before it:
  sealed     it is complete on the share, by its own seal; needs no --ca
  accepted   an agent has verified every hash: nothing more is wanted of the instance
  shipped    a media server, or the vault, holds it
  vaulted    the vault has published its snapshot; while the line is down, nothing gets there
  confirmed  an existing backup product has confirmed it (and no more than that), and the vault has
             signed that it was told so
  safe       what policy counts for this workload: vaulted, confirmed, one of them or both. The vault says
             which in what it signs about the drop; what looks like no backup to it is never safe

Exit codes: 0 reached; 1 at once if it never will be: rejected, failed or abandoned; 3 not within the
timeout, with what it waits for.

Examples:
  outlast gate --share /mnt/efs --workload shop-db --instance $(hostname) --ca /etc/outlast/ca.pem
  outlast gate --share /mnt/efs --workload shop-db --release 2026.07.1 --timeout 30m --ca ca.pem
  id=$(outlast drop --share S --workload W --final --exec w.sql -- pg_dump w) &&
    outlast gate --share S --workload W --drop $id --until vaulted --ca ca.pem
  outlast gate --share S --workload W --instance blue-1 --until sealed"
)]
pub(crate) struct Args {
    /// The share's directory
    #[arg(long, value_name = "DIR", env = "OUTLAST_SHARE")]
    share: PathBuf,
    /// The workload of the drop
    #[arg(long, value_name = "NAME")]
    workload: WorkloadName,
    /// The drops of this instance, as it named itself
    #[arg(long, value_name = "NAME", conflicts_with_all = ["release", "drop"])]
    instance: Option<String>,
    /// The drops of all instances of this release
    #[arg(long, value_name = "NAME", conflicts_with = "drop")]
    release: Option<String>,
    /// This drop, whose id `outlast drop` printed
    #[arg(long, value_name = "ID")]
    drop: Option<DropId>,
    /// How far it must have come: sealed, accepted, shipped, vaulted, confirmed or safe
    #[arg(long, value_name = "STATE", default_value = "accepted")]
    until: Until,
    #[command(flatten)]
    ca: Ca,
    /// How long to wait for that (exit code 3 afterwards)
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = human::parse_duration)]
    timeout: Duration,
}

pub(crate) fn run(arguments: &Args, output: &Output) -> Result<Code> {
    let authority = arguments.ca.load()?;
    if authority.is_none() && arguments.until != Until::Sealed {
        let text = format!(
            "whoever may write to the share may have made up that a drop is {}: name the authority \
             whose receipts count by --ca, as a file or a fingerprint that comes with the image",
            arguments.until
        );
        return Err(Usage(text).into());
    }
    // A path that is no directory is a mistake; what is not mounted yet may come.
    if let Err(error @ (ShareError::NotADirectory { .. } | ShareError::UnknownVersion { .. })) =
        Share::open(&arguments.share)
    {
        return Err(error.into());
    }
    let selection = match (&arguments.instance, &arguments.release, arguments.drop) {
        (Some(instance), ..) => Selection::Instance(instance.clone()),
        (_, Some(release), _) => Selection::Release(release.clone()),
        (.., Some(drop)) => Selection::Drop(drop),
        (None, None, None) => Selection::Newest,
    };
    let mut gate = Gate::new(arguments.workload.clone(), selection, arguments.until);
    let environment = Environment::system();
    let waited = wait(&mut gate, arguments, authority.as_ref(), &environment, output);
    tell(&gate, arguments.until, &waited, output)
}

/// What came of it.
struct Waited {
    verdict: Verdict,
    time: Duration,
}

/// Looks until the verdict is final, or the time is over.
fn wait(
    gate: &mut Gate,
    arguments: &Args,
    authority: Option<&Authority>,
    environment: &Environment,
    output: &Output,
) -> Waited {
    let began = environment.timer.elapsed();
    let (mut pause, mut said) = (PAUSE_FIRST, None::<(String, Duration)>);
    loop {
        let looked = look(gate, arguments, authority);
        let time = environment.timer.elapsed().saturating_sub(began);
        let why = match looked {
            Verdict::Waiting(why) if time < arguments.timeout => why,
            verdict => return Waited { verdict, time },
        };
        let is_new = said
            .as_ref()
            .is_none_or(|(last, at)| *last != why || time.saturating_sub(*at) >= SAY_AGAIN);
        if is_new {
            output.remark(format_args!("waiting: {why}"));
            said = Some((why, time));
        }
        let left = arguments.timeout.saturating_sub(time);
        environment.timer.pause(pause.min(left), &Interrupt::default());
        pause = (pause + pause / 2).min(PAUSE_LONGEST);
    }
}

/// One look. A share that cannot be looked at now is waited for, like all else.
fn look(gate: &mut Gate, arguments: &Args, authority: Option<&Authority>) -> Verdict {
    // Of a confirmation the agent alone knows: the vault's word that it believes that is in the receipt.
    let strict = authority.filter(|_| matches!(arguments.until, Until::Confirmed | Until::Safe));
    let strict = strict.cloned().map(Countersigned);
    let verifier = match &strict {
        Some(strict) => Some(strict as &dyn Verifier),
        None => authority.map(|authority| authority as &dyn Verifier),
    };
    let looked = Share::open(&arguments.share).and_then(|share| gate.look(&share, verifier));
    looked
        .unwrap_or_else(|error| Verdict::Waiting(format!("the share cannot be looked at: {error}")))
}

fn tell(gate: &Gate, until: Until, waited: &Waited, output: &Output) -> Result<Code> {
    let (code, outcome, why) = match &waited.verdict {
        Verdict::Reached => (Code::Done, "reached", None),
        Verdict::Failed(why) => (Code::Failed, "failed", Some(why)),
        Verdict::Waiting(why) => (Code::Incomplete, "waiting", Some(why)),
    };
    if output.is_json() {
        output.json(&json!({
            "outcome": outcome,
            "until": until.to_string(),
            "why": why,
            "waited_seconds": waited.time.as_secs(),
            "drops": gate.drops().into_iter().map(view).collect::<Vec<_>>(),
            "ignored": gate.ignored().collect::<Vec<_>>(),
        }))?;
        return Ok(code);
    }
    for reason in gate.ignored() {
        output.warn(reason);
    }
    match &waited.verdict {
        Verdict::Reached => {
            for drop in gate.drops().into_iter().filter(|drop| drop.has_reached(until)) {
                output.line(format_args!("{drop} is {}", drop.state()))?;
            }
        }
        Verdict::Failed(why) => output.warn(&format!("it will never be {until}: {why}")),
        Verdict::Waiting(why) => {
            let time = human::duration(Duration::from_secs(waited.time.as_secs()));
            output.warn(&format!("not {until} after {time}: {why}"));
        }
    }
    Ok(code)
}

fn view(drop: &GatedDrop) -> Value {
    let reason = match &drop.standing {
        Standing::Rejected { reason }
        | Standing::Abandoned { reason }
        | Standing::Doubtful(reason) => Some(reason),
        _ => None,
    };
    json!({
        "drop": drop.address.drop.to_string(),
        "day": drop.address.day.to_string(),
        "instance": drop.instance,
        "release": drop.release,
        "state": drop.state(),
        "policy": drop.policy.map(|word| word.safe.to_string()),
        "proved": drop.proved.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "reason": reason,
    })
}
