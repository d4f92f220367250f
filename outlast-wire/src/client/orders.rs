//! Orders of operators.

use hyper::Method;
use outlast_types::WorkloadName;

use super::calls::ApiClient;
use super::error::CallError;
use crate::api::{
    AcceptOrder, AckIncident, AgreementOrder, AgreementView, ApplyPolicy, CommentIncident,
    DeployAnnounced, DeployAnnouncement, IncidentAnswered, OrderView, PauseOrder, PolicyApplied,
    ReasonedOrder, RecreateOrder, RenameOrder,
};

impl ApiClient {
    /// Begins a workload's repository anew that is missing for good.
    pub fn recreate(
        &self,
        workload: &WorkloadName,
        order: &RecreateOrder,
    ) -> Result<OrderView, CallError> {
        self.post(&format!("api/v1/workloads/{workload}/recreate"), order)
    }

    /// Pauses a workload's promise for a time.
    pub fn pause(
        &self,
        workload: &WorkloadName,
        order: &PauseOrder,
    ) -> Result<OrderView, CallError> {
        self.post(&format!("api/v1/workloads/{workload}/pause"), order)
    }

    /// Retires a workload: it drops no more.
    pub fn retire(
        &self,
        workload: &WorkloadName,
        order: &ReasonedOrder,
    ) -> Result<OrderView, CallError> {
        self.post(&format!("api/v1/workloads/{workload}/retire"), order)
    }

    /// Gives a workload another name.
    pub fn rename(
        &self,
        workload: &WorkloadName,
        order: &RenameOrder,
    ) -> Result<OrderView, CallError> {
        self.post(&format!("api/v1/workloads/{workload}/rename"), order)
    }

    /// Says that a release of a workload begins.
    pub fn announce_deploy(
        &self,
        workload: &WorkloadName,
        announcement: &DeployAnnouncement,
    ) -> Result<DeployAnnounced, CallError> {
        self.post(&format!("api/v1/workloads/{workload}/deploying"), announcement)
    }

    /// What two operators agreed on before policy may say it, or were asked for.
    pub fn agreements(&self) -> Result<Vec<AgreementView>, CallError> {
        self.call(Method::GET, "api/v1/agreements", None)
    }

    /// Asks for such an agreement, gives it, or takes it back.
    pub fn order_agreement(&self, order: &AgreementOrder) -> Result<AgreementView, CallError> {
        self.post("api/v1/agreements", order)
    }

    /// Lets another policy hold.
    pub fn apply_policy(&self, policy: &ApplyPolicy) -> Result<PolicyApplied, CallError> {
        self.post("api/v1/policy", policy)
    }

    /// What another policy would change, or why it would be refused. Nothing is changed.
    pub fn check_policy(&self, policy: &ApplyPolicy) -> Result<PolicyApplied, CallError> {
        self.post("api/v1/policy/check", policy)
    }

    /// Lets a paused or retired workload's promise count again.
    pub fn resume(
        &self,
        workload: &WorkloadName,
        order: &ReasonedOrder,
    ) -> Result<OrderView, CallError> {
        self.post(&format!("api/v1/workloads/{workload}/resume"), order)
    }

    /// Says that somebody is at an incident.
    pub fn acknowledge(&self, order: &AckIncident) -> Result<IncidentAnswered, CallError> {
        self.post("api/v1/incidents/ack", order)
    }

    /// Says something of an incident.
    pub fn comment(&self, order: &CommentIncident) -> Result<IncidentAnswered, CallError> {
        self.post("api/v1/incidents/comment", order)
    }

    /// Takes a drop for a backup that is suspect, or was rejected as no whole one.
    pub fn accept(
        &self,
        workload: &WorkloadName,
        order: &AcceptOrder,
    ) -> Result<OrderView, CallError> {
        self.post(&format!("api/v1/workloads/{workload}/accept"), order)
    }
}
