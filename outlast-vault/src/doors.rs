//! The vault's front doors, on one port behind mutual TLS: restic's REST protocol (`rest`),
//! `/api/v1` (`api`) and `/metrics`.

pub(crate) mod api;
mod bodies;
pub(crate) mod hearing;
pub(crate) mod metrics;
pub(crate) mod rest;
mod shown;
pub(crate) mod turns;

#[cfg(test)]
mod tests;
