//! The engine against stock restic, damage and hostile repositories. One binary, one link.

mod damage;
mod forge;
mod interop_read;
mod restic;
mod restore;
