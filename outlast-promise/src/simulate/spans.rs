//! Sets of spans of time, which the oracle reckons with.

/// From a second until before another.
pub(crate) type Span = (u64, u64);

/// Spans that do not overlap or touch, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Spans(Vec<Span>);

impl FromIterator<Span> for Spans {
    fn from_iter<I: IntoIterator<Item = Span>>(spans: I) -> Self {
        let mut spans: Vec<Span> = spans.into_iter().filter(|(from, until)| from < until).collect();
        spans.sort_unstable();
        let mut joined: Vec<Span> = Vec::with_capacity(spans.len());
        for (from, until) in spans {
            match joined.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(until),
                _ => joined.push((from, until)),
            }
        }
        Self(joined)
    }
}

impl Spans {
    pub(crate) fn iter(&self) -> impl Iterator<Item = Span> + '_ {
        self.0.iter().copied()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All that is in one or the other.
    pub(crate) fn or(&self, other: &Self) -> Self {
        self.iter().chain(other.iter()).collect()
    }

    /// All that is in both.
    pub(crate) fn and(&self, other: &Self) -> Self {
        let (mut here, mut there) = (self.0.as_slice(), other.0.as_slice());
        let mut both = Vec::new();
        while let (Some(one), Some(two)) = (here.first(), there.first()) {
            both.push((one.0.max(two.0), one.1.min(two.1)));
            if one.1 <= two.1 {
                here = &here[1..];
            } else {
                there = &there[1..];
            }
        }
        both.into_iter().collect()
    }

    /// All of it that is not in the other.
    pub(crate) fn without(&self, other: &Self) -> Self {
        let mut edge = 0;
        let gaps = other.iter().map(|(from, until)| (std::mem::replace(&mut edge, until), from));
        let mut gaps: Vec<Span> = gaps.collect();
        gaps.push((edge, u64::MAX));
        self.and(&gaps.into_iter().collect())
    }

    /// The span that a moment lies in.
    pub(crate) fn at(&self, moment: u64) -> Option<Span> {
        let after = self.0.partition_point(|(from, _)| *from <= moment);
        let before = self.0.get(after.checked_sub(1)?)?;
        (moment < before.1).then_some(*before)
    }

    pub(crate) fn contains(&self, moment: u64) -> bool {
        self.at(moment).is_some()
    }

    /// How much of `from..until` is in it.
    pub(crate) fn length_within(&self, from: u64, until: u64) -> u64 {
        let first = self.0.partition_point(|(_, end)| *end <= from);
        let spans = self.0[first..].iter().take_while(|(begin, _)| *begin < until);
        spans.map(|(begin, end)| (*end).min(until) - (*begin).max(from)).sum()
    }

    /// The first moment from `from` on that is not in it.
    pub(crate) fn first_outside(&self, from: u64) -> u64 {
        self.at(from).map_or(from, |(_, until)| until)
    }
}
