//! Whether the lines of a log follow each other. Pure: lines in, faults out.

use outlast_types::Timestamp;

use super::entry::{AuditAction, AuditHead, EntryJson, VERSION, hash_of};

/// So many faults are named; a log with more is no log.
const FAULTS_MAX: usize = 100;

/// What is wrong with a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuditFault {
    #[error("entries {from} to {to} are missing before {place}")]
    Missing { from: u64, to: u64, place: String },
    #[error("entry {number} was changed: it is not what its successor was written after")]
    Changed { number: u64 },
    #[error("{place} is not an entry: {reason}")]
    Unreadable { place: String, reason: String },
    #[error("{place} has number {number}, which comes too late")]
    OutOfOrder { number: u64, place: String },
    #[error(
        "entry {number} was written, and is not there: it is one of those that were lost when the vault \
         was brought back from a save that was older"
    )]
    Lost { number: u64 },
    #[error("the end is missing: entries {from} to {to} were written, and are not there")]
    EndMissing { from: u64, to: u64 },
}

impl AuditFault {
    /// A word for programs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "missing",
            Self::Changed { .. } => "changed",
            Self::Unreadable { .. } => "unreadable",
            Self::OutOfOrder { .. } => "out_of_order",
            Self::Lost { .. } => "lost",
            Self::EndMissing { .. } => "end_missing",
        }
    }
}

/// Numbers that no entry has: so many were left free when a vault was brought back, since nobody knows how
/// many entries the save that it was brought back from lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditGap {
    pub from: u64,
    pub to: u64,
    pub recovered: Timestamp,
}

/// What was found in a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditVerdict {
    pub entries: u64,
    /// When the first and the last entry were written.
    pub first: Option<Timestamp>,
    pub last: Option<Timestamp>,
    pub head: AuditHead,
    /// Bytes behind the last whole line: a writer was killed there, or is at work.
    pub unfinished_bytes: u64,
    /// What recoveries left free: no fault, but what was written between a save and the end of the vault
    /// that made it is lost.
    pub gaps: Vec<AuditGap>,
    /// At most a hundred.
    pub faults: Vec<AuditFault>,
}

impl AuditVerdict {
    /// What is wrong with it, in one sentence.
    pub fn problem(&self) -> Option<String> {
        let (first, others) = self.faults.split_first()?;
        Some(match others.len() {
            0 => first.to_string(),
            more => format!("{first}; and {more} more"),
        })
    }
}

/// Reads lines in their order.
pub(super) struct Chain {
    head: AuditHead,
    /// The first two lines that do not follow each other: either may be the one that was changed, and
    /// the next line tells which.
    doubtful: Option<u64>,
    entries: u64,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    gaps: Vec<AuditGap>,
    faults: Vec<AuditFault>,
    /// Whether what comes next need not follow: the line before could not be read.
    is_lost: bool,
}

impl Chain {
    /// A chain whose next line comes after `head`.
    pub(super) fn after(head: AuditHead) -> Self {
        Self {
            head,
            doubtful: None,
            entries: 0,
            first: None,
            last: None,
            gaps: Vec::new(),
            faults: Vec::new(),
            is_lost: false,
        }
    }

    pub(super) fn head(&self) -> &AuditHead {
        &self.head
    }

    /// Takes the next line, without its end; the entry, if it is one.
    pub(super) fn line(&mut self, line: &[u8], place: &dyn Fn() -> String) -> Option<EntryJson> {
        let entry = match parse(line) {
            Ok(entry) => entry,
            Err(reason) => {
                self.fault(AuditFault::Unreadable { place: place(), reason });
                self.settle();
                // It has the number that is next, whatever it says.
                self.head = AuditHead { number: self.head.number + 1, hash: hash_of(line) };
                self.is_lost = true;
                return None;
            }
        };
        let expected = self.head.number + 1;
        if entry.number < expected {
            self.fault(AuditFault::OutOfOrder { number: entry.number, place: place() });
            self.settle();
        } else if entry.number > expected
            && entry.action == AuditAction::Recovered
            && (entry.before == self.head.hash || self.is_lost)
        {
            self.settle();
            if self.gaps.len() < FAULTS_MAX {
                let (from, to) = (expected, entry.number - 1);
                self.gaps.push(AuditGap { from, to, recovered: entry.at });
            }
        } else if entry.number > expected {
            self.settle();
            let to = entry.number - 1;
            self.fault(AuditFault::Missing { from: expected, to, place: place() });
        } else if entry.before == self.head.hash || self.is_lost {
            self.settle();
        } else if self.doubtful.take().is_some() {
            // Neither its predecessor nor its successor knows it.
            self.fault(AuditFault::Changed { number: self.head.number });
        } else {
            self.doubtful = Some(self.head.number);
        }
        self.is_lost = false;
        self.entries += 1;
        self.first.get_or_insert(entry.at);
        self.last = Some(entry.at);
        self.head = AuditHead { number: entry.number.max(self.head.number), hash: hash_of(line) };
        Some(entry)
    }

    /// The line after the doubtful two follows the second of them, so it was the first.
    fn settle(&mut self) {
        if let Some(number) = self.doubtful.take() {
            self.fault(AuditFault::Changed { number });
        }
    }

    /// The end, compared with what is remembered of it from elsewhere.
    pub(super) fn end(
        mut self,
        remembered: Option<&AuditHead>,
        unfinished_bytes: u64,
    ) -> AuditVerdict {
        match remembered {
            Some(known) if known.number > self.head.number => {
                self.settle();
                let (from, to) = (self.head.number + 1, known.number);
                self.fault(AuditFault::EndMissing { from, to });
            }
            Some(known) if known.number == self.head.number && known.hash != self.head.hash => {
                self.doubtful = None;
                if !self.is_lost {
                    self.fault(AuditFault::Changed { number: known.number });
                }
            }
            _ => self.settle(),
        }
        let Self { head, entries, first, last, gaps, faults, .. } = self;
        AuditVerdict { entries, first, last, head, unfinished_bytes, gaps, faults }
    }

    fn fault(&mut self, fault: AuditFault) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(fault);
        }
    }
}

fn parse(line: &[u8]) -> Result<EntryJson, String> {
    let entry: EntryJson = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    if entry.version > VERSION {
        return Err(format!("version {} is newer than this program", entry.version));
    }
    Ok(entry)
}
