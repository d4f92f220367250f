//! What keeps a hand-over from its work, and what people are told of it.

use std::path::Path;
use std::time::Duration;

use outlast_wire::api::{HandoverProblem, HandoverTrouble};

use super::waiting::Waiting;

/// Drops that are named in one problem.
const NAMED_MAX: usize = 3;
/// A trouble that passes sooner is told nobody: disks have hiccups, and nobody must be woken for that.
const LASTING: Duration = Duration::from_secs(15);

/// One thing that keeps it from its work, and since when, by the timer.
#[derive(Debug, Clone)]
struct Trouble {
    since: Duration,
    reason: String,
}

/// All of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Troubles {
    /// A thread of it has ended.
    thread: Option<Trouble>,
    /// The directory.
    directory: Option<Trouble>,
    /// The same, while a drop was being brought there.
    staging: Option<Trouble>,
    /// There is no room.
    full: Option<Trouble>,
    /// The product cannot be asked.
    confirmer: Option<Trouble>,
}

/// Which trouble it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Thread,
    Directory,
    Staging,
    Full,
    Confirmer,
}

impl Troubles {
    fn of(&mut self, kind: Kind) -> &mut Option<Trouble> {
        match kind {
            Kind::Thread => &mut self.thread,
            Kind::Directory => &mut self.directory,
            Kind::Staging => &mut self.staging,
            Kind::Full => &mut self.full,
            Kind::Confirmer => &mut self.confirmer,
        }
    }

    /// Notes what troubles it now, or that it does no more; in the log when that is new.
    pub(super) fn note(
        &mut self,
        handover: &str,
        kind: Kind,
        reason: Option<String>,
        now: Duration,
    ) {
        let known = self.of(kind);
        match (&mut *known, reason) {
            (Some(known), Some(reason)) => known.reason = reason,
            (None, Some(reason)) => {
                tracing::warn!(handover, "{reason}");
                *known = Some(Trouble { since: now, reason });
            }
            (Some(_), None) => {
                tracing::info!(handover, "it goes on");
                *known = None;
            }
            (None, None) => {}
        }
    }

    /// The trouble that whoever restores from the directory should know.
    pub(super) fn shown(&self, waiting: &Waiting) -> Option<String> {
        let Self { thread, directory, staging, full, .. } = self;
        let of_drops = [staging, full].into_iter().filter(|_| waiting.count() > 0);
        let mut all = [thread, directory].into_iter().chain(of_drops).flatten();
        all.next().map(|it| it.reason.clone())
    }

    /// What people should know, of all that has lasted.
    pub(super) fn told(
        &self,
        directory: &Path,
        waiting: &Waiting,
        now: Duration,
    ) -> Vec<HandoverProblem> {
        let count = waiting.count();
        let has_lasted = |it: &&Trouble| now.saturating_sub(it.since) >= LASTING;
        let told = |code, text: &str| HandoverProblem { code, text: text.to_owned() };
        let mut problems = Vec::new();
        let unusable = self.directory.iter().chain(self.staging.iter().filter(|_| count > 0));
        let mut unusable = self.thread.iter().chain(unusable.filter(has_lasted));
        problems.extend(unusable.next().map(|it| told(HandoverTrouble::Directory, &it.reason)));
        for it in self.full.iter().filter(|_| count > 0).filter(has_lasted) {
            let are_waiting = match count {
                1 => "a drop waits".to_owned(),
                more => format!("{more} drops wait"),
            };
            let text = format!(
                "{} takes nothing new, and {are_waiting} for it on the share: {}",
                directory.display(),
                it.reason
            );
            problems.push(told(HandoverTrouble::Full, &text));
        }
        let confirmer = self.confirmer.iter();
        problems.extend(confirmer.map(|it| told(HandoverTrouble::Confirmer, &it.reason)));
        problems.extend(refused(waiting).map(|text| told(HandoverTrouble::Other, &text)));
        problems
    }
}

/// The drops that cannot be handed over as they are.
fn refused(waiting: &Waiting) -> Option<String> {
    let refused: Vec<_> = waiting.refused().collect();
    let (_, first) = refused.first()?;
    let names: Vec<_> = refused.iter().take(NAMED_MAX).map(|(key, _)| key.to_string()).collect();
    let more = match refused.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!("{}{more} cannot be handed over: {}", names.join(", "), first.reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hiccup_is_told_nobody_and_what_lasts_is_told_once_with_its_owner() {
        let (mut troubles, waiting) = (Troubles::default(), Waiting::default());
        let told = |troubles: &Troubles, seconds| {
            let now = Duration::from_secs(seconds);
            troubles.told(Path::new("/srv/nbu"), &waiting, now)
        };
        let mut note = |kind, reason: Option<&str>, seconds| {
            let now = Duration::from_secs(seconds);
            troubles.note("nbu", kind, reason.map(str::to_owned), now);
            troubles.clone()
        };
        assert!(told(&note(Kind::Directory, Some("EIO"), 0), 10).is_empty());
        let lasting = note(Kind::Directory, Some("still EIO"), 14);
        let problems = told(&lasting, 15);
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].code, HandoverTrouble::Directory);
        assert!(problems[0].text.contains("still EIO"));
        assert!(told(&note(Kind::Directory, None, 20), 50).is_empty());
        // There is no room, and nothing that wants any.
        assert!(told(&note(Kind::Full, Some("full"), 20), 50).is_empty());
        let asked = told(&note(Kind::Confirmer, Some("no bplist"), 50), 50);
        assert_eq!(asked[0].code, HandoverTrouble::Confirmer);
    }
}
