//! Workloads, promises and incidents as pure state machines.
