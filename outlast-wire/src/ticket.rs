//! Tickets: what a media server may do for one agent with one workload.
//!
//! A media server has no rights of its own on any workload. The vault puts a ticket into its sealed
//! answer to an agent that opens a repository; the agent shows it to the media server that it works
//! with, and that one shows it to the vault. It is worth nothing in any other hands: the vault takes
//! it from holders of the role media only.
//!
//! A ticket is good for one hour, by the clock of who judges it. **An expired one never strands
//! bytes:** what its end takes away is *reading* (config and indexes), and a media server's leave to
//! take new bytes from the agent. To *add* what was spooled under it, and to see whether it arrived,
//! is allowed for ever: such objects are named by their hash, the vault proves each with the
//! repository's key, which a media server does not have, and the bill that makes anything of them is
//! the agent's own. What ends that, too, is the revocation of the agent's certificate, and a grant
//! that is taken away.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use outlast_store::{Kind, Verb};
use outlast_types::{BlobId, Timestamp, WorkloadName};
use serde::{Deserialize, Serialize};

use crate::certificate::Certified;
use crate::identity::Identity;
use crate::peer::Role;
use crate::statement::{Statement, StatementError, Subject};

/// How long a ticket is good for reading.
pub const GOOD_FOR: Duration = Duration::from_secs(3600);

/// The longest ticket that is looked at, in bytes, as it stands in a header.
const TEXT_BYTES_MAX: usize = 24 << 10;

/// What a ticket allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TicketVerb {
    /// To read the repository's config.
    ReadConfig,
    /// To read and list indexes.
    ReadIndexes,
    /// To list which packs there are, and how long each is: nobody refers to what is not there.
    ListPacks,
    /// To add packs and indexes, and to see whether they arrived.
    Upload,
    /// To read packs. No part of what an agent gets when it opens a repository: it is granted for an
    /// instance that wants its backup back.
    ReadData,
    /// Something that this program does not know, and so does not allow.
    #[serde(other)]
    Unknown,
}

impl TicketVerb {
    /// What an agent's ticket says.
    pub const AGENT: [Self; 4] =
        [Self::ReadConfig, Self::ReadIndexes, Self::ListPacks, Self::Upload];

    fn covers(self, verb: Verb, kind: Kind) -> bool {
        match self {
            Self::ReadConfig => kind == Kind::Config && matches!(verb, Verb::Read | Verb::Size),
            Self::ReadIndexes => {
                kind == Kind::Index && matches!(verb, Verb::Read | Verb::Size | Verb::List)
            }
            Self::ListPacks => kind == Kind::Data && verb == Verb::List,
            Self::Upload => {
                matches!(kind, Kind::Data | Kind::Index)
                    && matches!(verb, Verb::Create | Verb::Size)
            }
            Self::ReadData => kind == Kind::Data && verb == Verb::Read,
            Self::Unknown => false,
        }
    }

    fn outlives_the_ticket(self) -> bool {
        self == Self::Upload
    }
}

/// Whether a ticket may allow this at all.
pub fn may_allow(verb: Verb, kind: Kind) -> bool {
    TicketVerb::AGENT.iter().any(|it| it.covers(verb, kind))
}

/// Whether an agent may be granted this, which it may not do by itself.
pub fn may_grant(verb: Verb, kind: Kind) -> bool {
    TicketVerb::ReadData.covers(verb, kind)
}

/// Leave to act for an agent; or for the agent itself, to read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// For whom, by the certificate with which it asked: revoked, the ticket is worth nothing.
    pub agent: Certified,
    pub workload: WorkloadName,
    pub verbs: Vec<TicketVerb>,
    /// By the vault's clock.
    pub issued: Timestamp,
    pub until: Timestamp,
    /// The root tree of the snapshot that may be read, and nothing but what it needs; of older vaults, all
    /// of the workload may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree: Option<BlobId>,
}

/// Why a ticket does not allow something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TicketRefused {
    #[error("the ticket is not of the form that was agreed")]
    Malformed,
    #[error("the ticket proves nothing: {0}")]
    Statement(#[from] StatementError),
    #[error("the ticket is for another workload")]
    OtherWorkload,
    #[error("the ticket does not allow that")]
    NotAllowed,
    #[error("the ticket ended at {until}; it lets nothing be read any more, only added")]
    Ended { until: Timestamp },
}

