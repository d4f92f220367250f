//! What keeps snapshots, and orders about them.

use hyper::Method;
use outlast_types::WorkloadName;

use super::calls::ApiClient;
use super::error::CallError;
use crate::api::{KeepingDone, KeepingOrder, KeepingView, RequestView};

impl ApiClient {
    /// What keeps each snapshot of a workload; or what would, by other rules.
    pub fn keeping(
        &self,
        workload: &WorkloadName,
        keep: Option<&str>,
    ) -> Result<KeepingView, CallError> {
        let path = format!("api/v1/workloads/{workload}/keeping");
        // Rules are letters, digits, and marks that an address may have.
        let query = keep.map(|keep| format!("?keep={}", keep.replace(' ', ""))).unwrap_or_default();
        self.call(Method::GET, &format!("{path}{query}"), None)
    }

    /// Orders something about the snapshots of a workload.
    pub fn order_keeping(
        &self,
        workload: &WorkloadName,
        order: &KeepingOrder,
    ) -> Result<KeepingDone, CallError> {
        self.post(&format!("api/v1/workloads/{workload}/keeping"), order)
    }

    /// What waits for another operator, or for its time.
    pub fn keeping_requests(&self) -> Result<Vec<RequestView>, CallError> {
        self.call(Method::GET, "api/v1/requests", None)
    }
}
