//! Patterns of one name, with the rules of Go's `filepath.Match`, which restic's are.

/// A pattern of one name.
#[derive(Clone)]
pub(super) struct NamePattern(Vec<Token>);

#[derive(Clone)]
enum Token {
    Byte(u8),
    /// `?`
    One,
    /// `*`
    Many,
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

impl NamePattern {
    pub(super) fn parse(text: &[u8]) -> Result<Self, &'static str> {
        let mut tokens = Vec::new();
        let mut rest = text;
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            tokens.push(match byte {
                b'*' => Token::Many,
                b'?' => Token::One,
                b'[' => {
                    let (class, after) = class(rest)?;
                    rest = after;
                    class
                }
                b'\\' => {
                    let (&escaped, after) =
                        rest.split_first().ok_or("nothing follows its last \\")?;
                    rest = after;
                    Token::Byte(escaped)
                }
                byte => Token::Byte(byte),
            });
        }
        Ok(Self(tokens))
    }

    pub(super) fn matches(&self, name: &[u8]) -> bool {
        let (mut tokens, mut name) = (self.0.as_slice(), name);
        // Where to go on after one more character for the last `*`.
        let mut again: Option<(&[Token], &[u8])> = None;
        loop {
            let step = match tokens.split_first() {
                Some((Token::Many, rest)) => {
                    again = Some((rest, name));
                    tokens = rest;
                    continue;
                }
                Some((token, rest)) => token.eat(name).map(|name| (rest, name)),
                None if name.is_empty() => return true,
                None => None,
            };
            (tokens, name) = match (step, again) {
                (Some(step), _) => step,
                (None, Some((rest, from))) => {
                    let Some(length) = first(from).map(|(_, length)| length) else { return false };
                    let from = &from[length..];
                    again = Some((rest, from));
                    (rest, from)
                }
                (None, None) => return false,
            };
        }
    }
}

impl Token {
    /// The rest of a name behind what the token stands for.
    fn eat<'a>(&self, name: &'a [u8]) -> Option<&'a [u8]> {
        let length = match self {
            Self::Byte(byte) => usize::from(name.first() == Some(byte)),
            Self::One => first(name)?.1,
            Self::Class { negated, ranges } => {
                let (character, length) = first(name)?;
                let within = |(low, high): &(char, char)| (*low..=*high).contains(&character);
                if ranges.iter().any(within) == *negated { 0 } else { length }
            }
            Self::Many => 0,
        };
        (length > 0).then(|| &name[length..])
    }
}

/// The first character and its length. A byte that is none stands for itself.
fn first(text: &[u8]) -> Option<(char, usize)> {
    let chunk = text.utf8_chunks().next()?;
    match chunk.valid().chars().next() {
        Some(character) => Some((character, character.len_utf8())),
        None => Some((char::REPLACEMENT_CHARACTER, 1)),
    }
}

/// A set of characters after its `[`, and what follows it.
fn class(text: &[u8]) -> Result<(Token, &[u8]), &'static str> {
    const OPEN: &str = "a [ in it is not closed by ]";
    let (negated, mut rest) = match text.strip_prefix(b"^") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut ranges = Vec::new();
    loop {
        match rest.split_first() {
            None => return Err(OPEN),
            Some((b']', after)) if !ranges.is_empty() => {
                return Ok((Token::Class { negated, ranges }, after));
            }
            Some(_) => {}
        }
        let (low, after) = class_character(rest)?;
        let (high, after) = match after.strip_prefix(b"-") {
            Some(after) => class_character(after)?,
            None => (low, after),
        };
        ranges.push((low, high));
        rest = after;
    }
}

fn class_character(text: &[u8]) -> Result<(char, &[u8]), &'static str> {
    let text = match text.split_first() {
        None | Some((b'-' | b']', _)) => return Err("a [ in it holds no set of characters"),
        Some((b'\\', after)) => after,
        Some(_) => text,
    };
    let (character, length) = first(text).ok_or("a [ in it is not closed by ]")?;
    Ok((character, &text[length..]))
}
