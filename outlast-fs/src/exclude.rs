//! Patterns of what a walk leaves out, as restic has them.
//!
//! A pattern is compared with the full path of an entry, name by name: `*` stands for any part of a
//! name, `?` for one character, `[a-z]` for one of a set (`[^a-z]` for any other), `\` takes the
//! meaning from the character after it, and a name `**` stands for any number of names, also none. A
//! pattern that begins with `/` is for whole paths, every other one for any row of names in a path.
//! What is below something that is left out is left out, too.
//!
//! Patterns are asked in order; one that begins with `!` takes back what those before it said. It
//! cannot bring back anything from a directory that is left out as a whole.

mod name;

use std::fmt;

use name::NamePattern;

/// Patterns in order.
#[derive(Debug, Clone, Default)]
pub struct Excludes {
    patterns: Vec<Pattern>,
    caches: bool,
}

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no pattern: {reason}")]
pub struct InvalidPattern {
    text: String,
    reason: &'static str,
}

#[derive(Clone)]
struct Pattern {
    negated: bool,
    /// Whether it begins at `/`.
    rooted: bool,
    parts: Vec<Part>,
}

#[derive(Clone)]
enum Part {
    Name(NamePattern),
    /// Any number of names.
    Any,
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a pattern of {} parts", self.parts.len())
    }
}

impl Excludes {
    /// Adds a pattern behind the others.
    pub fn add(&mut self, text: &[u8]) -> Result<(), InvalidPattern> {
        let refused = |reason| {
            let text = String::from_utf8_lossy(text).chars().take(200).collect();
            InvalidPattern { text, reason }
        };
        let (negated, pattern) = match text.strip_prefix(b"!") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        if pattern.is_empty() {
            return Err(refused("it is empty"));
        }
        let mut parts = Vec::new();
        for name in cleaned(pattern) {
            match name {
                // Several in a row are as one.
                b"**" if matches!(parts.last(), Some(Part::Any)) => {}
                b"**" => parts.push(Part::Any),
                name => parts.push(Part::Name(NamePattern::parse(name).map_err(refused)?)),
            }
        }
        let rooted = pattern.starts_with(b"/");
        if parts.is_empty() && !rooted {
            return Err(refused("it names nothing"));
        }
        self.patterns.push(Pattern { negated, rooted, parts });
        Ok(())
    }

    /// Leaves out what directories hold that are marked as caches by a file `CACHEDIR.TAG`, but for
    /// that file itself.
    pub fn caches(&mut self) {
        self.caches = true;
    }

    /// Whether marked caches are left out.
    pub(crate) fn leaves_out_caches(&self) -> bool {
        self.caches
    }

    /// Whether there are no patterns.
    pub(crate) fn has_patterns(&self) -> bool {
        !self.patterns.is_empty()
    }

    /// Whether the entry with these names from `/` on is left out.
    pub(crate) fn excludes(&self, path: &[&[u8]]) -> bool {
        self.patterns.iter().fold(false, |out, pattern| {
            // Asked only where the answer changes something.
            if out == pattern.negated && pattern.matches(path) { !out } else { out }
        })
    }
}

impl Pattern {
    fn matches(&self, path: &[&[u8]]) -> bool {
        if self.rooted {
            return begins(&self.parts, path);
        }
        (0..path.len()).any(|from| begins(&self.parts, &path[from..]))
    }
}

/// Whether the first names of a path, or all of them, are as `parts` say.
fn begins(parts: &[Part], path: &[&[u8]]) -> bool {
    let Some((part, rest)) = parts.split_first() else { return true };
    match (part, path.split_first()) {
        (Part::Any, _) => (0..=path.len()).any(|skipped| begins(rest, &path[skipped..])),
        (Part::Name(pattern), Some((name, below))) => pattern.matches(name) && begins(rest, below),
        (Part::Name(_), None) => false,
    }
}

/// The names of a path without `.`, and with `..` resolved as far as that can be done by words alone.
fn cleaned(path: &[u8]) -> Vec<&[u8]> {
    let mut names: Vec<&[u8]> = Vec::new();
    for name in path.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." if names.last().is_some_and(|last| *last != b"..") => {
                names.pop();
            }
            b".." if path.starts_with(b"/") => {}
            name => names.push(name),
        }
    }
    names
}

#[cfg(test)]
mod tests;
