//! Causes in words: the text of a page, made when somebody reads it.

use std::fmt;
use std::time::Duration;

use outlast_types::{DropId, RejectionCode, Safe, SnapshotId, Timestamp, WorkloadName, human};

use super::{Cause, LostDrop, handed};
use crate::event::Source;
use crate::limit::Excess;
use crate::promised::Promised;
use crate::verification::{Damage, Shortening, Unread};

/// What happened, to what, and what to do next: the text of a page.
impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingDropped { workload, promised, last_vaulted, known_since, said, safe } => {
                let newest = (*last_vaulted, *known_since, safe.done());
                nothing_dropped(f, workload, promised, newest, said.as_deref())
            }
            Self::NotVaulted { workload, promised, waiting_since, safe } => {
                not_vaulted(f, workload, promised, (*waiting_since, *safe))
            }
            Self::NotConfirmed { .. }
            | Self::HandoverJobFailed { .. }
            | Self::HandoverUnread { .. }
            | Self::HandoverUnconfirmed { .. }
            | Self::HandoverFull { .. }
            | Self::HandoverUnusable { .. }
            | Self::HandoverWithdrawn { .. } => handed::troubled(f, self),
            Self::OnlySuspect { workload, promised, drop, received, why } => {
                only_suspect(f, workload, promised, (*drop, *received), why)
            }
            Self::DropRejected { workload, drop, code, reason } => {
                rejected(f, workload, *drop, code, reason)
            }
            Self::AgentSilent { agent, last_heard, deadline } => {
                agent_silent(f, agent, *last_heard, *deadline)
            }
            Self::RetiredDropped { workload, retired, dropped } => {
                retired_dropped(f, workload, *retired, *dropped)
            }
            Self::UnderFormerName { workload, former, agent, until } => {
                under_former_name(f, workload, former, (agent, *until))
            }
            Self::ShorteningAsked { workload, asked } => shortening(f, workload, asked),
            Self::ShareSilent { source, last_heard, deadline } => {
                share_silent(f, source, *last_heard, *deadline)
            }
            Self::ShareUnusable { agent, problem, .. } => {
                write!(f, "agent {agent} cannot use its share: {problem}")
            }
            Self::AgentHindered { agent, problem, .. } => {
                write!(f, "agent {agent} does not get drops into the vault: {problem}")
            }
            Self::StrayOnShare { agent, problem, .. } => stray(f, agent, problem),
            Self::OverLimit { agent, excess } => over_limit(f, agent, excess),
            Self::NeverVaulted { agent, count } => never_vaulted(f, agent, *count),
            Self::ClockOff { agent, minutes, .. } => clock_off(f, agent, *minutes),
            Self::ContentUnusable { workload, problem } => unusable(f, workload, problem),
            Self::CertificateEnds { holder, until } => certificate_ends(f, holder, *until),
            Self::CertificateEarly { holder, from } => certificate_early(f, holder, *from),
            Self::RepositoryMissing { workload, what } => repository_missing(f, workload, what),
            Self::MediaSilent { media, last_heard } => media_silent(f, media, *last_heard),
            Self::MediaHindered { media, problem } => media_hindered(f, media, problem),
            Self::RouteFails { route, problem } => route_fails(f, route, problem),
            Self::VaultAbsent { from, until } => vault_absent(f, *from, *until),
            Self::VaultWentBack { lost, count } => went_back(f, lost, *count),
            Self::AuditLogDamaged { problem } => audit_log_damaged(f, problem),
            Self::ReleasesWithheld { agents, until } => withheld(f, agents, *until),
            Self::ForgettingStopped { problem } => forgetting_stopped(f, problem),
            Self::DataDamaged { workload, damage } => damaged(f, workload, damage),
            Self::NotScrubbed { workload, unread } => unscrubbed(f, workload, unread),
            Self::DrillFailed { workload, at, snapshot, phase, why, .. } => {
                drill_failed(f, workload, (snapshot, *at), (phase, why))
            }
            Self::DrillOverdue { workload, every, last, why } => {
                drill_overdue(f, workload, *every, *last, why.as_deref())
            }
            Self::DropContested { workload, agent, drop, difference } => {
                contested(f, workload, agent, *drop, difference)
            }
        }
    }
}

