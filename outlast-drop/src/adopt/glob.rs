//! Patterns of paths, and texts made of what they capture. Pure.
//!
//! A path matches name by name: `*` stands for any part of one name, `{word}` for a part of at least
//! one byte, which is captured. Where a name can be cut in several ways, each `*` and `{word}` takes as
//! little as it can, from the left. Neither stands for a `/`, nor, at the beginning of a name, for what file
//! servers and tools leave everywhere.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::layout::{is_foreign, is_ours_at_root};

const TEXT_MAX: usize = 1000;
const NAMES_MAX: usize = 16;
/// Wildcards in one name.
const WILD_MAX: usize = 16;
/// A longer name is none.
const NAME_MAX: usize = 255;

/// A pattern of paths below the root of a share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    names: Vec<Vec<Token>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Text(String),
    Any,
    Captured(String),
}

/// What a pattern captured of a path, by its words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Captures(BTreeMap<String, Vec<u8>>);

/// A text with words in it that a pattern captures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template(Vec<Token>);

impl Pattern {
    /// Reads a pattern; why it is none, if not.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > TEXT_MAX {
            return Err(format!("it is longer than {TEXT_MAX} bytes"));
        }
        if text.starts_with('/') {
            return Err("it begins with '/': it is a path from the root of the share".to_owned());
        }
        let mut names = Vec::new();
        for name in text.split('/') {
            match name {
                "" => return Err("a name in it is empty".to_owned()),
                "." | ".." => return Err(format!("it has a name {name:?}")),
                "**" => {
                    return Err(
                        "'**' is not known: say each directory, as in \"a/*/b.dump\"".into()
                    );
                }
                _ => names.push(tokens(name)?),
            }
        }
        if names.len() > NAMES_MAX {
            return Err(format!("it has more than {NAMES_MAX} names"));
        }
        let pattern = Self { text: text.to_owned(), names };
        if pattern.literal(0).is_some_and(|name| is_ours_at_root(name.as_bytes())) {
            let first = pattern.literal(0).unwrap_or_default();
            return Err(format!("\"{first}\" at the root of a share belongs to Outlast itself"));
        }
        let mut words = pattern.words();
        words.sort_unstable();
        if let Some(twice) = words.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("{{{}}} is in it twice", twice[0]));
        }
        Ok(pattern)
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The number of names in a path that matches.
    pub fn depth(&self) -> usize {
        self.names.len()
    }

    /// The only name that matches at `index`, if there is only one.
    pub fn literal(&self, index: usize) -> Option<&str> {
        match self.names.get(index)?.as_slice() {
            [Token::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Whether `name` matches at `index`.
    pub fn admits(&self, index: usize, name: &[u8]) -> bool {
        self.cut(index, name).is_some()
    }

    /// What it captures of a path; `None` if that does not match.
    pub fn captures<N: AsRef<[u8]>>(&self, path: &[N]) -> Option<Captures> {
        if path.len() == self.depth() { self.captures_above(path) } else { None }
    }

    /// The same of a directory on the way to what matches.
    pub fn captures_above<N: AsRef<[u8]>>(&self, path: &[N]) -> Option<Captures> {
        let mut captures = Captures::default();
        for (index, name) in path.iter().map(AsRef::as_ref).enumerate() {
            for (word, range) in self.cut(index, name)? {
                captures.0.insert(word.to_owned(), name[range].to_vec());
            }
        }
        Some(captures)
    }

    fn words(&self) -> Vec<&str> {
        let tokens = self.names.iter().flatten();
        tokens
            .filter_map(|token| match token {
                Token::Captured(word) => Some(word.as_str()),
                _ => None,
            })
            .collect()
    }

    /// The parts of a name that its words stand for.
    fn cut(&self, index: usize, name: &[u8]) -> Option<Vec<(&str, Range<usize>)>> {
        let tokens = self.names.get(index)?;
        let is_free = !matches!(tokens.first(), Some(Token::Text(_)));
        let is_reserved = index == 0 && is_ours_at_root(name);
        if name.len() > NAME_MAX || is_reserved || is_free && is_left_by_others(name) {
            return None;
        }
        let mut dead = vec![false; (tokens.len() + 1) * (name.len() + 1)];
        let mut found = Vec::new();
        let matched = Cut { tokens, name, dead: &mut dead, found: &mut found }.go(0, 0);
        found.reverse();
        matched.then_some(found)
    }
}

/// A name that is being matched.
struct Cut<'a, 'b> {
    tokens: &'a [Token],
    name: &'b [u8],
    /// From where nothing matches, by token and place: so no way is tried twice.
    dead: &'b mut [bool],
    /// The captured parts, from the last to the first.
    found: &'b mut Vec<(&'a str, Range<usize>)>,
}

impl Cut<'_, '_> {
    /// Whether the rest of the name, from `at`, is what the rest of the tokens stands for.
    fn go(&mut self, token: usize, at: usize) -> bool {
        let key = token * (self.name.len() + 1) + at;
        if self.dead[key] {
            return false;
        }
        let matched = match self.tokens.get(token) {
            None => at == self.name.len(),
            Some(Token::Text(text)) => {
                self.name[at..].starts_with(text.as_bytes()) && self.go(token + 1, at + text.len())
            }
            Some(Token::Any) => (at..=self.name.len()).any(|end| self.go(token + 1, end)),
            Some(Token::Captured(word)) => {
                let end = (at + 1..=self.name.len()).find(|end| self.go(token + 1, *end));
                if let Some(end) = end {
                    self.found.push((word, at..end));
                }
                end.is_some()
            }
        };
        self.dead[key] = !matched;
        matched
    }
}

impl Captures {
    /// The part that a word stands for.
    pub fn get(&self, word: &str) -> Option<&[u8]> {
        self.0.get(word).map(Vec::as_slice)
    }
}

impl Template {
    /// Reads a text whose words `pattern` captures; why it is none, if not.
    pub(super) fn parse(text: &str, pattern: &Pattern) -> Result<Self, String> {
        if text.is_empty() || text.len() > TEXT_MAX {
            return Err(format!("it has not 1 to {TEXT_MAX} bytes"));
        }
        let tokens = tokens(text)?;
        let words = pattern.words();
        for token in &tokens {
            match token {
                Token::Any => return Err("a '*' stands for nothing here".to_owned()),
                Token::Captured(word) if !words.contains(&word.as_str()) => {
                    return Err(format!("the glob captures no {{{word}}}"));
                }
                _ => {}
            }
        }
        Ok(Self(tokens))
    }

    /// The text with the captured parts in place of the words; `None` if one of them was not captured.
    pub(super) fn fill(&self, captures: &Captures) -> Option<Vec<u8>> {
        let mut filled = Vec::new();
        for token in &self.0 {
            match token {
                Token::Text(text) => filled.extend_from_slice(text.as_bytes()),
                Token::Captured(word) => filled.extend_from_slice(captures.get(word)?),
                Token::Any => {}
            }
        }
        Some(filled)
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let (mut tokens, mut rest) = (Vec::new(), text);
    while let Some(next) = rest.chars().next() {
        match next {
            '*' => {
                // Two side by side are one.
                if tokens.last() != Some(&Token::Any) {
                    tokens.push(Token::Any);
                }
                rest = &rest[1..];
            }
            '{' => {
                let (word, after) =
                    rest[1..].split_once('}').ok_or("a '{' in it has no '}'".to_owned())?;
                let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
                if word.is_empty() || !word.chars().all(is_word) {
                    return Err(format!("{{{word}}} is no word of a-z, 0-9 and '_'"));
                }
                tokens.push(Token::Captured(word.to_owned()));
                rest = after;
            }
            '}' | '?' | '[' | ']' | '\\' => {
                return Err(format!("'{next}' is not known; use '*' and {{word}}"));
            }
            c if c.is_control() => return Err("it has a control character".to_owned()),
            _ => {
                let end = rest.find(['*', '{', '}', '?', '[', ']', '\\']).unwrap_or(rest.len());
                tokens.push(Token::Text(rest[..end].to_owned()));
                rest = &rest[end..];
            }
        }
    }
    let wild = tokens.iter().filter(|token| !matches!(token, Token::Text(_))).count();
    if wild > WILD_MAX {
        return Err(format!("it has more than {WILD_MAX} of '*' and {{word}} in one name"));
    }
    Ok(tokens)
}

/// Whether file servers and tools leave such names everywhere, among them files that are not finished.
fn is_left_by_others(name: &[u8]) -> bool {
    match name.first() {
        Some(first) if first.is_ascii_alphanumeric() => is_foreign(name),
        Some(first) => b".@#~$".contains(first),
        None => true,
    }
}

#[cfg(test)]
mod tests;
