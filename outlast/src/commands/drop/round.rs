//! One drop that is wished for: made, or left to another instance, and what is told of it.

use std::sync::Arc;

use anyhow::Result;
use outlast_drop::Share;
use outlast_drop::lease::{Turn, Window};
use outlast_drop::writer::BEAT_INTERVAL;
use outlast_types::{DropId, SystemClock, SystemRandom, SystemTimer, Timer, Timestamp, human};
use serde_json::json;

use super::attempt::{Attempt, Sealed};
use super::options::DropOptions;
use crate::exit::Code;
use crate::output::{Output, counted};
use crate::signals::{Ended, Signals};

/// Says what a drop is made of, and makes it.
pub(super) type Make<'a> = dyn FnMut(&Attempt<'_>) -> Result<Sealed> + 'a;

/// What drops are made with.
pub(super) struct Round<'a> {
    pub(super) options: &'a DropOptions,
    pub(super) output: &'a Output,
    pub(super) signals: Arc<Signals>,
    pub(super) make: &'a mut Make<'a>,
    pub(super) timer: SystemTimer,
}

/// What became of the wish for a drop.
pub(super) enum Outcome {
    Sealed(Box<Sealed>),
    /// Another instance had sealed one in the same window.
    Another(DropId),
}

impl Round<'_> {
    /// Makes a drop, unless another instance makes one of the window that begins at `since`.
    pub(super) fn drop(&mut self, share: &Share, since: Option<Timestamp>) -> Result<Outcome> {
        let window = match since {
            None => None,
            Some(since) => Some(Window::new(share, self.options.workload()?, since, BEAT_INTERVAL)),
        };
        let (mut id, mut held) = (None, None);
        if let Some(mut window) = window {
            id = match self.turn(&mut window)? {
                Ok(id) => id,
                Err(another) => return Ok(Outcome::Another(another)),
            };
            held = Some(window);
        }
        let (options, output, signals) = (self.options, self.output, &self.signals);
        let sealed = (self.make)(&Attempt { options, share, signals, output, id })?;
        if let Some(window) = held {
            window.tidy();
        }
        Ok(Outcome::Sealed(Box::new(sealed)))
    }

    /// Waits until it is clear who drops: this instance, under an id that others know or another, or the
    /// one that sealed the drop in the error. A share on which leases do not work gets rather two
    /// drops than none.
    fn turn(&self, window: &mut Window) -> Result<Result<Option<DropId>, DropId>> {
        let instance = self.options.instance.as_deref();
        let mut told = false;
        loop {
            let look = window.look(instance, self.timer.elapsed(), &SystemClock, &SystemRandom);
            match look {
                Ok(Turn::Sealed(drop)) => return Ok(Err(drop)),
                Ok(Turn::Mine(drop)) => return Ok(Ok(Some(drop))),
                Ok(Turn::Wait) => {}
                Err(error) => {
                    self.output.warn(&format!("dropping without a lease: {error}"));
                    return Ok(Ok(None));
                }
            }
            if !told {
                told = true;
                self.output.remark("another instance drops; waiting for its seal");
            }
            if self.timer.pause(BEAT_INTERVAL / 4, self.signals.asked())
                && let Some(caught) = self.signals.first()
            {
                let told = "another instance was dropping; nothing was begun here".to_owned();
                return Err(Ended { caught, told }.into());
            }
        }
    }

    pub(super) fn tell(&self, outcome: &Outcome) -> Result<Code> {
        match outcome {
            Outcome::Sealed(sealed) => tell(sealed, self.options, self.output),
            Outcome::Another(drop) => {
                if self.output.is_json() {
                    let workload = self.options.workload()?.as_str();
                    self.output.json(&json!({
                        "drop": drop.to_string(), "workload": workload, "another": true,
                    }))?;
                } else {
                    self.output.line(drop)?;
                    self.output.remark(format_args!(
                        "another instance has sealed drop {drop} in this window; nothing was done"
                    ));
                }
                Ok(Code::Done)
            }
        }
    }
}

/// Tells of a drop that was sealed.
fn tell(sealed: &Sealed, options: &DropOptions, output: &Output) -> Result<Code> {
    let (drop, workload) = (sealed.drop, options.workload()?);
    if output.is_json() {
        let mut document = json!({
            "drop": drop.to_string(),
            "workload": workload.as_str(),
            "bytes": sealed.bytes,
            "stored_bytes": sealed.stored_bytes,
            "segments": sealed.segments,
            "complete": sealed.problem_count == 0,
            "problems": sealed.problems,
            "problem_count": sealed.problem_count,
            "remarks": sealed.remarks,
        });
        if let Some(source) = &sealed.source {
            document["source"] = json!(source);
        }
        output.json(&document)?;
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