fn nothing_dropped(
    f: &mut fmt::Formatter<'_>,
    workload: &WorkloadName,
    promised: &Promised,
    (last_vaulted, known_since, done): (Option<Timestamp>, Timestamp, &str),
    said: Option<&str>,
) -> fmt::Result {
    let promised = match promised {
        Promised::Rpo(rpo) => format!("{} are promised", human::duration(*rpo)),
        by @ Promised::By { schedule, .. } => {
            format!("one was promised by {by}, after the schedule {schedule}")
        }
    };
    write!(f, "{workload} missed its recovery point: nothing ")?;
    match last_vaulted {
        Some(last) => write!(f, "newer than {last:.0} is {done}, and {promised}; ")?,
        None => {
            write!(f, "was {done} since it became known at {known_since:.0}, and {promised}; ")?
        }
    }
    match (said, last_vaulted) {
        (Some(said), _) => write!(f, "the agent that makes its drops says why: {said}"),
        (None, Some(_)) => f.write_str("check that its instances still write and seal drops"),
        (None, None) => f.write_str("check that its instances mount the share and drop"),
    }
}

fn only_suspect(
    f: &mut fmt::Formatter<'_>,
    workload: &WorkloadName,
    promised: &Promised,
    (drop, received): (DropId, Timestamp),
    why: &str,
) -> fmt::Result {
    write!(
        f,
        "{workload} missed its recovery point of {promised}: what was vaulted since looks like no backup, the \
         newest at {received}: {why}; look at it, and if it is right as it is, let an operator accept \
         it: `outlast share accept {drop}`"
    )
}

fn rejected(
    f: &mut fmt::Formatter<'_>,
    workload: &WorkloadName,
    drop: DropId,
    code: &RejectionCode,
    reason: &str,
) -> fmt::Result {
    write!(
        f,
        "drop {drop} of {workload} was rejected: {reason}; it is kept in quarantine on the share, and \
         the next good drop resolves this"
    )?;
    match code {
        RejectionCode::BrokenContent => write!(
            f,
            "; if it is right as it is, let an operator accept it: `outlast share accept {drop}`"
        ),
        _ => Ok(()),
    }
}

fn route_fails(f: &mut fmt::Formatter<'_>, route: &str, problem: &str) -> fmt::Result {
    write!(
        f,
        "alerts do not get through by route {route}: {problem}; until they do, all other routes tell them \
         alone; `outlast doctor alerts` tries each out"
    )
}

fn vault_absent(f: &mut fmt::Formatter<'_>, from: Timestamp, until: Timestamp) -> fmt::Result {
    write!(
        f,
        "the vault was down from {from:.0} until {until:.0}, and promises broke meanwhile; those that the \
         waiting drops do not mend will open by themselves"
    )
}

fn retired_dropped(
    f: &mut fmt::Formatter<'_>,
    workload: &WorkloadName,
    retired: Timestamp,
    dropped: Timestamp,
) -> fmt::Result {
    write!(
        f,
        "{workload} was retired at {retired}, and a drop of it was vaulted at {dropped}: its promise \
         counts again; retire it again when nothing drops it any more, or resume it if it lives"
    )
}

fn not_vaulted(
    f: &mut fmt::Formatter<'_>,
    workload: &WorkloadName,
    promised: &Promised,
    (waiting_since, safe): (Timestamp, Safe),
) -> fmt::Result {
    let (done, check) = match safe {
        Safe::Confirmed => ("in no hand-over", "the directory that it is handed over by"),
        _ => ("not vaulted", "its way to the vault"),
    };
    write!(
        f,
        "{workload} missed its recovery point of {promised}: a sealed drop waits on the share \
         since {waiting_since} but is {done}; check the agent's log and {check}"
    )
}

fn agent_silent(
    f: &mut fmt::Formatter<'_>,
    agent: &str,
    last_heard: Timestamp,
    deadline: Duration,
) -> fmt::Result {
    write!(
        f,
        "agent {agent} is silent: nothing was heard of it since {last_heard}, and it \
         reports at least every {}; check its host and its way to the vault",
        human::duration(deadline)
    )
}

fn shortening(
    f: &mut fmt::Formatter<'_>,
    workload: &WorkloadName,
    asked: &Shortening,
) -> fmt::Result {
    let Shortening { what, by, reason, .. } = asked;
    write!(
        f,
        "{by} asks that of {workload} {what} ({reason}): it is done seven days after another operator \
         agrees; whoever objects tells them, or withdraws the request"
    )
}

fn under_former_name(
    f: &mut fmt::Formatter<'_>,
    workload: &WorkloadName,
    former: &WorkloadName,
    (agent, until): (&str, Timestamp),
) -> fmt::Result {
    write!(
        f,
        "drops wait on the share of agent {agent} under the name {former}, which {workload} had before and \
         which was accepted until {until:.0}: let its instances drop as {workload}, or accept the name for \
         longer, with workload rename {former} {workload} and a later date; nothing is lost meanwhile"
    )
}

