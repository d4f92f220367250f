//! The real binary against real peers, on real input.

mod harness;
mod road;
mod survival;
