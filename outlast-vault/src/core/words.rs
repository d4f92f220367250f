//! Words that are signed: who said them, whether they are of now, and who brings them.

use outlast_types::{Timestamp, WorkloadName};
use outlast_wire::Certified;
use outlast_wire::access::{self, Call};
use outlast_wire::api::{
    AskBackup, BeginShipment, CancelShipment, OpenRepository, REQUESTS_MAX, Shipment, SignedReport,
};
use outlast_wire::challenge::Challenge;
use outlast_wire::holdings::{QUESTION_DROPS_MAX, Question};
use outlast_wire::statement::{Statement, Subject, may_carry};
use serde::de::DeserializeOwned;

use super::error::VaultError;
use super::vault::Vault;

impl Vault {
    /// A request for a repository, made now by who may make it. It is of the address's workload.
    pub(crate) fn hear_request(
        &self,
        statement: &Statement,
        workload: &WorkloadName,
        carrier: &Certified,
    ) -> Result<(Certified, OpenRepository), VaultError> {
        let (asker, asked): (_, OpenRepository) = self.hear(Subject::Open, statement, carrier)?;
        if asked.workload != *workload {
            let reason = format!("it asks for another workload than its address, {workload}");
            return Err(VaultError::BadWords { reason });
        }
        self.permit(&asker, Call::OpenRepository, workload)?;
        self.made_now(&asker, &asked.challenge)?;
        Ok((asker, asked))
    }

    /// A question for a backup that instances want back, asked now. It is of the address's workload.
    pub(crate) fn hear_question(
        &self,
        statement: &Statement,
        workload: &WorkloadName,
        carrier: &Certified,
    ) -> Result<(Certified, AskBackup), VaultError> {
        let (agent, asked): (_, AskBackup) = self.hear(Subject::AskBackup, statement, carrier)?;
        if asked.workload != *workload {
            let reason = format!("it asks for another workload than its address, {workload}");
            return Err(VaultError::BadWords { reason });
        }
        if asked.requests.is_empty() || asked.requests.len() > REQUESTS_MAX {
            let reason = format!("a question is for 1 to {REQUESTS_MAX} requests");
            return Err(VaultError::TooMuch { reason });
        }
        self.permit(&agent, Call::FetchBackup, workload)?;
        self.made_now(&agent, &asked.challenge)?;
        Ok((agent, asked))
    }

    /// A question for what is held now: signed, whoever brings it; or as it is, of the one who asks
    /// over this connection. Asked again by others, its answer is believed by nobody: whoever asked
    /// knows the nonce.
    pub(crate) fn hear_holdings(
        &self,
        question: Question,
        carrier: &Certified,
    ) -> Result<(Certified, Question), VaultError> {
        let (asker, question) = match &question.signed {
            Some(signed) => self.hear(Subject::Holdings, signed, carrier)?,
            None => (carrier.clone(), question),
        };
        access::check_role(&asker.peer, Call::AskHoldings)?;
        let Question { drops, receipts, handed, .. } = &question;
        if drops.len().max(receipts.len()).max(handed.len()) > QUESTION_DROPS_MAX {
            let reason = format!("a question names at most {QUESTION_DROPS_MAX} drops");
            return Err(VaultError::TooMuch { reason });
        }
        Ok((asker, question))
    }

    /// A bill, whenever it was signed: it says what is so for good, and takes effect once.
    pub(crate) fn hear_bill(
        &self,
        statement: &Statement,
        carrier: &Certified,
    ) -> Result<(Certified, Shipment), VaultError> {
        let (agent, mut shipment): (_, Shipment) = self.hear(Subject::Bill, statement, carrier)?;
        self.permit(&agent, Call::Ship, &shipment.workload)?;
        let workload = self.called(&shipment.workload)?;
        shipment.called = Some(std::mem::replace(&mut shipment.workload, workload));
        Ok((agent, shipment))
    }

    /// That a shipment begins, whenever that was signed: said twice, it is the same.
    pub(crate) fn hear_begin(
        &self,
        statement: &Statement,
        carrier: &Certified,
    ) -> Result<(Certified, BeginShipment), VaultError> {
        let (agent, mut begin): (_, BeginShipment) =
            self.hear(Subject::Begin, statement, carrier)?;
        self.permit(&agent, Call::Ship, &begin.workload)?;
        begin.workload = self.called(&begin.workload)?;
        Ok((agent, begin))
    }

    /// That a shipment will not come.
    pub(crate) fn hear_cancel(
        &self,
        statement: &Statement,
        carrier: &Certified,
    ) -> Result<(Certified, CancelShipment), VaultError> {
        let (agent, mut cancel): (_, CancelShipment) =
            self.hear(Subject::Cancel, statement, carrier)?;
        self.permit(&agent, Call::Ship, &cancel.workload)?;
        cancel.workload = self.present(&cancel.workload).clone();
        Ok((agent, cancel))
    }

    /// A report, made now and newer than what was heard before.
    pub(crate) fn hear_report(
        &self,
        statement: &Statement,
        carrier: &Certified,
    ) -> Result<(Certified, SignedReport), VaultError> {
        let (agent, words): (_, SignedReport) = self.hear(Subject::Report, statement, carrier)?;
        access::check_role(&agent.peer, Call::Report)?;
        if words.report.as_ref().is_some_and(|report| Some(report.share) != words.share) {
            let reason = "it speaks of one share and reports of another".to_owned();
            return Err(VaultError::BadWords { reason });
        }
        let given = self.made_now(&agent, &words.challenge)?;
        let now = self.environment.clock.now();
        self.challenges.note(agent.peer.name(), words.share, (given, words.counter), now)?;
        Ok((agent, words))
    }

    /// What somebody signed about `subject`, if `carrier` may bring it.
    fn hear<T: DeserializeOwned>(
        &self,
        subject: Subject,
        statement: &Statement,
        carrier: &Certified,
    ) -> Result<(Certified, T), VaultError> {
        let (signer, content): (Certified, T) =
            statement.read_by(subject, |chain_pem, message, signature| {
                let signer = self.trust.judge_signer(chain_pem, message, signature);
                signer.map_err(VaultError::from)
            })?;
        if !may_carry(&carrier.peer, &signer.peer) {
            let (carrier, signer) = (&carrier.peer, &signer.peer);
            let reason = format!("{carrier} may not hand in what {signer} signed");
            return Err(VaultError::BadWords { reason });
        }
        Ok((signer, content))
    }

    /// When the challenge was given over which `signer` signed; an error if that was too long ago, or
    /// the signer's certificate is not valid.
    fn made_now(&self, signer: &Certified, challenge: &Challenge) -> Result<Timestamp, VaultError> {
        let now = self.environment.clock.now();
        if let Some(trouble) = signer.validity.trouble(now) {
            let reason = format!("the certificate of {} {trouble}", signer.peer);
            return Err(VaultError::BadWords { reason });
        }
        Ok(self.challenges.check(challenge, now)?)
    }
}
