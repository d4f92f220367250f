//! Why a drop is refused.

use crate::codes;

codes! {
    /// Why a drop is refused. The sentence beside it says what is wrong with what.
    pub enum RejectionCode {
        /// The seal ends before its last member: its writer died while it sealed. Never an
        /// incident (I2).
        TornSeal => "torn_seal",
        MalformedSeal => "malformed_seal",
        /// The seal's content is not what its own hash says.
        WrongSelfHash => "wrong_self_hash",
        UnknownVersion => "unknown_version",
        SealTooLong => "seal_too_long",
        /// The seal speaks of another drop than the one that lies there.
        WrongPlace => "wrong_place",
        MissingSegment => "missing_segment",
        ExtraSegment => "extra_segment",
        WrongSize => "wrong_size",
        WrongHash => "wrong_hash",
        /// A segment changed after the seal, while it was read.
        ChangedSegment => "changed_segment",
        BadCompression => "bad_compression",
        /// A segment decompresses to another size than the seal says.
        WrongRawSize => "wrong_raw_size",
        NotAPlainFile => "not_a_plain_file",
        NotADirectory => "not_a_directory",
        BadWorkloadName => "bad_workload_name",
        BadDayName => "bad_day_name",
        BadDropName => "bad_drop_name",
        /// A drop of another day has its id, and the vault holds that one.
        IdTaken => "id_taken",
        /// The vault holds a drop with another seal in its place.
        AnotherSeal => "another_seal",
        /// The vault says that it holds another drop under its id.
        Contested => "contested",
        /// Its tree cannot be read.
        BadTree => "bad_tree",
        /// More files lie in its directory than a drop can have.
        TooManyFiles => "too_many_files",
        /// It has more content than policy takes of one drop.
        TooLarge => "too_large",
        /// Next to nothing of its length is on the share.
        MostlyHoles => "mostly_holes",
        /// It unpacks to absurdly more than is on the share.
        AbsurdRatio => "absurd_ratio",
        /// Its content is what it was sealed as, and is no whole backup: it was cut off before the
        /// writer sealed it. An operator may accept it all the same.
        BrokenContent => "broken_content",
        /// What was encrypted for its reader was changed.
        BadSealing => "bad_sealing",
        /// It is of a kind that is for later versions. Never in a receipt.
        ReservedKind => "reserved_kind",
    }
}

impl RejectionCode {
    /// Whether somebody has to be told. A seal that its writer tore by dying is nobody's fault.
    pub fn is_incident(&self) -> bool {
        *self != Self::TornSeal
    }

    /// Whether a policy refused the drop, so that another policy may take it.
    pub fn is_of_policy(&self) -> bool {
        matches!(self, Self::TooLarge | Self::MostlyHoles | Self::AbsurdRatio)
    }
}