fn audit_log_damaged(f: &mut fmt::Formatter<'_>, problem: &str) -> fmt::Result {
    write!(
        f,
        "the vault's audit log is not whole: {problem}; keep what is there, find out who changed or \
         removed it, and put what is missing back from a copy: this resolves by itself when the \
         vault finds the log whole"
    )
}

fn went_back(f: &mut fmt::Formatter<'_>, lost: &[LostDrop], count: usize) -> fmt::Result {
    write!(
        f,
        "the vault does not hold {count} drops that it signed for: its directory was put back from \
         an older copy, or data was lost. Those that still lie on a share are shipped again by \
         themselves; keep every share as it is, and look for a newer copy of the vault. Missing:"
    )?;
    for (index, LostDrop { workload, drop, received }) in lost.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        write!(f, "{comma} {workload} {drop} received {received}")?;
    }
    if count > lost.len() { write!(f, " and {} more", count - lost.len()) } else { Ok(()) }
}

fn withheld(f: &mut fmt::Formatter<'_>, agents: &[String], until: Timestamp) -> fmt::Result {
    const NAMED_MAX: usize = 10;
    let named = agents.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = match agents.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    write!(
        f,
        "this vault was brought back from its repositories, and lets no drop leave a share before each \
         agent that it knew has reported: waiting for {named}{more}, until {until:.0} at the latest; start \
         them, or, if they are gone for good, let an operator say so with `outlast vault resume`"
    )
}

fn contested(
    f: &mut fmt::Formatter<'_>,
    workload: &WorkloadName,
    agent: &str,
    drop: DropId,
    difference: &str,
) -> fmt::Result {
    write!(
        f,
        "agent {agent} handed in a bill for drop {drop} of {workload} that is not the drop the \
         vault holds under this id ({difference}); the vault keeps what it holds and took nothing; \
         find out who used the id twice, and whether that agent's certificate is in the right hands"
    )
}

fn share_silent(
    f: &mut fmt::Formatter<'_>,
    Source { agent, share }: &Source,
    last_heard: Timestamp,
    deadline: Duration,
) -> fmt::Result {
    write!(
        f,
        "agent {agent} says nothing of share {} since {last_heard}, though it reports at least every \
         {} of another one: if two agents bear one name, look after the other one, and give it a \
         name of its own",
        share.map_or_else(|| "(unknown)".to_owned(), |share| share.to_string()),
        human::duration(deadline)
    )
}

fn stray(f: &mut fmt::Formatter<'_>, agent: &str, problem: &str) -> fmt::Result {
    write!(
        f,
        "on the share of agent {agent} lies what nobody backs up: {problem}; give it a proper \
         name, or remove it"
    )
}

fn over_limit(f: &mut fmt::Formatter<'_>, agent: &str, excess: &Excess) -> fmt::Result {
    write!(
        f,
        "agent {agent} wants more than policy allows it, which is {excess}; what is beyond is refused, \
         and tried again by itself. If it is meant to have more, raise `{}` for it in the vault's \
         configuration; if not, find out what it sends, and who has its identity",
        excess.limit
    )
}

fn never_vaulted(f: &mut fmt::Formatter<'_>, agent: &str, count: usize) -> fmt::Result {
    write!(
        f,
        "agent {agent} speaks of {count} workloads of which nothing was ever vaulted and with which \
         something is the matter; if they are new, check that their instances drop and that the agent \
         ships; if nobody knows them, find out who writes on its share, and who has its identity"
    )
}

fn clock_off(f: &mut fmt::Formatter<'_>, agent: &str, minutes: i64) -> fmt::Result {
    let off = human::duration(Duration::from_secs(minutes.unsigned_abs() * 60));
    let side = if minutes > 0 { "ahead of" } else { "behind" };
    write!(
        f,
        "the clock of agent {agent}'s host is {off} {side} the vault's; set the one that is wrong, and \
         keep it right by NTP: by its clock the agent judges which writers are dead, and whose \
         certificate is valid"
    )
}

fn unusable(f: &mut fmt::Formatter<'_>, workload: &WorkloadName, problem: &str) -> fmt::Result {
    write!(
        f,
        "what {workload} has on the share cannot be used: {problem}; until it is mended, what was \
         known before counts"
    )
}

fn certificate_ends(f: &mut fmt::Formatter<'_>, holder: &str, until: Timestamp) -> fmt::Result {
    write!(
        f,
        "the certificate of {holder} is valid until {until:.0} only, by the vault's clock; renew it \
         before, or {holder} is refused from then on (`outlast up` renews its own when it starts)"
    )
}

