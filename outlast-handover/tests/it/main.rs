//! The promises of a hand-over, against real files, real processes and the programs that a restorer has.
//!
//! `cfg(test)` tells clippy that the helpers here are tests too.

#[cfg(test)]
mod encrypted;
#[cfg(test)]
mod full;
#[cfg(test)]
mod jobs;
#[cfg(test)]
mod killed;
#[cfg(test)]
mod layouts;
#[cfg(test)]
mod order;
#[cfg(test)]
mod readers;
#[cfg(test)]
mod support;
