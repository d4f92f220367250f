//! The engine against stock restic, damage and hostile repositories. One binary, one link.

mod backup;
mod damage;
mod flips;
mod forge;
mod interop_read;
mod restic;
mod restore;
