//! The calls of `/api/v1` from the other side.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hyper::header::CONTENT_TYPE;
use hyper::{Method, StatusCode};
use outlast_types::{Clock, DropId, Interrupt, ShareId, WorkloadName};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::address::{self, AddressError};
use super::error::CallError;
use super::http::{Answer, Failure, Http};
use super::way::Credentials;
use crate::api::{
    AgentReport, CertificateView, DrillOrder, DrillView, ErrorCode, Greeting, IncidentView,
    JobView, MadeToken, Measured, MonthReportView, OrderView, ReleasesResumed, Reported,
    ResumeReleases, RevokeOrder, ScrubView, Shipment, SignedReport, SnapshotView, TokenOrder,
    TokenView, Vaulted, WorkloadView,
};
use crate::certificate::Certified;
use crate::challenge::Challenge;
use crate::enrollment::{EnrollmentRequest, Introduction, RenewalRequest, SignedGrant, TokenId};
use crate::head_receipt::SignedHead;
use crate::holdings::{Question, SignedAnswer};
use crate::identity::Identity;
use crate::identity_handle::IdentityHandle;
use crate::names::Names;
use crate::news::SignedTrustNews;
use crate::peer::Role;
use crate::protocol::CHALLENGE_HEADER;
use crate::road::Roads;
use crate::signature::{self, SignerRefused};
use crate::statement::{Statement, Subject};

/// How long the news of trust may take: they come again and again, and nobody waits for them.
const NEWS_TIMEOUT: Duration = Duration::from_secs(20);

/// The longest answer that is read, in bytes: some hundred thousand snapshots.
const ANSWER_BYTES_MAX: u64 = 256 << 20;

/// Who signs what is said, and the clock by which it says when: the vault records that, and decides
/// nothing by it.
#[derive(Clone, Copy)]
pub struct Speaker<'a> {
    pub identity: &'a Identity,
    pub clock: &'a dyn Clock,
}

/// A blocking client of a vault. Never call it from asynchronous code.
pub struct ApiClient {
    pub(super) http: Http,
    /// Shared by the clients that are made of this one.
    said: Arc<Mutex<Said>>,
}

/// What is signed over.
#[derive(Default)]
struct Said {
    /// The newest one that the vault gave.
    challenge: Challenge,
    /// How much was signed.
    counter: u64,
}

impl ApiClient {
    /// The vault at `address`, such as `https://vault:8443/`.
    pub fn new(address: &str, identity: &Identity) -> Result<Self, AddressError> {
        Self::over(address, Credentials::Identity(identity), &Roads::default())
    }

    /// The same, which shows the identity that is in force at each call.
    pub fn following(address: &str, identity: &IdentityHandle) -> Result<Self, AddressError> {
        Self::over(address, Credentials::Handle(identity), &Roads::default())
    }

    /// The vault at `address` by roads of one's own. There may be several addresses, with commas between
    /// them: each call goes to the one that answered last, and if that does not, to the next.
    pub fn over(
        address: &str,
        credentials: Credentials<'_>,
        roads: &Roads,
    ) -> Result<Self, AddressError> {
        let addresses = address::each_of(address);
        Ok(Self { http: Http::several(&addresses, credentials, roads)?, said: Arc::default() })
    }

    /// Another client of the same vault, over the same connections, on errands of its own.
    #[must_use]
    pub fn beside(&self) -> Self {
        Self { http: self.http.beside(), said: Arc::clone(&self.said) }
    }

    /// Says in each request from now on, also of the stores that this client opened, that it belongs to
    /// what has this id, such as a shipment; or to nothing.
    pub fn carry(&self, id: Option<&str>) {
        self.http.carry(id);
    }

    /// Names in each request from now on, also of the stores that this client opened, the drop that is
    /// brought, or none.
    pub fn bring(&self, shipment: Option<DropId>) {
        self.http.bring(shipment);
    }

    /// Shows a ticket, or none, in each request from now on, also of the stores that this client opened, to
    /// whoever is no vault. `text` is as [`ticket::header_text`](crate::ticket::header_text) makes it.
    pub fn bear(&self, text: Option<&str>) {
        self.http.bear(text);
    }

