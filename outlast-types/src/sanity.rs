//! What is thought of a drop's content, and the rules by which that is judged.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::code::{ContentKind, DoubtCode, Verdict};

/// The most doubts about one drop that are carried on, and the characters of each.
const DOUBTS_MAX: usize = 8;
const TEXT_CHARS_MAX: usize = 500;
/// Kinds that one rule expects at most.
const KINDS_MAX: usize = 32;

/// What is thought of a drop's content: it travels in the bill, and is kept with the snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sanity {
    /// None if nobody looked, as agents of before did not.
    #[serde(default, skip_serializing_if = "Verdict::is_none")]
    pub verdict: Verdict,
    /// What it is; none if that could not be told.
    #[serde(default, skip_serializing_if = "ContentKind::is_none")]
    pub kind: ContentKind,
    /// What it is packed in, if in anything.
    #[serde(default, skip_serializing_if = "ContentKind::is_none")]
    pub packed: ContentKind,
    /// How many things are in it, where its kind tells: entries of an archive or of a table of
    /// contents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entries: Option<u64>,
    /// Why it is in doubt, or why nothing is known of its end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub doubts: Vec<Doubt>,
}

/// Why content is in doubt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubt {
    /// For programs; none where nothing is wrong and something could not be told.
    #[serde(default, skip_serializing_if = "DoubtCode::is_none")]
    pub code: DoubtCode,
    /// For people.
    pub text: String,
}

/// `pg_dump in gzip, suspect: it has 3 bytes …`.
impl fmt::Display for Sanity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.kind.is_none(), self.packed.is_none()) {
            (false, true) => write!(f, "{}, ", self.kind)?,
            (false, false) => write!(f, "{} in {}, ", self.kind, self.packed)?,
            (true, false) => write!(f, "{}, ", self.packed)?,
            (true, true) => {}
        }
        write!(f, "{}", self.verdict)?;
        let texts: Vec<&str> = self.doubts.iter().map(|doubt| doubt.text.as_str()).collect();
        if texts.is_empty() { Ok(()) } else { write!(f, ": {}", texts.join("; ")) }
    }
}

impl Sanity {
    /// Whether a drop of which this is thought is a recovery point.
    pub fn counts(&self) -> bool {
        self.verdict.counts()
    }

    /// Why it is in doubt, as one text.
    pub fn why(&self) -> String {
        let texts: Vec<&str> = self.doubts.iter().map(|doubt| doubt.text.as_str()).collect();
        texts.join("; ")
    }

    /// The same with one more reason to doubt it. What is broken stays so.
    pub fn doubted(&mut self, doubt: Doubt) {
        if self.verdict != Verdict::Broken {
            self.verdict = Verdict::Suspect;
        }
        self.doubts.push(doubt);
    }

    /// The same as it is kept: whoever says it may say what it likes, and not fill memory with it.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        self.doubts.truncate(DOUBTS_MAX);
        for doubt in &mut self.doubts {
            doubt.text = plain(&doubt.text);
        }
        self
    }
}

impl Doubt {
    pub fn new(code: DoubtCode, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }
}

fn plain(text: &str) -> String {
    text.chars().take(TEXT_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// What policy, or a team for its own workload, asks of content. What it leaves out is for another
/// layer to say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SanityRule {
    /// The fewest bytes that can be a backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_size: Option<u64>,
    /// By how many percent a drop may be smaller than those before it, or have fewer entries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shrink_max: Option<u8>,
    /// How many bytes less are no matter, whatever part of it they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<u64>,
    /// What it can be, by itself or as what is packed; anything if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<ContentKind>,
}

impl SanityRule {
    /// What holds for a workload of which nobody says more. One byte: what is empty is no backup.
    pub const MIN_SIZE: u64 = 1;
    pub const SHRINK_MAX: u8 = 50;
    pub const FLOOR: u64 = 1 << 20;

    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The same, tightened by what a team declares: it never loosens anything (I4).
    #[must_use]
    pub fn tightened(&self, declared: &Self) -> Self {
        // A kind that policy does not expect is not expected because a team says so.
        let both = |kind: &&ContentKind| self.kinds.contains(kind);
        let agreed: Vec<ContentKind> = declared.kinds.iter().filter(both).cloned().collect();
        let kinds = match (self.kinds.is_empty(), agreed.is_empty()) {
            (true, _) => declared.kinds.iter().take(KINDS_MAX).cloned().collect(),
            // Nothing is declared, or nothing that policy expects, too.
            (false, true) => self.kinds.clone(),
            (false, false) => agreed,
        };
        let or = |value: Option<u64>, default| value.unwrap_or(default);
        Self {
            min_size: Some(or(self.min_size, Self::MIN_SIZE).max(or(declared.min_size, 0))),
            shrink_max: Some(
                self.shrink_max.unwrap_or(Self::SHRINK_MAX).min(declared.shrink_max.unwrap_or(100)),
            ),
            floor: Some(or(self.floor, Self::FLOOR).min(or(declared.floor, u64::MAX))),
            kinds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(min: u64, shrink: u8, floor: u64, kinds: &[ContentKind]) -> SanityRule {
        SanityRule {
            min_size: Some(min),
            shrink_max: Some(shrink),
            floor: Some(floor),
            kinds: kinds.to_vec(),
        }
    }

    #[test]
    fn a_team_tightens_a_rule_and_never_loosens_it() {
        use ContentKind::{PgDump, Sqlite, Tar};
        let policy = rule(100, 50, 1000, &[PgDump, Sqlite]);
        let loose = rule(1, 99, 1 << 40, &[PgDump, Sqlite, Tar]);
        assert_eq!(policy.tightened(&loose), policy);
        assert_eq!(policy.tightened(&SanityRule::default()), policy);
        let tight = rule(200, 10, 5, &[Sqlite]);
        assert_eq!(policy.tightened(&tight), tight);
        let other = rule(200, 10, 5, &[Tar]);
        assert_eq!(policy.tightened(&other).kinds, [PgDump, Sqlite], "policy counts");
        let none = SanityRule::default().tightened(&SanityRule::default());
        assert_eq!(
            none,
            rule(SanityRule::MIN_SIZE, SanityRule::SHRINK_MAX, SanityRule::FLOOR, &[])
        );
    }

    #[test]
    fn what_an_agent_of_before_does_not_say_counts_and_what_is_not_understood_does_not() {
        let counts = |text: &str| {
            Sanity { verdict: Verdict::from(text.to_owned()), ..Sanity::default() }.counts()
        };
        assert!(counts("") && Sanity::default().counts());
        assert!(counts("sound") && counts("unknown"));
        for doubtful in ["suspect", "broken", "made_of_cheese"] {
            assert!(!counts(doubtful), "{doubtful}");
        }
    }

    #[test]
    fn doubts_are_kept_short_and_plain() {
        let doubt = Doubt::new(DoubtCode::Damaged, "\u{1b}[31m".repeat(1000));
        let many = Sanity { doubts: vec![doubt; 100], ..Sanity::default() }.bounded();
        assert_eq!(many.doubts.len(), DOUBTS_MAX);
        let is_plain = |doubt: &Doubt| !doubt.text.contains('\u{1b}') && doubt.text.len() <= 500;
        assert!(many.doubts.iter().all(is_plain));
    }
}
