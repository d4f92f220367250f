//! What a product's hooks and people run for a hand-over, with the real binary beside a desk of this process.
#![expect(
    clippy::disallowed_methods,
    reason = "files as products and people write and change them"
)]

mod back;
mod desk;
mod hooks;
mod jobs;