impl Ticket {
    /// What the vault gives to `agent` at `now`.
    pub fn new(agent: &Certified, workload: &WorkloadName, now: Timestamp) -> Self {
        Self {
            agent: agent.clone(),
            workload: workload.clone(),
            verbs: TicketVerb::AGENT.to_vec(),
            issued: now,
            until: now.saturating_add(GOOD_FOR),
            tree: None,
        }
    }

    /// What the vault grants to `agent` itself at `now`, so that it can bring the backup with this root
    /// tree back. A media server may pass it on.
    pub fn to_read(
        agent: &Certified,
        workload: &WorkloadName,
        tree: BlobId,
        now: Timestamp,
    ) -> Self {
        let verbs = vec![TicketVerb::ReadData];
        Self { verbs, tree: Some(tree), ..Self::new(agent, workload, now) }
    }

    pub fn sign(&self, vault: &Identity) -> serde_json::Result<Statement> {
        Statement::sign(Subject::Ticket, self, vault)
    }

    /// The ticket in `statement`, if a vault of the authority `ca_pem` signed it.
    pub fn read(statement: &Statement, ca_pem: &str) -> Result<Self, TicketRefused> {
        let (signer, ticket): (Certified, Self) = statement.read(Subject::Ticket, ca_pem)?;
        if signer.peer.role() != Role::Vault {
            let wanted = Role::Vault;
            return Err(StatementError::WrongRole { signer: signer.peer, wanted }.into());
        }
        Ok(ticket)
    }

    /// The same of a header.
    pub fn read_header(text: &str, ca_pem: &str) -> Result<Self, TicketRefused> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(TicketRefused::Malformed);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| TicketRefused::Malformed)?;
        let statement = serde_json::from_slice(&bytes).map_err(|_| TicketRefused::Malformed)?;
        Self::read(&statement, ca_pem)
    }

    /// Lets its bearer do `verb` with objects of `kind` in the workload's repository at `now`, or
    /// says why not.
    pub fn check(
        &self,
        workload: &WorkloadName,
        verb: Verb,
        kind: Kind,
        now: Timestamp,
    ) -> Result<(), TicketRefused> {
        if self.workload != *workload {
            return Err(TicketRefused::OtherWorkload);
        }
        let mut covering = self.verbs.iter().filter(|it| it.covers(verb, kind)).peekable();
        if covering.peek().is_none() {
            return Err(TicketRefused::NotAllowed);
        }
        match now < self.until || covering.any(|it| it.outlives_the_ticket()) {
            true => Ok(()),
            false => Err(TicketRefused::Ended { until: self.until }),
        }
    }
}

