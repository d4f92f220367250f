//! What the passes over the share and the desk have to tell each other.

use std::sync::{Mutex, MutexGuard, PoisonError};

use outlast_drop::Share;

use crate::problem::Problem;

/// Between the two.
#[derive(Debug, Default)]
pub(crate) struct Hatch(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    share: Option<Share>,
    is_busy: bool,
    is_full: bool,
    problems: Vec<Problem>,
}

impl Hatch {
    /// The share that is served now, if it can be, and whether there are drops to be shipped.
    pub(crate) fn serve(&self, share: Option<Share>, is_busy: bool) {
        let mut state = self.state();
        (state.share, state.is_busy) = (share, is_busy);
    }

    /// Whether the share has no room left for drops, by its budget.
    pub(crate) fn is_full(&self, is_full: bool) {
        self.state().is_full = is_full;
    }

    /// What the desk met last.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        self.state().problems.clone()
    }

    pub(super) fn share(&self) -> Option<Share> {
        self.state().share.clone()
    }

    /// Whether drops come first now.
    pub(super) fn is_busy(&self) -> bool {
        self.state().is_busy
    }

    pub(super) fn has_no_room(&self) -> bool {
        self.state().is_full
    }

    pub(super) fn tell(&self, problems: Vec<Problem>) {
        self.state().problems = problems;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
