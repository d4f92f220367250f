//! Keys of repositories, handed out sealed.

use outlast_types::WorkloadName;
use outlast_wire::access::{self, Call};
use outlast_wire::api::{OpenRepository, Purpose};
use outlast_wire::opening::{self, Opening};
use outlast_wire::statement::Statement;
use outlast_wire::ticket::Ticket;
use outlast_wire::{Certified, Peer, Role};
use zeroize::Zeroizing;

use super::audit::{AuditAction, Event};
use super::error::VaultError;
use super::repositories::repository_path;
use super::vault::Vault;

impl Vault {
    /// The answer to what `asker` asked and may ask: the key of the workload's repository, sealed to
    /// the box key in the request. Who may have a repository made gets a new one. `carrier` brought
    /// the request.
    pub(crate) fn hand_out_key(
        &self,
        asker: &Certified,
        asked: &OpenRepository,
        carrier: &Peer,
    ) -> Result<Statement, VaultError> {
        // Evidence is of the workload, by whatever name it was asked for.
        let present = self.present(&asked.workload);
        let event = || {
            let event = Event::by(&asker.peer, AuditAction::KeyHandedOut)
                .workload(present)
                .detail("certificate", asker.fingerprint)
                // What its clock shows is its claim.
                .detail("asker_clock", asked.at);
            let event = match &asked.why {
                Some(why) => event.detail("why", why),
                None => event,
            };
            let purposes = [Purpose::List, Purpose::Restore].map(Purpose::as_str);
            let purpose = asked.purpose.as_deref();
            let event = match purposes.iter().find(|it| Some(**it) == purpose) {
                Some(purpose) => event.detail("purpose", purpose),
                None => event,
            };
            let event = match *present == asked.workload {
                true => event,
                false => event.detail("called", &asked.workload),
            };
            match *carrier == asker.peer {
                true => event,
                false => event.detail("carrier", carrier),
            }
        };
        let allowed = self.judge_reason(asker, asked, present);
        let sealed = allowed.and_then(|()| self.seal_key(asker, asked));
        let answer = sealed.inspect_err(|error| self.note_failure(event(), error))?;
        // First the entry, then the key.
        match &asked.why {
            // No reason is lost in a count of what is the same.
            Some(_) => self.audit.record(event())?,
            None => self.audit.record_repeated(event())?,
        }
        let (peer, workload) = (&asker.peer, &asked.workload);
        tracing::info!(%peer, %workload, "handed out a repository key, sealed");
        Ok(answer)
    }

    /// Refuses who wants to bring something back without a reason where policy wants one. What for somebody asks
    /// is their own word; so the log has who said that it is only to look.
    fn judge_reason(
        &self,
        asker: &Certified,
        asked: &OpenRepository,
        present: &WorkloadName,
    ) -> Result<(), VaultError> {
        let is_listing = asked.purpose.as_deref() == Some(Purpose::List.as_str());
        let has_reason = asked.why.as_deref().is_some_and(|why| !why.trim().is_empty());
        if asker.peer.role() == Role::Agent || is_listing || has_reason {
            return Ok(());
        }
        let status = self.promises.status(present);
        if !status.is_some_and(|status| status.promise.class().restore_why) {
            return Ok(());
        }
        let reason = format!(
            "policy wants to know why {present} is restored (restore_why): say it by --why TEXT"
        );
        Err(VaultError::Denied { reason })
    }

    fn seal_key(&self, asker: &Certified, asked: &OpenRepository) -> Result<Statement, VaultError> {
        // Who asks goes on calling it so.
        let workload = &asked.workload;
        let present = self.called(workload)?;
        // Only who brings data makes room for it: a reader's slip of the pen must not.
        let repository = match access::check_role(&asker.peer, Call::MakeRepository) {
            Ok(()) => self.open_or_make(&asker.peer, &present)?,
            Err(_) => self.repositories.get(&present)?,
        };
        let opened = repository.opened()?;
        let key = Zeroizing::new(opened.key().to_bytes());
        let (identity, now) = (self.identity.get(), self.environment.clock.now());
        let unsigned = |error: serde_json::Error| VaultError::SignAnswer { source: error.into() };
        let ticket = match asker.peer.role() {
            Role::Agent => Some(Ticket::new(asker, workload, now).sign(&identity)),
            _ => None,
        };
        let opening = Opening {
            repository_path: repository_path(workload),
            version: u32::try_from(opened.config().version.number()).unwrap_or(u32::MAX),
            key: &key,
            ticket: ticket.transpose().map_err(unsigned)?,
        };
        let random = &*self.environment.random;
        opening::answer(asked, asker, opening, &identity, now, random).map_err(
            |error| match error {
                opening::AnswerError::BoxKey(_) => VaultError::BadBoxKey,
                opening::AnswerError::Form(error) => unsigned(error),
            },
        )
    }
}
