//! Why a workload has no recovery point, as far as that is its own.

use outlast_types::{Safe, Timestamp, WorkloadName};

use crate::cause::Cause;
use crate::workload::{Suspect, Workload};

/// Who is asked for a recovery point that is missing: who had it last, and did not do his part.
pub(super) fn cause(name: &WorkloadName, workload: &Workload, now: Timestamp) -> Cause {
    let safe = workload.promise().class().safe;
    let (name, promised) = (name.clone(), workload.promised());
    if let Some(lies) = workload.lies.as_ref().filter(|_| workload.awaits_confirmation()) {
        let since = lies.unconfirmed.unwrap_or(now);
        let handover = Some(lies.handover.clone());
        return Cause::NotConfirmed { workload: name, promised, handover, read: lies.read, since };
    }
    if let Some(waiting_since) = workload.waiting_since {
        return Cause::NotVaulted { workload: name, promised, waiting_since, safe };
    }
    if let Some(Suspect { drop, at, why }) = workload.suspect.clone() {
        return Cause::OnlySuspect { workload: name, promised, drop, received: at, why };
    }
    let is_new = |at: &Timestamp| workload.promise().due_after(*at) > now;
    match (safe, workload.last_vaulted.filter(is_new), workload.last_delivered().filter(is_new)) {
        (Safe::Both, _, Some(waiting_since)) => {
            return Cause::NotVaulted { workload: name, promised, waiting_since, safe };
        }
        (Safe::Confirmed | Safe::Both, Some(since), None) => {
            let (handover, read) = (None, false);
            return Cause::NotConfirmed { workload: name, promised, handover, read, since };
        }
        _ => {}
    }
    Cause::NothingDropped {
        workload: name,
        promised,
        last_vaulted: workload.last_safe(),
        known_since: workload.known_since,
        said: workload.failing.clone(),
        safe,
    }
}
