//! The agent: scan, verify, ship, release.
