//! The real binary on real network file systems: NFS-Ganesha and Samba, mounted by the kernel's own
//! clients in hosts that can be powered off. One host runs vault and agent on a mount of its own, with
//! their directories on its own disk; the others drop.

mod bad_days;
mod drills;
mod kit;
mod life;
mod site;
