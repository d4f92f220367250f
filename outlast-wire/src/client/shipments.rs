//! Shipments from the other side: what an agent says of them, and what a media server hands on.

use std::time::Duration;

use hyper::Method;
use outlast_types::{DropId, WorkloadName};

use super::calls::ApiClient;
use super::error::CallError;
use super::http::Answer;
use crate::api::{
    AskLacking, BeginShipment, BillAnswer, CancelShipment, CustodyView, HeardShipment, Lacking,
    MediaReport, MediaReported, Shipment,
};
use crate::challenge::Challenge;
use crate::holdings::{Question, SignedAnswer};
use crate::identity::Identity;
use crate::protocol::CHALLENGE_HEADER;
use crate::statement::{Statement, Subject};

/// An answer as it came, to be handed on as it is.
#[derive(Debug, Clone)]
pub struct Relayed {
    pub status: u16,
    pub body: Vec<u8>,
    /// The newest challenge of the vault, if the answer has one.
    pub challenge: Option<Challenge>,
}

impl ApiClient {
    /// Says, signed by `agent`, that a drop is about to be shipped.
    pub fn begin_shipment(
        &self,
        begin: &BeginShipment,
        agent: &Identity,
    ) -> Result<HeardShipment, CallError> {
        self.carry_begin(&self.statement(Subject::Begin, begin, agent)?)
    }

    /// Says, signed by `agent`, that it will not be.
    pub fn cancel_shipment(
        &self,
        cancel: &CancelShipment,
        agent: &Identity,
    ) -> Result<HeardShipment, CallError> {
        self.carry_cancel(&self.statement(Subject::Cancel, cancel, agent)?)
    }

    /// Hands in a bill of lading, signed by `agent`: the vault's receipt, or what is not yet there.
    pub fn hand_in_bill(&self, bill: &Shipment, agent: &Identity) -> Result<BillAnswer, CallError> {
        self.post("api/v1/shipments", &self.statement(Subject::Bill, bill, agent)?)
    }

    /// Asks, signed by `asker`, which drops the vault holds now. The answer is to be verified.
    pub fn holdings_as(
        &self,
        question: &Question,
        asker: &Identity,
    ) -> Result<SignedAnswer, CallError> {
        let signed = self.statement(Subject::Holdings, question, asker)?;
        let question = Question { signed: Some(Box::new(signed)), ..question.clone() };
        self.holdings(&question)
    }

    /// Hands in that somebody else began a shipment.
    pub fn carry_begin(&self, words: &Statement) -> Result<HeardShipment, CallError> {
        self.post("api/v1/shipments/begin", words)
    }

    /// Hands in that somebody else cancelled one.
    pub fn carry_cancel(&self, words: &Statement) -> Result<HeardShipment, CallError> {
        self.post("api/v1/shipments/cancel", words)
    }

    /// Asks which objects the vault does not have, with the ticket that this client shows.
    pub fn lacking(
        &self,
        workload: &WorkloadName,
        asked: &AskLacking,
    ) -> Result<Lacking, CallError> {
        self.post(&format!("api/v1/workloads/{workload}/lacking"), asked)
    }

    /// Asks what the vault recorded of a drop.
    pub fn custody(&self, drop: DropId) -> Result<CustodyView, CallError> {
        self.call(Method::GET, &format!("api/v1/custody/{drop}"), None)
    }

    /// Tells how this media server is doing.
    pub fn report_spool(&self, report: &MediaReport) -> Result<MediaReported, CallError> {
        self.post("api/v1/media/report", report)
    }

    /// Makes somebody else's call for it, within a deadline. An answer that is no success is an answer, too.
    pub fn relay(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
        deadline: Duration,
    ) -> Result<Relayed, CallError> {
        let Answer { status, headers, body } =
            self.send(method, path, body, Some(deadline), |_| true)?;
        let challenge = headers.get(CHALLENGE_HEADER);
        let challenge = challenge.and_then(|text| Challenge::parse(text.to_str().ok()?));
        Ok(Relayed { status: status.as_u16(), body, challenge })
    }

    /// Shows a ticket in each request from now on.
    pub fn show_ticket(&mut self, text: &str) {
        self.http.show_ticket(text);
    }
}
