//! Which role may do what, and with whose workloads: one table for objects and calls, pure.
//!
//! `docs/security.md` shows it to auditors; a test keeps the two equal, and others try each cell over
//! the wire. Nobody may do anything with a workload that is not granted: what is asked about a
//! foreign one is refused before anything is looked at, so that neither the words of the answer nor
//! the time that it takes tell whether the workload exists.

use std::fmt;

use outlast_store::{Kind, Verb};
use outlast_types::WorkloadName;

use crate::certificate::Certified;
use crate::grants::WorkloadPattern;
use crate::peer::{Peer, Role};
use crate::ticket;

/// What somebody asks a vault to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// To do `verb` with objects of `kind` in a repository.
    Object { verb: Verb, kind: Kind },
    /// A call of `/api/v1`.
    Call(Call),
}

/// The calls of `/api/v1`, as far as roles differ in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Call {
    /// To get a workload's repository key, sealed to the caller.
    OpenRepository,
    /// To have a repository made by opening it, if the workload is new.
    MakeRepository,
    /// To begin or cancel a shipment, and to hand in a bill of lading.
    Ship,
    /// To ask which objects a repository lacks.
    AskLacking,
    /// To ask which drops the vault holds now.
    AskHoldings,
    /// To tell what a pass over a share saw.
    Report,
    /// To tell how a spool is doing.
    ReportSpool,
    /// To hear which certificates are revoked, and which authorities are believed.
    AskTrust,
    /// To ask for a backup that an instance wants back, and for leave to read it.
    FetchBackup,
    ListWorkloads,
    ViewWorkload,
    ListSnapshots,
    ListIncidents,
    ListOrders,
    /// To see what the vault does by itself.
    ListJobs,
    /// To hear who one is to the vault, and its time.
    Greet,
    /// To measure the road with bytes that nobody keeps.
    MeasureRoad,
    /// To see the vault's metrics.
    ViewMetrics,
    /// To see which certificates were issued or met.
    ListCertificates,
    RevokeCertificate,
    /// To get another certificate in place of one's own.
    Renew,
    /// To have a token made, by which a host gets its first certificate.
    MakeToken,
    ListTokens,
    RevokeToken,
    /// To begin a repository anew that is missing for good.
    RecreateRepository,
    PauseWorkload,
    RetireWorkload,
    ResumeWorkload,
    RenameWorkload,
    /// To say that a release of a workload begins.
    AnnounceDeploy,
    /// To take a drop for a backup that looks like none.
    AcceptDrop,
    /// To let another policy hold.
    ApplyPolicy,
    /// To acknowledge an incident, or to comment on it.
    AnswerIncident,
    /// To let agents release again, after the vault was brought back.
    ResumeReleases,
    /// To see what keeps each snapshot, and what operators asked for.
    ViewKeeping,
    /// To hold, release, forget and take back snapshots; to ask for more, and to approve it.
    OrderKeeping,
    /// To see what was read of repositories, and what was found.
    ViewScrubs,
    /// To see whether backups were brought back in drills.
    ViewDrills,
    RunDrill,
    /// To have the report of a month.
    ViewReports,
}

impl Call {
    pub const ALL: [Self; 40] = [
        Self::OpenRepository,
        Self::MakeRepository,
        Self::Ship,
        Self::AskLacking,
        Self::AskHoldings,
        Self::Report,
        Self::ReportSpool,
        Self::AskTrust,
        Self::FetchBackup,
        Self::ListWorkloads,
        Self::ViewWorkload,
        Self::ListSnapshots,
        Self::ListIncidents,
        Self::ListOrders,
        Self::ListJobs,
        Self::Greet,
        Self::MeasureRoad,
        Self::ViewMetrics,
        Self::ListCertificates,
        Self::RevokeCertificate,
        Self::Renew,
        Self::MakeToken,
        Self::ListTokens,
        Self::RevokeToken,
        Self::RecreateRepository,
        Self::PauseWorkload,
        Self::RetireWorkload,
        Self::ResumeWorkload,
        Self::RenameWorkload,
        Self::AnnounceDeploy,
        Self::AcceptDrop,
        Self::ApplyPolicy,
        Self::AnswerIncident,
        Self::ResumeReleases,
        Self::ViewKeeping,
        Self::OrderKeeping,
        Self::ViewScrubs,
        Self::ViewDrills,
        Self::RunDrill,
        Self::ViewReports,
    ];

