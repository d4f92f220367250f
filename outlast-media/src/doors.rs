//! A media server's front doors, on one port behind mutual TLS: restic's REST protocol for what agents
//! bring ([`objects`]), the calls that are carried to the vault ([`api`]), and `/metrics` ([`metrics`]).

pub(crate) mod api;
pub(crate) mod metrics;
pub(crate) mod objects;
pub(crate) mod order;
mod reading;
