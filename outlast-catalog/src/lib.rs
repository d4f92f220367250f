//! What the vault knows, in SQLite: a cache that can be rebuilt.
