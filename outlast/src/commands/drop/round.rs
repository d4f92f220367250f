//! From options to an exit code: the drops that are asked for, and what is told of them.

use std::sync::Arc;

use anyhow::Result;
use outlast_drop::Share;
use outlast_types::human;
use serde_json::json;

use super::attempt::{Attempt, Sealed};
use super::options::DropOptions;
use crate::exit::Code;
use crate::output::{Output, counted};
use crate::signals::Signals;

/// Makes the drop that `options` ask for. `make` says what it is made of.
pub(super) fn carry_out(
    options: &DropOptions,
    output: &Output,
    make: &mut dyn FnMut(&Attempt<'_>) -> Result<Sealed>,
) -> Result<Code> {
    let signals = Arc::new(Signals::catch_with(options.grace())?);
    let share = Share::open(options.share()?)?;
    let sealed = make(&Attempt { options, share: &share, signals: &signals, output })?;
    tell(&sealed, options, output)
}

/// Tells of a drop that was sealed.
fn tell(sealed: &Sealed, options: &DropOptions, output: &Output) -> Result<Code> {
    let (drop, workload) = (sealed.drop, options.workload()?);
    if output.is_json() {
        output.json(&json!({
            "drop": drop.to_string(),
            "workload": workload.as_str(),
            "bytes": sealed.bytes,
            "stored_bytes": sealed.stored_bytes,
            "segments": sealed.segments,
            "complete": sealed.problem_count == 0,
            "problems": sealed.problems,
            "problem_count": sealed.problem_count,
            "remarks": sealed.remarks,
        }))?;
    } else {
        output.line(drop)?;
        sealed.remarks.iter().for_each(|remark| output.remark(remark));
        output.remark(format_args!(
            "sealed drop {drop} of {workload}: {}, {} on the share",
            human::bytes(sealed.bytes),
            human::bytes(sealed.stored_bytes)
        ));
    }
    if sealed.problem_count == 0 {
        return Ok(Code::Done);
    }
    if !output.is_json() {
        let count = counted(sealed.problem_count, "thing");
        output.warn(&format!(
            "{count} could not be read as it should: drop {drop} is sealed, but incomplete"
        ));
    }
    Ok(Code::Incomplete)
}