    /// The role of whoever answered last, by the certificate; `None` before the first answer.
    pub fn met(&self) -> Option<Role> {
        self.http.met()
    }

    /// Lets `interrupt` break off this client's calls.
    pub fn heed(&mut self, interrupt: &Interrupt) {
        self.http.heed(interrupt);
    }

    /// Says in all that is signed from now on of which share this client speaks.
    pub fn speak_of(&self, share: ShareId) {
        self.http.speak_of(share);
    }

    /// The vault's address, with a slash at its end.
    pub fn location(&self) -> &str {
        self.http.location()
    }

    /// Who signed `message`, if that one is believed now.
    pub(super) fn judge(
        &self,
        asker: &Identity,
        chain_pem: &str,
        message: &[u8],
        proof: &[u8],
    ) -> Result<Certified, SignerRefused> {
        match self.http.believes() {
            Some(handle) => handle.judge(chain_pem, message, proof),
            None => {
                let names = Names::default();
                Ok(signature::signer(chain_pem, asker.ca_pem(), &names, message, proof)?)
            }
        }
    }

    /// Hands in a bill of lading, signed by `agent`; the vault publishes the snapshot.
    pub fn ship(&self, shipment: &Shipment, agent: &Identity) -> Result<Vaulted, CallError> {
        self.carry_bill(&self.statement(Subject::Bill, shipment, agent)?)
    }

    /// Tells the vault what a pass over the share saw.
    pub fn report(&self, report: &AgentReport, agent: Speaker<'_>) -> Result<Reported, CallError> {
        self.say(Some(report.share), Some(report), agent)
    }

    /// Tells the vault nothing but that the agent lives.
    pub fn live(&self, agent: Speaker<'_>) -> Result<Reported, CallError> {
        self.say(self.http.share(), None, agent)
    }

    fn say(
        &self,
        share: Option<ShareId>,
        report: Option<&AgentReport>,
        Speaker { identity, clock }: Speaker<'_>,
    ) -> Result<Reported, CallError> {
        let words = |challenge, counter| {
            let report = report.cloned();
            SignedReport { challenge, counter, at: clock.now(), share, report }
        };
        let said = self.signed("api/v1/agent/report", Subject::Report, identity, words);
        said.map(|(reported, _)| reported)
    }

    /// Hands in a bill that somebody else signed.
    pub fn carry_bill(&self, bill: &Statement) -> Result<Vaulted, CallError> {
        self.post("api/v1/shipments", bill)
    }

    /// Hands in a report that somebody else signed.
    pub fn carry_report(&self, report: &Statement) -> Result<Reported, CallError> {
        self.post("api/v1/agent/report", report)
    }

    /// The newest challenge that the vault gave; an empty one before its first answer.
    pub fn challenge(&self) -> Challenge {
        self.said().challenge.clone()
    }

    /// Says what `words` makes of a challenge and a counter, signed by `signer`; and once more if
    /// the challenge is found stale, over the fresh one that came with the refusal.
    pub(super) fn signed<W: Serialize, T: DeserializeOwned>(
        &self,
        path: &str,
        subject: Subject,
        signer: &Identity,
        words: impl Fn(Challenge, u64) -> W,
    ) -> Result<(T, W), CallError> {
        let mut is_repeated = false;
        loop {
            let (challenge, counter) = {
                let mut said = self.said();
                said.counter += 1;
                (said.challenge.clone(), said.counter)
            };
            let words = words(challenge, counter);
            match self.post(path, &self.statement(subject, &words, signer)?) {
                Ok(answer) => return Ok((answer, words)),
                Err(error) if !is_repeated && error.code() == Some(&ErrorCode::StaleChallenge) => {
                    is_repeated = true;
                }
                Err(error) => return Err(error),
            }
        }
    }

