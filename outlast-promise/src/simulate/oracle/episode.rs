//! What the oracle says, and how.

use std::collections::BTreeMap;

use super::super::infrastructure::Infrastructure;
use super::super::spans::{Span, Spans};
use crate::cause::Key;

/// Something that is wrong for a time, and what has to be told of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Episode {
    /// From when until when it is so.
    pub(crate) span: Span,
    /// The first moment at which somebody may be paged; none if nobody may.
    pub(crate) may: Option<u64>,
    /// The moment at which it is known that somebody must be; none if nobody needs to be.
    pub(crate) must: Option<u64>,
    /// Until when a page may ring on, since what it held up still comes.
    pub(crate) latest: u64,
    /// Whether it and what explains it began in one second: it depends on which was heard first.
    pub(crate) is_tie: bool,
    /// When it is explained for certain, or has to wait: no page may begin in the midst of that.
    pub(crate) explained: Spans,
    /// When one thing that explains it ended in the second in which another began, or its waiting did: it depends
    /// on which was heard first.
    pub(crate) handed_on: Vec<u64>,
    /// Why it is left open whether somebody is paged, where it is.
    pub(crate) leeway: Option<Leeway>,
}

/// Why the definitions say neither that somebody is paged nor that nobody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Leeway {
    /// An outage is over, and it still waits: how long that explains it goes by an estimate.
    CatchingUp,
    /// The same after an absence of the vault.
    VaultBack,
    /// The vault began anew meanwhile, and has yet to hear what waits.
    Anew,
    /// A product's trouble rings on although all is confirmed that it held up, or began in the second in which it was
    /// told to be well.
    ProductOver,
    /// A product is in trouble, and the vault has yet to publish the drop, too.
    ProductAndVault,
    /// The directory takes nothing, and no drop of the workload ever lay there, or either place would do.
    Room,
    /// Its repository was found, and the vault heard nothing of drops since.
    Found,
    /// Both began in one second.
    Tie,
    /// It was mended in the moment in which it broke.
    Moment,
    /// It began less than a minute before the end.
    End,
}

impl Leeway {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::CatchingUp => "catching-up",
            Self::VaultBack => "vault-back",
            Self::Anew => "vault-anew",
            Self::ProductOver => "product-over",
            Self::ProductAndVault => "product-and-vault",
            Self::Room => "room",
            Self::Found => "repository-found",
            Self::Tie => "tie",
            Self::Moment => "moment",
            Self::End => "end",
        }
    }
}

/// All episodes, in order, by what they are about.
pub(crate) type Expected = BTreeMap<Key, Vec<Episode>>;

/// When something is explained: certainly, and perhaps.
#[derive(Debug, Clone, Default)]
pub(super) struct Explained {
    pub(super) surely: Spans,
    pub(super) perhaps: Spans,
}

/// What is told from its first moment on, whatever else is the matter.
pub(super) fn tell(expected: &mut Expected, key: Key, spans: &Spans) {
    tell_until(expected, key, spans, |end| end);
}

/// The same, of what may ring on until what it held up has come.
pub(super) fn tell_until(
    expected: &mut Expected,
    key: Key,
    spans: &Spans,
    latest: impl Fn(u64) -> u64,
) {
    let episode = |span: Span| Episode {
        span,
        may: Some(span.0),
        must: Some(span.0),
        latest: latest(span.1),
        ..Episode::default()
    };
    let episodes: Vec<Episode> = spans.iter().map(episode).collect();
    if !episodes.is_empty() {
        expected.insert(key, episodes);
    }
}

/// The same, of what is told once no `quiet` time holds it back.
pub(super) fn tell_quietly(
    expected: &mut Expected,
    key: Key,
    (spans, quiet): (&Spans, &Spans),
    it: &Infrastructure,
) {
    let episode = |span: Span| {
        let must = first_outside(span, quiet, it);
        Episode { span, may: must, must, latest: span.1, ..Episode::default() }
    };
    let episodes: Vec<Episode> = spans.iter().map(episode).collect();
    if !episodes.is_empty() {
        expected.insert(key, episodes);
    }
}

/// The first moment of a span that is not in some others, and in which the vault is there.
pub(super) fn first_outside(span: Span, others: &Spans, it: &Infrastructure) -> Option<u64> {
    let whole: Spans = [span].into_iter().collect();
    whole.without(&others.or(&it.away)).iter().next().map(|(from, _)| from)
}
