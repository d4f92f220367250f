//! Hand-overs to products: a real Bacula, and a stand-in for NetBackup, with the real commands in their hooks.

pub(crate) mod bacula;
mod bacula_day;
mod bacula_faults;
mod desk;
pub(crate) mod hooks;
mod jobs_api;
mod netbackup;
