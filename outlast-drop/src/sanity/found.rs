//! What is found of content, and who looks for it.

use outlast_types::{ContentKind, Doubt, DoubtCode, Sanity, Verdict};

/// As much of the beginning tells each kind.
const HEAD_BYTES: usize = 4096;

/// What was found of an end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// It is there.
    Whole,
    /// It cannot be told, and why.
    Untold(String),
    CutOff(String),
    Damaged(String),
}

impl End {
    pub(super) fn cut_off(text: impl Into<String>) -> Self {
        Self::CutOff(text.into())
    }

    pub(super) fn damaged(text: impl Into<String>) -> Self {
        Self::Damaged(text.into())
    }
}

/// What was found of content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) kind: ContentKind,
    pub(super) packed: ContentKind,
    pub(super) entries: Option<u64>,
    pub(super) end: End,
}

impl Found {
    pub(super) fn of(kind: ContentKind, end: End) -> Self {
        Self { kind, packed: ContentKind::default(), entries: None, end }
    }
}

impl From<Found> for Sanity {
    fn from(found: Found) -> Self {
        let Found { kind, packed, entries, end } = found;
        let (verdict, doubt) = match end {
            End::Whole => (Verdict::Sound, None),
            End::Untold(text) => (Verdict::Unknown, Some(Doubt::new(DoubtCode::default(), text))),
            End::CutOff(text) => (Verdict::Broken, Some(Doubt::new(DoubtCode::CutOff, text))),
            End::Damaged(text) => (Verdict::Broken, Some(Doubt::new(DoubtCode::Damaged, text))),
        };
        Self { verdict, kind, packed, entries, doubts: doubt.into_iter().collect() }
    }
}

/// Looks at content of one kind, piece by piece, however it is cut.
pub(super) trait Inspector: Send {
    fn feed(&mut self, piece: &[u8]);
    /// The content has ended.
    fn finish(self: Box<Self>) -> Found;
}

/// Looks at content of which the first bytes tell who is to look at it.
pub(super) struct Probe {
    /// The first bytes, until they tell what it is.
    head: Vec<u8>,
    inspector: Option<Box<dyn Inspector>>,
    /// Who looks at content that begins so.
    choose: fn(&[u8]) -> Box<dyn Inspector>,
}

impl Probe {
    pub(super) fn new(choose: fn(&[u8]) -> Box<dyn Inspector>) -> Self {
        Self { head: Vec::with_capacity(HEAD_BYTES), inspector: None, choose }
    }

    pub(super) fn feed(&mut self, mut piece: &[u8]) {
        if self.inspector.is_none() {
            let (head, rest) = piece.split_at(piece.len().min(HEAD_BYTES - self.head.len()));
            self.head.extend_from_slice(head);
            piece = rest;
            if self.head.len() < HEAD_BYTES {
                return;
            }
            self.begin();
        }
        if let Some(inspector) = self.inspector.as_mut().filter(|_| !piece.is_empty()) {
            inspector.feed(piece);
        }
    }

    pub(super) fn found(mut self) -> Found {
        if self.inspector.is_none() {
            self.begin();
        }
        match self.inspector {
            Some(inspector) => inspector.finish(),
            None => Found::of(ContentKind::default(), End::Untold("it is empty".to_owned())),
        }
    }

    fn begin(&mut self) {
        if self.head.is_empty() {
            return;
        }
        let mut inspector = (self.choose)(&self.head);
        inspector.feed(&std::mem::take(&mut self.head));
        self.inspector = Some(inspector);
    }
}