    /// As sentences say it: "agent eu-1 may not *list workloads*".
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenRepository => "open a repository",
            Self::MakeRepository => "make a repository",
            Self::Ship => "ship drops",
            Self::AskLacking => "ask what is lacking",
            Self::AskHoldings => "ask what is held",
            Self::Report => "report from a share",
            Self::ReportSpool => "report from a spool",
            Self::AskTrust => "ask whom to trust",
            Self::FetchBackup => "fetch a backup for an instance",
            Self::ListWorkloads => "list workloads",
            Self::ViewWorkload => "look at a workload",
            Self::ListSnapshots => "list snapshots",
            Self::ListIncidents => "list incidents",
            Self::ListOrders => "list what operators ordered",
            Self::ListJobs => "list jobs",
            Self::Greet => "greet the vault",
            Self::MeasureRoad => "measure the road",
            Self::ViewMetrics => "look at metrics",
            Self::ListCertificates => "list certificates",
            Self::RevokeCertificate => "revoke certificates",
            Self::Renew => "renew a certificate",
            Self::MakeToken => "make tokens",
            Self::ListTokens => "list tokens",
            Self::RevokeToken => "revoke tokens",
            Self::RecreateRepository => "begin a repository anew",
            Self::PauseWorkload => "pause a workload",
            Self::RetireWorkload => "retire a workload",
            Self::ResumeWorkload => "resume a workload",
            Self::RenameWorkload => "rename a workload",
            Self::AnnounceDeploy => "announce a release",
            Self::AcceptDrop => "accept a drop",
            Self::ApplyPolicy => "apply a policy",
            Self::AnswerIncident => "answer an incident",
            Self::ResumeReleases => "resume releases",
            Self::ViewKeeping => "look at what is kept",
            Self::OrderKeeping => "order what is kept",
            Self::ViewScrubs => "look at scrubs",
            Self::ViewDrills => "look at drills",
            Self::RunDrill => "run a drill",
            Self::ViewReports => "look at reports",
        }
    }
}

impl From<Call> for Action {
    fn from(call: Call) -> Self {
        Self::Call(call)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object { verb: Verb::Size, kind } => write!(f, "look at {kind}"),
            Self::Object { verb, kind } => write!(f, "{verb} {kind}"),
            Self::Call(call) => f.write_str(call.as_str()),
        }
    }
}

/// How far a role may do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Not at all.
    Nothing,
    /// With the workloads that are granted; a list shows those and no others.
    Granted,
    /// If all workloads are granted: what it tells is about the vault as a whole.
    Everything,
    /// Whatever is granted: it is about no workload, and tells of none.
    Free,
    /// For an agent, within what that one may: objects with the agent's ticket, calls by handing in
    /// what the agent signed.
    Behalf,
    /// With a ticket that the vault gave to this very holder, for one workload and one hour.
    Grant,
}

impl Reach {
    /// Whether it includes workloads that are granted, and others.
    pub fn includes(self, whose: Whose) -> bool {
        match self {
            Self::Nothing => false,
            Self::Granted | Self::Everything | Self::Free | Self::Behalf | Self::Grant => {
                whose == Whose::Granted
            }
        }
    }
}

/// Whether a workload is granted to who asks, or to the agent for which somebody asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    Granted,
    Other,
}

/// Somebody may not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{peer} may not {action}: {why}")]
pub struct Refused {
    pub peer: Peer,
    pub action: Action,
    pub why: Why,
}

/// Why somebody may not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    #[error("its role does not allow it")]
    Role,
    #[error("workload {0} is not granted to it")]
    Workload(WorkloadName),
    #[error("that is for who is granted all workloads")]
    NotAll,
    #[error("it acts for agents only, and {0}")]
    Behalf(String),
    #[error("that takes a grant of the vault, and {0}")]
    NoGrant(String),
}

