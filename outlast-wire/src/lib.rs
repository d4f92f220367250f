//! Identities, mutual TLS, the REST protocol as server and as Store, API types.
