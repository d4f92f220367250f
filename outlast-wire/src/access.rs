//! Which role may do what: one table for objects and calls, pure.

use std::fmt;

use outlast_store::{Kind, Verb};

use crate::peer::{Peer, Role};

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
    /// To hand in a bill of lading.
    Ship,
    /// To ask which drops the vault holds now.
    AskHoldings,
    /// To tell what a pass over a share saw.
    Report,
    /// To hear which certificates are revoked, and which authorities are believed.
    AskTrust,
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
    /// To begin a repository anew that is missing for good.
    RecreateRepository,
    PauseWorkload,
    RetireWorkload,
    ResumeWorkload,
}

impl Call {
    pub const ALL: [Self; 21] = [
        Self::OpenRepository,
        Self::MakeRepository,
        Self::Ship,
        Self::AskHoldings,
        Self::Report,
        Self::AskTrust,
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
        Self::RecreateRepository,
        Self::PauseWorkload,
        Self::RetireWorkload,
        Self::ResumeWorkload,
    ];

    /// As sentences say it: "agent eu-1 may not *list workloads*".
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenRepository => "open a repository",
            Self::MakeRepository => "make a repository",
            Self::Ship => "ship drops",
            Self::AskHoldings => "ask what is held",
            Self::Report => "report from a share",
            Self::AskTrust => "ask whom to trust",
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
            Self::RecreateRepository => "begin a repository anew",
            Self::PauseWorkload => "pause a workload",
            Self::RetireWorkload => "retire a workload",
            Self::ResumeWorkload => "resume a workload",
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

/// Somebody may not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{peer} may not {action}: its role does not allow it")]
pub struct Refused {
    pub peer: Peer,
    pub action: Action,
}

impl Refused {
    /// What to do next.
    pub fn hint(&self) -> String {
        let roles: Vec<&str> = allowed_roles(self.action).map(Role::as_str).collect();
        match roles.is_empty() {
            true => "no role may do that; the vault does it by its policy".to_owned(),
            false => format!("use an identity with the role {}", roles.join(" or ")),
        }
    }
}

/// Lets `peer` do `action`, or says why not.
pub fn check(peer: &Peer, action: impl Into<Action>) -> Result<(), Refused> {
    let action = action.into();
    if allowed(peer.role(), action) {
        return Ok(());
    }
    Err(Refused { peer: peer.clone(), action })
}

/// The roles that may do `action`.
pub fn allowed_roles(action: Action) -> impl Iterator<Item = Role> {
    Role::ALL.into_iter().filter(move |role| allowed(*role, action))
}

/// Whether `role` may do `action`, with a workload that it has access to.
///
/// - An agent adds data and indexes and keeps its locks. It opens the repository (config, keys)
///   and knows what is there (index, sizes, listings), but reads back neither data nor snapshots,
///   and it makes no snapshot: it ships, and the vault publishes. It has room made for what it
///   brings, reports, and asks what is held.
/// - A media server forwards ciphertext: it adds data and indexes and sees whether they arrived.
/// - An operator reads all and adds all kinds, so that stock restic can back up, and gives orders.
/// - A reader reads all, and locks while it does.
/// - A vault keeps repositories and asks no other for one.
///
/// Nobody replaces or removes anything but locks; what is old enough is removed by the vault
/// itself, according to policy.
pub fn allowed(role: Role, action: Action) -> bool {
    match action {
        Action::Object { verb, kind } => allowed_object(role, verb, kind),
        Action::Call(call) => allowed_call(role, call),
    }
}

fn allowed_object(role: Role, verb: Verb, kind: Kind) -> bool {
    use Kind::{Config, Data, Index, Key, Lock};
    match (role, verb) {
        (Role::Vault, _) => false,
        (Role::Media, Verb::Create | Verb::Size | Verb::List) => matches!(kind, Data | Index),
        (Role::Media, Verb::Read | Verb::Remove) => false,
        (_, Verb::Size | Verb::List) => true,
        (_, Verb::Remove) => kind == Lock,
        (Role::Agent, Verb::Create) => matches!(kind, Data | Index | Lock),
        (Role::Agent, Verb::Read) => matches!(kind, Config | Key | Index | Lock),
        (Role::Operator, Verb::Create | Verb::Read) | (Role::Reader, Verb::Read) => true,
        (Role::Reader, Verb::Create) => kind == Lock,
    }
}

fn allowed_call(role: Role, call: Call) -> bool {
    use Role::{Agent, Operator, Reader};
    match call {
        Call::OpenRepository => matches!(role, Agent | Operator | Reader),
        // Only who brings data has room made for it: a reader's slip of the pen must not.
        Call::MakeRepository | Call::Ship | Call::Report => role == Agent,
        Call::AskHoldings => matches!(role, Agent | Operator),
        // What everybody is believed by is nobody's secret.
        Call::AskTrust => role != Role::Vault,
        Call::ListWorkloads
        | Call::ViewWorkload
        | Call::ListSnapshots
        | Call::ListIncidents
        | Call::ListOrders
        | Call::ListJobs
        | Call::ViewMetrics => matches!(role, Operator | Reader),
        Call::Greet | Call::MeasureRoad => true,
        Call::ListCertificates
        | Call::RevokeCertificate
        | Call::RecreateRepository
        | Call::PauseWorkload
        | Call::RetireWorkload
        | Call::ResumeWorkload => role == Operator,
    }
}

#[cfg(test)]
mod tests;
