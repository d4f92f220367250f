//! What came of one input, and which outcomes are of one kind.

use std::hash::{DefaultHasher, Hash, Hasher};

/// What came of an input: whether it was accepted, and a hash of what else tells kinds of inputs
/// apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Outcome {
    pub accepted: bool,
    pub feature: u64,
}

impl Outcome {
    /// The input was accepted and has this shape.
    pub fn accepted(shape: impl Hash) -> Self {
        Self { accepted: true, feature: hash(shape) }
    }

    /// The input was refused for this reason, of which numbers and quotations are left out.
    pub fn refused(reason: impl ToString) -> Self {
        let reason = reason.to_string();
        let words: Vec<&str> = reason
            .split(['"', '`', '\''])
            .step_by(2)
            .flat_map(|part| part.split(|c: char| !c.is_ascii_alphanumeric()))
            .filter(|word| word.bytes().all(|c| c.is_ascii_alphabetic()))
            .take(20)
            .collect();
        Self { accepted: false, feature: hash(words) }
    }
}

fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Lengths of about this size are one shape: few enough of them to keep an input of each.
pub(crate) fn scale(length: usize) -> u32 {
    usize::BITS - length.leading_zeros()
}
