//! What the content of a drop is, and what is thought of it.

use crate::codes;

codes! {
    /// What is thought of a drop's content, by whoever looked at all of it.
    pub enum Verdict {
        /// Its kind has an end that can be told, and it is there.
        Sound => "sound",
        /// Nothing speaks against it; whether all of it is there cannot be told.
        Unknown => "unknown",
        /// It may well be no backup. It is kept beside the good ones and counts for nothing.
        Suspect => "suspect",
        /// It is not whole.
        Broken => "broken",
    }
}

codes! {
    /// What a drop's content is, by its own first bytes.
    pub enum ContentKind {
        /// A script of `pg_dump`.
        PgDump => "pg_dump",
        /// A script of `pg_dumpall`.
        PgDumpAll => "pg_dumpall",
        PgDumpCustom => "pg_dump-custom",
        PgDumpDirectory => "pg_dump-directory",
        MysqlDump => "mysqldump",
        MariadbDump => "mariadb-dump",
        Sqlite => "sqlite",
        RedisRdb => "redis-rdb",
        Tar => "tar",
        Gzip => "gzip",
        Zstd => "zstd",
        Xz => "xz",
    }
}

codes! {
    /// Why content is in doubt.
    pub enum DoubtCode {
        /// It ends before its end.
        CutOff => "cut_off",
        /// It contradicts itself.
        Damaged => "damaged",
        /// It is smaller than a rule allows.
        TooSmall => "too_small",
        /// It is much smaller than those before it.
        Shrunk => "shrunk",
        /// It has far fewer entries than those before it.
        FewerEntries => "fewer_entries",
        /// It is not of a kind that a rule expects.
        UnexpectedKind => "unexpected_kind",
        /// It is a drop of before that was brought back: how old it is, nobody can tell.
        BroughtBack => "brought_back",
    }
}

impl Verdict {
    /// Whether a drop of this verdict is a recovery point: one of an older agent, which gives none,
    /// is. One that this program does not know speaks of something that it does not understand.
    pub fn counts(&self) -> bool {
        matches!(self, Self::Sound | Self::Unknown) || self.is_none()
    }
}
