//! Codes: what happened, in words for programs, beside the sentence for people.
//!
//! Programs decide by a code and never by a sentence. A code travels as a short text, and one that
//! this program does not know is kept as it came, since the other side may be newer.

mod problem;
mod rejection;
mod sanity;

pub use problem::{ProblemCode, ProblemKind};
pub use rejection::RejectionCode;
pub use sanity::{ContentKind, DoubtCode, Verdict};

/// No code of ours is longer, in bytes.
const LENGTH_MAX: usize = 64;

/// A code that this program does not know: a word of `a-z`, `0-9`, `_` and `-`, or nothing, if none
/// was given or what was given is no code. Made by the enums of [`codes!`](crate::codes) only, so
/// that a known code is never written in this way.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OtherCode(String);

impl OtherCode {
    /// No code at all.
    pub const NONE: Self = Self(String::new());

    /// For [`codes!`](crate::codes) alone: `text` must not be a known code.
    #[doc(hidden)]
    pub fn of_unknown(text: String) -> Self {
        let allowed =
            |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'_' | b'-');
        // It goes into logs and onto terminals.
        let is_code = text.len() <= LENGTH_MAX && text.bytes().all(allowed);
        if is_code { Self(text) } else { Self::NONE }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Declares an enum of codes with their texts. It has one more variant, `Other`, for what it does
/// not know, and its default is no code, which is what older programs say.
#[macro_export]
macro_rules! codes {
    (
        $(#[$attribute:meta])*
        pub enum $name:ident { $( $(#[$of_variant:meta])* $variant:ident => $text:literal, )+ }
    ) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $( $(#[$of_variant])* $variant, )+
            /// A code of a newer program, or none.
            Other($crate::code::OtherCode),
        }

        impl $name {
            /// Every code that this program knows.
            pub const KNOWN: &'static [Self] = &[ $( Self::$variant, )+ ];

            /// The code as it travels; empty if there is none.
            pub fn as_str(&self) -> &str {
                match self {
                    $( Self::$variant => $text, )+
                    Self::Other(other) => other.as_str(),
                }
            }

            /// Whether no code was given.
            pub fn is_none(&self) -> bool {
                self.as_str().is_empty()
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::Other($crate::code::OtherCode::NONE)
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                match text.as_str() {
                    $( $text => Self::$variant, )+
                    _ => Self::Other($crate::code::OtherCode::of_unknown(text)),
                }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl ::serde::Serialize for $name {
            fn serialize<S: ::serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(self.as_str())
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $name {
            fn deserialize<D: ::serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                <String as ::serde::Deserialize>::deserialize(from).map(Self::from)
            }
        }
    };
}

#[cfg(test)]
mod tests;
