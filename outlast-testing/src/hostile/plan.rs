//! What can be expected of a hostile server: its habits, and faults at chosen calls.

use std::time::Duration;

use rustix::io::Errno;

/// What kind of file server it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Habits {
    /// Names that differ in case only are one name, as on SMB.
    pub ignores_case: bool,
    /// A file that somebody has open cannot be removed, as on SMB without leave to delete.
    pub keeps_open_files: bool,
    /// A file that is removed while it is open stays as `.nfs…`, as an NFS client does it.
    pub leaves_silly_names: bool,
}

/// A call of a client, as the file system sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    Look,
    Stat,
    Change,
    MakeDirectory,
    Create,
    Remove,
    RemoveDirectory,
    Rename,
    Open,
    Read,
    Write,
    Sync,
    List,
}

impl Verb {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Look,
        Self::Stat,
        Self::Change,
        Self::MakeDirectory,
        Self::Create,
        Self::Remove,
        Self::RemoveDirectory,
        Self::Rename,
        Self::Open,
        Self::Read,
        Self::Write,
        Self::Sync,
        Self::List,
    ];
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is not done, and answers this.
    Fails(Errno),
    /// It is done, and answers this.
    DoneButFails(Errno),
    /// It is done, the reply is lost, and the client asks again, as NFS clients do: the answer is that
    /// of the second time, "exists already" or "no such file".
    ReplyLost,
    /// It waits before it is done.
    Slow(Duration),
    /// This client looks, lists and asks for attributes in its own memory for so many calls more.
    Stale(u32),
    /// Before it, the server crashes and comes back, with what it had made durable and something of the
    /// rest.
    Crash,
}

/// One fault: what becomes of the `nth` call of a kind, counted from 1 and from when it was planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    pub verb: Verb,
    pub nth: u32,
    pub fault: Fault,
}
