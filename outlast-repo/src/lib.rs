//! The engine: backup, restore, check on a repository.
