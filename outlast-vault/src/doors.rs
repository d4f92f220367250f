//! The vault's front doors, on one port behind mutual TLS: restic's REST protocol (`rest`) and
//! `/api/v1` (`api`).

pub(crate) mod api;
mod bodies;
pub(crate) mod hearing;
pub(crate) mod rest;
pub(crate) mod turns;

#[cfg(test)]
mod tests;
