//! The clerk: takes up each second what commands say, lets go what may go, and shows how things are.

use std::time::Duration;

use outlast_handover::ledger::{Told, Tracked};
use outlast_handover::{Desk, DropKey, HandoverError, intake};
use outlast_types::Backoff;

use super::account;
use super::room::Room;
use super::troubles::Kind;
use crate::Shutdown;

const TICK: Duration = Duration::from_secs(1);
/// How often it is looked what may go, if nothing has happened.
const CLEAR: Duration = Duration::from_secs(10);
/// The longest pause after the directory could not be used.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// After so many failures in a row, the desk is closed and opened anew.
const FAILURES_MAX: u32 = 2;

/// What it remembers from one second to the next.
#[derive(Default)]
struct Clerk {
    /// When it was last looked what may go, by the timer, and how many had appeared then.
    cleared: Option<(Duration, u64)>,
    backoff: Backoff,
}

/// Works until the end is asked for.
pub(super) fn run(room: &Room, shutdown: &Shutdown) {
    let mut clerk = Clerk::default();
    loop {
        let now = room.elapsed();
        if !clerk.backoff.is_waiting(now) {
            match clerk.look(room, now) {
                Ok(()) => {
                    clerk.backoff.succeeded();
                    room.trouble(Kind::Directory, None);
                }
                Err(error) => {
                    if clerk.backoff.failures() >= FAILURES_MAX {
                        // Whoever mends its file system may have to unmount it.
                        room.door.close();
                    }
                    let random = &*room.environment.random;
                    clerk.backoff.failed(room.elapsed(), TICK, PAUSE_MAX, random);
                    let reason = format!(
                        "nothing is handed over to {}: {error}",
                        room.rules.directory.display()
                    );
                    room.trouble(Kind::Directory, Some(reason));
                }
            }
        }
        if room.environment.timer.pause(TICK, shutdown) {
            // What came since the last look is listed, too: a job that begins now goes by the list.
            if !clerk.backoff.is_waiting(room.elapsed())
                && let Err(error) = clerk.look(room, room.elapsed())
            {
                tracing::warn!(handover = room.name(), "its list may lack what came last: {error}");
            }
            return;
        }
    }
}

impl Clerk {
    fn look(&mut self, room: &Room, now: Duration) -> Result<(), HandoverError> {
        let (desk, is_opened) = room.door.open()?;
        if is_opened {
            // What the directory has may be less than what was brought there: its disk may have lost it.
            room.came(|waiting, _| waiting.begin_anew());
        }
        let mut desk = intake::at(&desk);
        note_tolds(room, &mut desk)?;
        let taken = desk.take_up()?;
        unstage(room, &mut desk)?;
        if room.has_become_whole() {
            desk.is_rebuilt();
        }
        let offered = room.offered();
        let is_due = self
            .cleared
            .is_none_or(|(at, before)| before != offered || now.saturating_sub(at) >= CLEAR);
        if is_due || taken > 0 {
            // Once it has gone, nobody could say on the share any more who has it, and only we to the vault.
            // On another share than the one that is served now, nobody can say anything; and the vault hears of this one alone.
            let share = room.share().map(|share| share.id());
            let is_elsewhere = |it: &Tracked| share.is_some_and(|share| it.offer.share != share);
            // Where a confirmation alone frees it on the share, nobody but the desk could ask the product again: there the
            // vault's word lies on the share before it leaves.
            let is_alone = room.rules.frees.wants_no_vault();
            let word = if is_alone { Told::Countersigned } else { Told::Confirmed };
            let is_let_go =
                |it: &Tracked| it.released.as_ref().is_some_and(|it| it.vaulted || !is_alone);
            let is_told =
                |it: &Tracked| it.told.contains(&word) || is_let_go(it) || is_elsewhere(it);
            let is_unheard =
                |it: &Tracked| is_told(it) && !is_elsewhere(it) && !room.is_heard(&it.offer.key());
            let leaving = account::leaving(&desk, is_unheard, room.environment.clock.now());
            let gone = desk.clear_out_of(is_told)?;
            room.has_let_go(leaving, &gone);
            for drop in &gone {
                tracing::info!(%drop, handover = room.name(), "it may leave by the rules or by hand, and has left the directory");
            }
            self.cleared = Some((now, offered));
        }
        desk.show(room.trouble_shown().as_deref())
    }
}

/// Notes what the share was told.
fn note_tolds(room: &Room, desk: &mut Desk) -> Result<(), HandoverError> {
    // What cannot be noted is told again, which changes nothing.
    for telling in room.take_tolds() {
        if telling.is_taken_back {
            desk.taken_back(&telling.key)?;
        }
        telling.tolds.iter().try_for_each(|told| desk.told(&telling.key, *told))?;
    }
    Ok(())
}

/// Removes copies that nobody is going to read.
fn unstage(room: &Room, desk: &mut Desk) -> Result<(), HandoverError> {
    let idle: Vec<DropKey> = desk.staged().filter(|key| room.is_idle(key)).cloned().collect();
    idle.iter().try_for_each(|key| desk.unstage(key))
}

#[cfg(test)]
mod tests;