    pub(super) fn statement(
        &self,
        subject: Subject,
        words: &impl Serialize,
        signer: &Identity,
    ) -> Result<Statement, CallError> {
        Statement::sign(subject, words, signer).map_err(|error| self.unintelligible(&error))
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks which drops the vault holds now. The answer is to be verified.
    pub fn holdings(&self, question: &Question) -> Result<SignedAnswer, CallError> {
        self.post("api/v1/holdings", question)
    }

    pub fn workloads(&self) -> Result<Vec<WorkloadView>, CallError> {
        self.call(Method::GET, "api/v1/workloads", None)
    }

    pub fn workload(&self, workload: &WorkloadName) -> Result<WorkloadView, CallError> {
        self.call(Method::GET, &format!("api/v1/workloads/{workload}"), None)
    }

    /// The snapshots of one workload, or of all, newest first.
    pub fn snapshots(
        &self,
        workload: Option<&WorkloadName>,
    ) -> Result<Vec<SnapshotView>, CallError> {
        let query = workload.map(|workload| format!("?workload={workload}")).unwrap_or_default();
        self.call(Method::GET, &format!("api/v1/snapshots{query}"), None)
    }

    pub fn incidents(&self) -> Result<Vec<IncidentView>, CallError> {
        self.call(Method::GET, "api/v1/incidents", None)
    }

    /// What the vault does by itself, and how it is doing.
    pub fn jobs(&self) -> Result<Vec<JobView>, CallError> {
        self.call(Method::GET, "api/v1/jobs", None)
    }

    /// What was read of each workload's repository, and what was found.
    pub fn scrubs(&self) -> Result<Vec<ScrubView>, CallError> {
        self.call(Method::GET, "api/v1/scrubs", None)
    }

    /// The drills of one workload, the newest first, or the newest one of each.
    pub fn drills(&self, workload: Option<&WorkloadName>) -> Result<Vec<DrillView>, CallError> {
        let query = workload.map(|workload| format!("?workload={workload}")).unwrap_or_default();
        self.call(Method::GET, &format!("api/v1/drills{query}"), None)
    }

    /// Begins a drill.
    pub fn run_drill(
        &self,
        workload: &WorkloadName,
        order: &DrillOrder,
    ) -> Result<DrillView, CallError> {
        self.post(&format!("api/v1/workloads/{workload}/drill"), order)
    }

    /// The report of a month, such as `2026-11`, in the form `json`, `csv` or `html`.
    pub fn report_of(&self, month: &str, format: &str) -> Result<MonthReportView, CallError> {
        self.call(Method::GET, &format!("api/v1/reports/{month}?format={format}"), None)
    }

    /// The newest entry of the audit log, signed by the vault.
    pub fn audit_head(&self) -> Result<SignedHead, CallError> {
        self.call(Method::GET, "api/v1/audit/head", None)
    }

    /// Asks who we are to the vault, and its time.
    pub fn greet(&self) -> Result<Greeting, CallError> {
        self.call(Method::GET, "api/v1/greeting", None)
    }

    /// Sends `bytes` zeros that nobody keeps.
    pub fn measure(&self, bytes: usize) -> Result<Measured, CallError> {
        self.call(Method::POST, "api/v1/probe", Some(vec![0; bytes]))
    }

    /// The vault's metrics, in the text format of Prometheus.
    pub fn metrics(&self) -> Result<String, CallError> {
        let page = self.exchange(Method::GET, "metrics", None, None)?;
        Ok(String::from_utf8_lossy(&page).into_owned())
    }

    /// The certificates that the vault issued or met.
    pub fn certificates(&self) -> Result<Vec<CertificateView>, CallError> {
        self.call(Method::GET, "api/v1/certificates", None)
    }

    /// Revokes certificates; those of them that are known.
    pub fn revoke(&self, order: &RevokeOrder) -> Result<Vec<CertificateView>, CallError> {
        self.post("api/v1/certificates/revoke", order)
    }

    /// Has a token made. Its text is in the answer, and nowhere else.
    pub fn make_token(&self, order: &TokenOrder) -> Result<MadeToken, CallError> {
        self.post("api/v1/tokens", order)
    }

    /// The tokens that were made, those that ended not long ago with them.
    pub fn tokens(&self) -> Result<Vec<TokenView>, CallError> {
        self.call(Method::GET, "api/v1/tokens", None)
    }

    /// Lets a token serve no more.
    pub fn revoke_token(&self, id: TokenId) -> Result<TokenView, CallError> {
        self.call(Method::POST, &format!("api/v1/tokens/{id}/revoke"), Some(Vec::new()))
    }

    /// What anybody may know of the vault; nothing of it is proved.
    pub(super) fn introduction(&self) -> Result<Introduction, CallError> {
        self.call(Method::GET, "api/v1/enroll", None)
    }

    /// Asks for a certificate by a token, or passes on that somebody does. The answer is to be verified.
    pub fn enroll(&self, request: &EnrollmentRequest) -> Result<SignedGrant, CallError> {
        self.post("api/v1/enroll", request)
    }

    /// Asks for another certificate in place of one. The answer is to be verified.
    pub fn renew(&self, request: &RenewalRequest) -> Result<SignedGrant, CallError> {
        self.post("api/v1/renew", request)
    }

    /// Asks whom to trust. The answer is to be verified.
    pub fn trust_news(&self) -> Result<SignedTrustNews, CallError> {
        let answer = self.exchange(Method::GET, "api/v1/trust", None, Some(NEWS_TIMEOUT))?;
        serde_json::from_slice(&answer).map_err(|error| self.unintelligible(&error))
    }

    /// Lets agents release again what the vault holds, though not all have reported since it was brought
    /// back.
    pub fn resume_releases(&self, order: &ResumeReleases) -> Result<ReleasesResumed, CallError> {
        self.post("api/v1/releases/resume", order)
    }

    /// What operators ordered about one workload, or about all, oldest first.
    pub fn orders(&self, workload: Option<&WorkloadName>) -> Result<Vec<OrderView>, CallError> {
        let query = workload.map(|workload| format!("?workload={workload}")).unwrap_or_default();
        self.call(Method::GET, &format!("api/v1/orders{query}"), None)
    }

    pub(super) fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, CallError> {
        let body = serde_json::to_vec(body).map_err(|error| self.unintelligible(&error))?;
        self.call(Method::POST, path, Some(body))
    }

    pub(super) fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<T, CallError> {
        let answer = self.exchange(method, path, body, None)?;
        serde_json::from_slice(&answer).map_err(|error| self.unintelligible(&error))
    }

    /// Sends a request; of an answer that `wants` the body, all of it.
    pub(super) fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
        deadline: Option<Duration>,
        wants: impl Fn(StatusCode) -> bool,
    ) -> Result<Answer, CallError> {
        let body = body.map(Bytes::from);
        let mut tried = 0;
        let answer = loop {
            tried += 1;
            let location = self.http.location().to_owned();
            let length = body.as_ref().map_or(0, Bytes::len) as u64;
            let mut request = self.http.request(method.clone(), path, length);
            if let Some(body) = &body {
                request = request.header(CONTENT_TYPE, "application/json").body(body.clone());
            }
            if let Some(deadline) = deadline {
                request = request.within(deadline);
            }
            match request.send(&wants, ANSWER_BYTES_MAX) {
                Ok(answer) => break answer,
                // The next one goes another way.
                Err(_) if tried < self.http.ways() => {}
                Err(source) => return Err(CallError::Unreachable { location, source }),
            }
        };
        let challenge = answer.headers.get(CHALLENGE_HEADER);
        if let Some(challenge) = challenge.and_then(|text| Challenge::parse(text.to_str().ok()?)) {
            self.said().challenge = challenge;
        }
        Ok(answer)
    }

    /// The body of an answer that is a success, within the usual time or another.
    fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
        deadline: Option<Duration>,
    ) -> Result<Vec<u8>, CallError> {
        let location = || self.http.location().to_owned();
        let answer = self.send(method, path, body, deadline, |status| status.is_success())?;
        if answer.status.is_success() {
            return Ok(answer.body);
        }
        let Failure { status, body } = Failure::of(answer);
        Err(CallError::of(location(), status, body))
    }

    fn unintelligible(&self, error: &serde_json::Error) -> CallError {
        let location = self.http.location().to_owned();
        CallError::Unintelligible { location, reason: error.to_string() }
    }
}
