//! The share: writing, sealing, scanning and reading drops; receipts.
