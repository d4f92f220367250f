//! The vault: repositories, publishing, promises kept.
