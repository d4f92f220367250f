//! One month of a plan.

use crate::cost::Costs;

/// One month.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Month {
    /// `2027-01`.
    pub label: String,
    pub drops: f64,
    /// Bytes that were written to shares, of content that was dropped, and on lines.
    pub written: f64,
    pub content: f64,
    pub line: f64,
    /// Bytes on shares at most.
    pub share_peak: f64,
    /// What the vault has at the end, in one place.
    pub snapshots: f64,
    pub vault: f64,
    /// Part by part.
    pub costs: Costs,
}