impl Refused {
    /// What to do next.
    pub fn hint(&self) -> String {
        match &self.why {
            Why::Role => {
                let roles: Vec<&str> = allowed_roles(self.action).map(Role::as_str).collect();
                match roles.is_empty() {
                    true => "no role may do that; the vault does it by its policy".to_owned(),
                    false => format!("use an identity with the role {}", roles.join(" or ")),
                }
            }
            Why::Workload(_) => {
                "its certificate must name the workload, and so must the vault's policy for it, \
                 if there is one"
                    .to_owned()
            }
            Why::NotAll => "use an identity whose certificate grants all workloads".to_owned(),
            Why::Behalf(_) => {
                "an agent gets a ticket when it opens the repository; one that never shows any is \
                 older than media servers: upgrade it"
                    .to_owned()
            }
            Why::NoGrant(_) => {
                "an agent is granted a workload's backup when an instance asks for it, as far as the \
                 vault's policy allows"
                    .to_owned()
            }
        }
    }
}

/// Lets who asks do `action` with `workload`, as far as role and certificate decide, or says why not.
pub fn check(
    asker: &Certified,
    action: impl Into<Action>,
    workload: &WorkloadName,
) -> Result<(), Refused> {
    let action = action.into();
    check_role(&asker.peer, action)?;
    match asker.grants.allows(workload) {
        true => Ok(()),
        false => Err(not_granted(&asker.peer, action, workload)),
    }
}

/// Lets the role of `peer` do `action` with any workload at all, or with none, or says why not.
pub fn check_role(peer: &Peer, action: impl Into<Action>) -> Result<(), Refused> {
    let action = action.into();
    let why = match reach(peer.role(), action) {
        Reach::Nothing => Why::Role,
        Reach::Behalf => Why::Behalf("shows no word of one".to_owned()),
        Reach::Grant => Why::NoGrant("none is shown".to_owned()),
        Reach::Granted | Reach::Everything | Reach::Free => return Ok(()),
    };
    Err(Refused { peer: peer.clone(), action, why })
}

/// The same, also for who may only hand in what another signed.
pub fn check_carrier(peer: &Peer, action: impl Into<Action>) -> Result<(), Refused> {
    let action = action.into();
    match reach(peer.role(), action) {
        Reach::Behalf => Ok(()),
        _ => check_role(peer, action),
    }
}

/// Lets who asks make a call that is about no single workload, or says why not.
pub fn check_whole(asker: &Certified, call: Call) -> Result<(), Refused> {
    check_role(&asker.peer, call)?;
    match reach(asker.peer.role(), call.into()) {
        Reach::Everything if !is_granted_all(asker) => {
            Err(Refused { peer: asker.peer.clone(), action: call.into(), why: Why::NotAll })
        }
        _ => Ok(()),
    }
}

/// Whether there is no workload that is not granted to `asker`.
pub fn is_granted_all(asker: &Certified) -> bool {
    let is_star = |pattern: &WorkloadPattern| pattern.as_str() == "*";
    asker.grants.patterns().is_none_or(|patterns| patterns.iter().any(is_star))
}

/// What somebody is told of a workload that is not granted: no more than it said itself.
pub fn not_granted(peer: &Peer, action: impl Into<Action>, workload: &WorkloadName) -> Refused {
    Refused { peer: peer.clone(), action: action.into(), why: Why::Workload(workload.clone()) }
}

/// The roles that may do `action` by themselves.
pub fn allowed_roles(action: Action) -> impl Iterator<Item = Role> {
    let by_itself = |reach| matches!(reach, Reach::Granted | Reach::Everything | Reach::Free);
    Role::ALL.into_iter().filter(move |role| by_itself(reach(*role, action)))
}

/// Whether `role` may do `action` at all.
pub fn allowed(role: Role, action: Action) -> bool {
    reach(role, action) != Reach::Nothing
}