fn certificate_early(f: &mut fmt::Formatter<'_>, holder: &str, from: Timestamp) -> fmt::Result {
    write!(
        f,
        "the certificate of {holder} is valid from {from:.0} only, and nobody believes it before: \
         this clock is wrong, or the one was under which it was made; set the clock right, and \
         issue the certificate again"
    )
}

fn damaged(f: &mut fmt::Formatter<'_>, workload: &WorkloadName, damage: &Damage) -> fmt::Result {
    let Damage { found, what, count, snapshots, touched, whole, newest_whole } = damage;
    write!(f, "data that the vault holds of {workload} is damaged, found at {found:.0}: {what}")?;
    if let more @ 1.. = count.saturating_sub(1) {
        write!(f, " and {more} more")?;
    }
    match touched {
        0 => f.write_str("; no snapshot needs it")?,
        touched => {
            write!(f, "; {touched} snapshots cannot be restored whole:")?;
            for (number, (snapshot, at)) in snapshots.iter().enumerate() {
                let comma = if number == 0 { "" } else { "," };
                write!(f, "{comma} {snapshot:.8} of {at:.0}")?;
            }
            match touched.saturating_sub(snapshots.len() as u64) {
                0 => {}
                more => write!(f, " and {more} more")?,
            }
        }
    }
    match newest_whole {
        Some((newest, at)) => {
            write!(f, "; {whole} can, the newest of them {newest:.8} of {at:.0}")?;
        }
        None => f.write_str("; none can")?,
    }
    write!(
        f,
        ". There is no second copy to heal it from: look after the disk first, keep what is there, and \
         see `outlast scrub status {workload}` for all that it hits; the next drop stores again what it \
         still has, once `outlast repo repair` has taken the damaged packs out"
    )
}

fn unscrubbed(f: &mut fmt::Formatter<'_>, workload: &WorkloadName, unread: &Unread) -> fmt::Result {
    let Unread { period, since, why } = unread;
    write!(
        f,
        "data that the vault holds of {workload} is unread since {since:.0}, and policy has all of it read \
         within {}: nobody knows whether it is whole; ",
        human::duration(*period)
    )?;
    match why {
        Some(why) => write!(f, "what keeps the vault from it: {why}"),
        None => f.write_str(
            "the vault does not get round to it: see `outlast scrub status`, and raise `rate` or `period` \
             in the section [scrub] of its configuration",
        ),
    }
}

fn drill_failed(
    f: &mut fmt::Formatter<'_>,
    workload: &WorkloadName,
    (snapshot, at): (&SnapshotId, Timestamp),
    (phase, why): (&str, &str),
) -> fmt::Result {
    write!(
        f,
        "a drill could not bring {workload} back: snapshot {snapshot:.8} at {at:.0}, in the phase \
         {phase}: {why}; look at it with `outlast drill show {workload}`, mend what is wrong, and \
         try again with `outlast drill run {workload}`: a good drill resolves this"
    )
}

fn drill_overdue(
    f: &mut fmt::Formatter<'_>,
    workload: &WorkloadName,
    every: Duration,
    last: Option<Timestamp>,
    why: Option<&str>,
) -> fmt::Result {
    write!(
        f,
        "{workload} is to be brought back in a drill every {}, and ",
        human::duration(every)
    )?;
    match last {
        Some(last) => write!(f, "the last good one was at {last:.0}")?,
        None => f.write_str("none was good so far")?,
    }
    match why {
        Some(why) => write!(f, "; what is missing: {why}"),
        None => write!(f, "; try it now: `outlast drill run {workload}`"),
    }
}

fn forgetting_stopped(f: &mut fmt::Formatter<'_>, problem: &str) -> fmt::Result {
    write!(
        f,
        "the vault forgets no snapshots meanwhile: {problem}; nothing is lost by that, but its disk \
         fills, and it resolves by itself when that is mended"
    )
}

fn media_hindered(f: &mut fmt::Formatter<'_>, media: &str, problem: &str) -> fmt::Result {
    write!(f, "media server {media} does not hand on what it holds: {problem}")
}

fn media_silent(f: &mut fmt::Formatter<'_>, media: &str, last_heard: Timestamp) -> fmt::Result {
    write!(
        f,
        "media server {media} is silent: nothing was heard of it since {last_heard}, and it was \
         not drained; check its host and its way to the vault; what waited there is sent again \
         if it does not come back"
    )
}

fn repository_missing(
    f: &mut fmt::Formatter<'_>,
    workload: &WorkloadName,
    what: &str,
) -> fmt::Result {
    write!(
        f,
        "the vault's repository of {workload} is not whole: {what}; nothing is made in its \
         place, so put it back, and this resolves by itself; if it is lost for good, \
         `outlast workload recreate {workload}` begins anew"
    )
}
