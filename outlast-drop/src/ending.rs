//! The end of an instance: when its last drop is made, how often it is tried, and when whoever waits for it is told.
//!
//! A pure state machine. Whoever runs it tells what is seen (a notice, none, or nothing that could be asked; a
//! signal), how the drop ended, and whether the answer was taken; it says what to do next. The rules:
//!
//! - A notice begins one drop. It is answered when that has ended, well or not: an instance must not be kept for ever.
//! - A drop that fails is tried again until its time is over. One whose time is over is told to end, then ended.
//! - A notice that is withdrawn is not answered, and the next one begins anew. A service that cannot be asked
//!   withdraws nothing.
//! - An answer that is not taken is given again, within a time of its own.

use std::time::Duration;

use outlast_types::{Backoff, Random};

/// The first pause after a drop or an answer that failed, and the longest.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_LONGEST: Duration = Duration::from_secs(15);

/// How long each part may take.
#[derive(Debug, Clone, Copy)]
pub struct EndingLimits {
    /// The drop, with all attempts.
    pub drop: Duration,
    /// How long a drop may take to end when it was told to.
    pub tidy: Duration,
    /// The answer, with all attempts.
    pub answer: Duration,
}

/// What is seen of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// It could not be asked for.
    Unknown,
    /// There is none.
    Quiet,
    /// There is one, and somebody waits for an answer, or nobody does.
    Given { waits: bool },
}

/// How a drop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    Whole,
    /// Sealed; what is missing is named.
    WithGaps,
    Failed,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing for now.
    Rest,
    /// Begin a drop.
    Drop,
    /// Tell the drop under way to end.
    Stop,
    /// End the drop under way.
    Kill,
    /// Tell whoever waits that he need not.
    Answer,
    /// All is done.
    End,
}

/// The state of an instance that is watched.
#[derive(Debug)]
pub struct Ending {
    limits: EndingLimits,
    /// The last sign that was none of ignorance.
    sign: Sign,
    phase: Phase,
    backoff: Backoff,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    Watching,
    Dropping {
        due: Duration,
        told: bool,
    },
    /// It failed, and is tried again.
    Pausing {
        due: Duration,
    },
    /// `due` is when an answer comes too late.
    Dropped {
        made: Made,
        due: Duration,
    },
    Over {
        made: Made,
        answered: Option<bool>,
    },
}

impl Ending {
    pub fn new(limits: EndingLimits) -> Self {
        Self { limits, sign: Sign::Quiet, phase: Phase::Watching, backoff: Backoff::default() }
    }

    /// What to do now. `asked` is whether the instance itself was told to end, which nobody withdraws.
    pub fn next(&mut self, now: Duration, sign: Sign, asked: bool) -> Step {
        if sign != Sign::Unknown {
            self.sign = sign;
        }
        let waits = self.sign == Sign::Given { waits: true };
        let wanted = asked || self.sign != Sign::Quiet;
        match self.phase {
            Phase::Watching if wanted => {
                self.backoff.succeeded();
                self.begin(now.saturating_add(self.limits.drop))
            }
            Phase::Dropping { due, told } => {
                if now >= due.saturating_add(self.limits.tidy) {
                    return Step::Kill;
                }
                let is_over = now >= due && !told;
                self.phase = Phase::Dropping { due, told: told || is_over };
                if is_over { Step::Stop } else { Step::Rest }
            }
            Phase::Pausing { .. } | Phase::Dropped { .. } if !wanted => {
                self.phase = Phase::Watching;
                Step::Rest
            }
            Phase::Pausing { due } if now >= due => {
                self.dropped(now, Made::Failed);
                Step::Rest
            }
            Phase::Pausing { due } if !self.backoff.is_waiting(now) => self.begin(due),
            Phase::Dropped { made, due } if waits && now >= due => self.over(made, Some(false)),
            Phase::Dropped { .. } if waits && !self.backoff.is_waiting(now) => Step::Answer,
            Phase::Dropped { made, .. } if asked && !waits => self.over(made, None),
            Phase::Over { .. } => Step::End,
            Phase::Watching | Phase::Pausing { .. } | Phase::Dropped { .. } => Step::Rest,
        }
    }

    /// A drop that was begun has ended.
    pub fn drop_ended(&mut self, now: Duration, made: Made, random: &dyn Random) {
        let Phase::Dropping { due, told } = self.phase else { return };
        if made != Made::Failed || told || now >= due {
            self.dropped(now, made);
        } else {
            self.backoff.failed(now, PAUSE_FIRST, PAUSE_LONGEST, random);
            self.phase = Phase::Pausing { due };
        }
    }

    /// An answer was given, and taken or not.
    pub fn answered(&mut self, now: Duration, taken: bool, random: &dyn Random) {
        let Phase::Dropped { made, .. } = self.phase else { return };
        if taken {
            self.over(made, Some(true));
        } else {
            self.backoff.failed(now, PAUSE_FIRST, PAUSE_LONGEST, random);
        }
    }

    /// Whether nothing has been begun, or what was has been withdrawn.
    pub fn is_watching(&self) -> bool {
        matches!(self.phase, Phase::Watching)
    }

    /// How the drop ended, once it has.
    pub fn made(&self) -> Option<Made> {
        match self.phase {
            Phase::Dropped { made, .. } | Phase::Over { made, .. } => Some(made),
            _ => None,
        }
    }

    /// Whether whoever waited took the answer; `None` if nobody waited.
    pub fn was_answered(&self) -> Option<bool> {
        match self.phase {
            Phase::Over { answered, .. } => answered,
            _ => None,
        }
    }

    fn begin(&mut self, due: Duration) -> Step {
        self.phase = Phase::Dropping { due, told: false };
        Step::Drop
    }

    fn dropped(&mut self, now: Duration, made: Made) {
        self.backoff.succeeded();
        self.phase = Phase::Dropped { made, due: now.saturating_add(self.limits.answer) };
    }

    fn over(&mut self, made: Made, answered: Option<bool>) -> Step {
        self.phase = Phase::Over { made, answered };
        Step::End
    }
}

#[cfg(test)]
mod tests;