/// How far `role` may do `action`.
///
/// - An agent adds data and indexes and keeps its locks. It opens the repository (config, keys)
///   and knows what is there (index, sizes, listings), but reads back neither data nor snapshots,
///   and it makes no snapshot: it ships, and the vault publishes. It has room made for what it
///   brings, reports, and asks what is held. For an instance that wants its backup back it may be
///   granted to read data, of that workload and for an hour.
/// - A media server acts for agents: with their tickets it adds ciphertext, sees whether that
///   arrived, and reads config and indexes; and data, with the ticket of one that was granted that. It
///   hands in what they signed. Of itself it says how its
///   spool is doing.
/// - An operator reads all and adds all kinds, so that stock restic can back up, and gives orders.
/// - A reader reads all, and locks while it does.
/// - A vault keeps repositories and asks no other for one.
///
/// Nobody replaces or removes anything but locks; what is old enough is removed by the vault
/// itself, according to policy.
pub fn reach(role: Role, action: Action) -> Reach {
    match action {
        Action::Object { verb, kind } => match role {
            Role::Media if ticket::may_allow(verb, kind) || ticket::may_grant(verb, kind) => {
                Reach::Behalf
            }
            Role::Agent if ticket::may_grant(verb, kind) => Reach::Grant,
            _ if allowed_object(role, verb, kind) => Reach::Granted,
            _ => Reach::Nothing,
        },
        Action::Call(call) => reach_of_call(role, call),
    }
}

fn allowed_object(role: Role, verb: Verb, kind: Kind) -> bool {
    use Kind::{Config, Data, Index, Key, Lock};
    match (role, verb) {
        (Role::Vault | Role::Media, _) => false,
        (_, Verb::Size | Verb::List) => true,
        (_, Verb::Remove) => kind == Lock,
        (Role::Agent, Verb::Create) => matches!(kind, Data | Index | Lock),
        (Role::Agent, Verb::Read) => matches!(kind, Config | Key | Index | Lock),
        (Role::Operator, Verb::Create | Verb::Read) | (Role::Reader, Verb::Read) => true,
        (Role::Reader, Verb::Create) => kind == Lock,
    }
}

fn reach_of_call(role: Role, call: Call) -> Reach {
    use Role::{Agent, Media, Operator, Reader};
    let allowed = match call {
        Call::OpenRepository => matches!(role, Agent | Operator | Reader),
        // Only who brings data has room made for it: a reader's slip of the pen must not.
        Call::MakeRepository | Call::Ship | Call::Report | Call::FetchBackup => role == Agent,
        Call::AskLacking | Call::AskHoldings => matches!(role, Agent | Operator),
        Call::ReportSpool => role == Media,
        // What everybody is believed by is nobody's secret.
        Call::AskTrust => role != Role::Vault,
        // A vault renews its own certificate by itself.
        Call::Renew => role != Role::Vault,
        Call::ListWorkloads
        | Call::ViewWorkload
        | Call::ListSnapshots
        | Call::ListIncidents
        | Call::ListOrders
        | Call::ListJobs
        | Call::ViewKeeping
        | Call::ViewScrubs
        | Call::ViewDrills
        | Call::ViewReports
        | Call::ViewMetrics => matches!(role, Operator | Reader),
        Call::Greet | Call::MeasureRoad => true,
        Call::ListCertificates
        | Call::RevokeCertificate
        | Call::MakeToken
        | Call::ListTokens
        | Call::RevokeToken
        | Call::RecreateRepository
        | Call::PauseWorkload
        | Call::RetireWorkload
        | Call::ResumeWorkload
        | Call::RenameWorkload
        | Call::AnnounceDeploy
        | Call::AcceptDrop
        | Call::ApplyPolicy
        | Call::AnswerIncident
        | Call::OrderKeeping
        | Call::RunDrill
        | Call::ResumeReleases => role == Operator,
    };
    match (allowed, call) {
        (
            true,
            Call::ListJobs
            | Call::ViewReports
            | Call::ViewMetrics
            | Call::ListCertificates
            | Call::RevokeCertificate
            | Call::ResumeReleases
            | Call::ApplyPolicy
            | Call::MakeToken
            | Call::ListTokens
            | Call::RevokeToken,
        ) => Reach::Everything,
        (
            true,
            Call::Greet | Call::MeasureRoad | Call::AskTrust | Call::Renew | Call::ReportSpool,
        ) => Reach::Free,
        (true, _) => Reach::Granted,
        (false, _) if role == Media && is_carried(call) => Reach::Behalf,
        (false, _) => Reach::Nothing,
    }
}

/// Whether a media server hands it on for an agent.
fn is_carried(call: Call) -> bool {
    matches!(
        call,
        Call::OpenRepository
            | Call::MakeRepository
            | Call::Ship
            | Call::AskLacking
            | Call::AskHoldings
            | Call::Report
            | Call::FetchBackup
    )
}

#[cfg(test)]
mod tests;