/// A ticket as it stands in a header.
pub fn header_text(ticket: &Statement) -> serde_json::Result<String> {
    Ok(URL_SAFE_NO_PAD.encode(serde_json::to_vec(ticket)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ca::tests::{authority, issue};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(seconds, 0).unwrap()
    }

    fn shop() -> WorkloadName {
        WorkloadName::new("shop-db").unwrap()
    }

    fn ticket(agent: &Identity) -> Ticket {
        Ticket::new(agent.certified(), &shop(), at(1000))
    }

    #[test]
    fn a_ticket_allows_what_its_agent_needs_for_its_workload_and_nothing_else() {
        let (_directory, authority) = authority();
        let ticket = ticket(&issue(&authority, Role::Agent, "eu-1"));
        let other = WorkloadName::new("other").unwrap();
        let mut allowed = Vec::new();
        for kind in Kind::LISTED.into_iter().chain([Kind::Config]) {
            for verb in Verb::ALL {
                let checked = ticket.check(&shop(), verb, kind, at(1000));
                assert_eq!(checked.is_ok(), may_allow(verb, kind), "{verb} {kind}");
                let foreign = ticket.check(&other, verb, kind, at(1000));
                assert_eq!(foreign, Err(TicketRefused::OtherWorkload));
                if checked.is_ok() {
                    allowed.push(format!("{verb} {kind}"));
                }
            }
        }
        allowed.sort();
        let expected = [
            "create data",
            "create index",
            "list data",
            "list index",
            "read config",
            "read index",
            "size config",
            "size data",
            "size index",
        ];
        assert_eq!(allowed, expected);
    }

    #[test]
    fn a_grant_lets_its_agent_read_packs_for_an_hour_and_is_no_part_of_what_is_passed_on() {
        let (_directory, authority) = authority();
        let agent = issue(&authority, Role::Agent, "eu-1");
        let grant = Ticket::to_read(agent.certified(), &shop(), BlobId([1; 32]), at(1000));
        for kind in Kind::LISTED.into_iter().chain([Kind::Config]) {
            for verb in Verb::ALL {
                let is_meant = kind == Kind::Data && verb == Verb::Read;
                assert_eq!(may_grant(verb, kind), is_meant);
                assert_eq!(grant.check(&shop(), verb, kind, at(1000)).is_ok(), is_meant);
                assert!(!(is_meant && may_allow(verb, kind)));
            }
        }
        let read = |now| grant.check(&shop(), Verb::Read, Kind::Data, at(now));
        assert_eq!(read(4599), Ok(()));
        assert_eq!(read(4600), Err(TicketRefused::Ended { until: at(4600) }));
    }

    #[test]
    fn an_expired_ticket_reads_nothing_and_strands_no_spooled_bytes() {
        let (_directory, authority) = authority();
        let ticket = ticket(&issue(&authority, Role::Agent, "eu-1"));
        let ended = Err(TicketRefused::Ended { until: at(4600) });
        for late in [4600, 4601, 1_000_000_000] {
            let check = |verb, kind| ticket.check(&shop(), verb, kind, at(late));
            for (verb, kind) in [
                (Verb::Read, Kind::Config),
                (Verb::Size, Kind::Config),
                (Verb::Read, Kind::Index),
                (Verb::List, Kind::Index),
            ] {
                assert_eq!(check(verb, kind), ended, "{verb} {kind} at {late}");
            }
            for kind in [Kind::Data, Kind::Index] {
                assert_eq!(check(Verb::Create, kind), Ok(()), "{kind} at {late}");
                assert_eq!(check(Verb::Size, kind), Ok(()), "{kind} at {late}");
            }
        }
        assert_eq!(ticket.check(&shop(), Verb::Read, Kind::Config, at(4599)), Ok(()));
    }

    #[test]
    fn only_a_vaults_ticket_counts_and_no_other_word_of_a_vault_is_one() {
        let (_directory, ours) = authority();
        let (vault, agent) = (issue(&ours, Role::Vault, "hq"), issue(&ours, Role::Agent, "eu-1"));
        let ticket = ticket(&agent);
        let signed = ticket.sign(&vault).unwrap();
        let ca = agent.ca_pem();
        let text = header_text(&signed).unwrap();
        assert!(text.len() < TEXT_BYTES_MAX / 4, "{}", text.len());
        assert_eq!(Ticket::read_header(&text, ca), Ok(ticket.clone()));
        let forged = ticket.sign(&agent).unwrap();
        let refused = Ticket::read(&forged, ca);
        assert!(
            matches!(refused, Err(TicketRefused::Statement(StatementError::WrongRole { .. }))),
            "{refused:?}"
        );
        let other = Statement::sign(Subject::Opened, &ticket, &vault).unwrap();
        assert!(matches!(Ticket::read(&other, ca), Err(TicketRefused::Statement(_))));
        for bad in ["", "?", "AAAA", &"A".repeat(TEXT_BYTES_MAX + 1)] {
            assert!(Ticket::read_header(bad, ca).is_err());
        }
    }

    #[test]
    fn a_verb_of_a_newer_vault_allows_nothing() {
        let verbs: Vec<TicketVerb> = serde_json::from_str(r#"["upload","levitate"]"#).unwrap();
        assert_eq!(verbs, [TicketVerb::Upload, TicketVerb::Unknown]);
        let allows = |verb, kind| TicketVerb::Unknown.covers(verb, kind);
        assert!(!Verb::ALL.iter().any(|verb| Kind::LISTED.iter().any(|kind| allows(*verb, *kind))));
    }
}
