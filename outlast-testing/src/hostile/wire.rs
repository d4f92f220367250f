//! The kernel's FUSE protocol, as much of it as backups on a share need.

use rustix::io::Errno;

/// The most that one write carries; a request has its header besides.
pub(super) const WRITE_MAX: u32 = 128 << 10;
pub(super) const REQUEST_MAX: usize = (128 << 10) + 4096;

const MAJOR: u32 = 7;
const MINOR: u32 = 31;
const BIG_WRITES: u32 = 1 << 5;
/// Reads and writes go to the server, and not to the kernel's pages.
const DIRECT: u32 = 1;
const EXCLUSIVE: u32 = 0o200;
/// Of a renaming: nothing is replaced.
const NO_REPLACE: u32 = 1;

/// Who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Caller {
    pub(super) user: u32,
    pub(super) group: u32,
}

/// A request with what an answer to it has to name.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) unique: u64,
    pub(super) caller: Caller,
    pub(super) what: What,
}

/// What is asked for.
#[derive(Debug)]
pub(super) enum What {
    Begin,
    /// The end of a session, or something that wants no answer.
    Silent,
    Figures,
    /// Of the file system.
    Ask(Ask),
    /// One more page of what was listed when the directory was opened.
    Page {
        node: u64,
        from: u64,
        size: u32,
    },
    Unknown,
}

/// What is asked of the server's tree.
#[derive(Debug, Clone)]
pub(super) enum Ask {
    Look { parent: u64, name: Vec<u8> },
    Stat { node: u64 },
    Change { node: u64, valid: u32, mode: u32, user: u32, group: u32, size: u64 },
    MakeDirectory { parent: u64, name: Vec<u8>, mode: u32 },
    Create { parent: u64, name: Vec<u8>, mode: u32, is_exclusive: bool },
    Remove { parent: u64, name: Vec<u8> },
    RemoveDirectory { parent: u64, name: Vec<u8> },
    Rename { parent: u64, name: Vec<u8>, to: u64, new: Vec<u8>, is_new: bool },
    Open { node: u64 },
    Release { node: u64 },
    Read { node: u64, offset: u64, size: u32 },
    Write { node: u64, offset: u64, data: Vec<u8> },
    Sync { node: u64 },
    List { node: u64 },
    Nothing,
}

/// What is known of a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attributes {
    pub(super) node: u64,
    pub(super) size: u64,
    pub(super) mode: u32,
    pub(super) caller: Caller,
    pub(super) changed: u64,
}

/// An answer of the server's tree.
#[derive(Debug)]
pub(super) enum Answer {
    Done,
    Entry(Attributes),
    Created(Attributes),
    Attributes(Attributes),
    Opened,
    Data(Vec<u8>),
    Written(u32),
    /// Node, name, and whether it is a directory.
    Names(Vec<Listed>),
}

/// One name of a directory: node, name, and whether it is a directory itself.
pub(super) type Listed = (u64, Vec<u8>, bool);

/// Takes numbers off the front of a request.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn word(&mut self) -> u32 {
        let (head, rest) = self.0.split_first_chunk().unwrap_or((&[0; 4], &[]));
        self.0 = rest;
        u32::from_ne_bytes(*head)
    }

    fn long(&mut self) -> u64 {
        let (head, rest) = self.0.split_first_chunk().unwrap_or((&[0; 8], &[]));
        self.0 = rest;
        u64::from_ne_bytes(*head)
    }

    fn name(&mut self) -> Vec<u8> {
        let mut parts = self.0.splitn(2, |byte| *byte == 0);
        let name = parts.next().unwrap_or_default().to_vec();
        self.0 = parts.next().unwrap_or_default();
        name
    }
}

/// Understands a request.
pub(super) fn parse(bytes: &[u8]) -> Request {
    let mut fields = Fields(bytes);
    let (_length, opcode, unique, node) =
        (fields.word(), fields.word(), fields.long(), fields.long());
    let caller = Caller { user: fields.word(), group: fields.word() };
    let (_process, _padding) = (fields.word(), fields.word());
    Request { unique, caller, what: what(opcode, node, &mut fields) }
}

fn what(opcode: u32, node: u64, fields: &mut Fields<'_>) -> What {
    let parent = node;
    What::Ask(match opcode {
        1 => Ask::Look { parent, name: fields.name() },
        3 => Ask::Stat { node },
        4 => change(node, fields),
        9 => {
            let (mode, _umask) = (fields.word(), fields.word());
            Ask::MakeDirectory { parent, name: fields.name(), mode }
        }
        10 => Ask::Remove { parent, name: fields.name() },
        11 => Ask::RemoveDirectory { parent, name: fields.name() },
        12 | 45 => {
            let to = fields.long();
            let (flags, _padding) =
                if opcode == 45 { (fields.word(), fields.word()) } else { (0, 0) };
            let (name, new) = (fields.name(), fields.name());
            Ask::Rename { parent, name, to, new, is_new: flags & NO_REPLACE != 0 }
        }
        14 => Ask::Open { node },
        15 => {
            let (_handle, offset, size) = (fields.long(), fields.long(), fields.word());
            Ask::Read { node, offset, size }
        }
        16 => {
            let (_handle, offset, size) = (fields.long(), fields.long(), fields.word());
            let (_flags, _owner, _more) = (fields.word(), fields.long(), fields.long());
            let size = usize::try_from(size).unwrap_or(0).min(fields.0.len());
            Ask::Write { node, offset, data: fields.0[..size].to_vec() }
        }
        18 => Ask::Release { node },
        20 | 30 => Ask::Sync { node },
        27 => Ask::List { node },
        29 => Ask::Nothing,
        35 => {
            let (flags, mode) = (fields.word(), fields.word());
            let (_umask, _open_flags) = (fields.word(), fields.word());
            let is_exclusive = flags & EXCLUSIVE != 0;
            Ask::Create { parent, name: fields.name(), mode, is_exclusive }
        }
        28 => {
            let (_handle, from, size) = (fields.long(), fields.long(), fields.word());
            return What::Page { node, from, size };
        }
        17 => return What::Figures,
        26 => return What::Begin,
        2 | 36 | 38 | 42 => return What::Silent,
        // A flush, too: a process that is killed would wait for the answer of a thread that it had.
        _ => return What::Unknown,
    })
}

fn change(node: u64, fields: &mut Fields<'_>) -> Ask {
    let (valid, _padding, _handle, size) =
        (fields.word(), fields.word(), fields.long(), fields.long());
    // The owner of a lock, three times, and their nanoseconds.
    let _ = (fields.long(), fields.long(), fields.long(), fields.long());
    let _ = (fields.word(), fields.word(), fields.word());
    let (mode, _unused, user, group) = (fields.word(), fields.word(), fields.word(), fields.word());
    Ask::Change { node, valid, mode, user, group, size }
}

/// Collects numbers into a reply.
#[derive(Default)]
struct Reply(Vec<u8>);

impl Reply {
    fn words(&mut self, words: &[u32]) {
        self.0.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
    }

    fn longs(&mut self, longs: &[u64]) {
        self.0.extend(longs.iter().flat_map(|long| long.to_ne_bytes()));
    }

    fn attributes(&mut self, of: Attributes) {
        let (seconds, nanos) =
            (1_700_000_000 + of.changed / 1000, u32::try_from(of.changed % 1000).unwrap_or(0));
        self.longs(&[of.node, of.size, of.size.div_ceil(512), seconds, seconds, seconds]);
        let links = if of.mode & 0o40000 != 0 { 2 } else { 1 };
        let Caller { user, group } = of.caller;
        self.words(&[nanos, nanos, nanos, of.mode, links, user, group, 0, 4096, 0]);
    }

    /// Valid for no time, so that the kernel remembers nothing and asks again.
    fn entry(&mut self, of: Attributes) {
        self.longs(&[of.node, 0, 0, 0, 0]);
        self.attributes(of);
    }

    fn opened(&mut self) {
        self.longs(&[0]);
        self.words(&[DIRECT, 0]);
    }
}

/// The reply to a request.
pub(super) fn reply(unique: u64, result: Result<Answer, Errno>) -> Vec<u8> {
    let mut body = Reply::default();
    let answer = match result {
        Err(errno) => return framed(unique, errno.raw_os_error(), &[]),
        Ok(answer) => answer,
    };
    match answer {
        Answer::Done => {}
        Answer::Entry(attributes) => body.entry(attributes),
        Answer::Created(attributes) => {
            body.entry(attributes);
            body.opened();
        }
        Answer::Attributes(attributes) => {
            body.longs(&[0, 0]);
            body.attributes(attributes);
        }
        Answer::Opened => body.opened(),
        Answer::Names(_) => {
            body.longs(&[0]);
            body.words(&[0, 0]);
        }
        Answer::Data(data) => body.0 = data,
        Answer::Written(size) => body.words(&[size, 0]),
    }
    framed(unique, 0, &body.0)
}

/// The reply to a [`What::Page`].
pub(super) fn page(unique: u64, names: &[Listed], from: u64, size: u32) -> Vec<u8> {
    let mut body = Reply::default();
    let from = usize::try_from(from).unwrap_or(usize::MAX);
    for (index, (node, name, is_directory)) in names.iter().enumerate().skip(from) {
        let length = (24 + name.len()).next_multiple_of(8);
        if body.0.len() + length > usize::try_from(size).unwrap_or(0) {
            break;
        }
        let end = body.0.len() + length;
        body.longs(&[*node, index as u64 + 1]);
        body.words(&[u32::try_from(name.len()).unwrap_or(0), if *is_directory { 4 } else { 8 }]);
        body.0.extend(name);
        body.0.resize(end, 0);
    }
    framed(unique, 0, &body.0)
}

/// The reply to a [`What::Begin`].
pub(super) fn begun(unique: u64) -> Vec<u8> {
    let mut body = Reply::default();
    body.words(&[MAJOR, MINOR, 0, BIG_WRITES, 0, WRITE_MAX, 1]);
    body.0.resize(64, 0);
    framed(unique, 0, &body.0)
}

/// The reply to a [`What::Figures`]: there is room for everybody.
pub(super) fn figures(unique: u64) -> Vec<u8> {
    let mut body = Reply::default();
    body.longs(&[1 << 30, 1 << 30, 1 << 30, 1 << 30, 1 << 30]);
    body.words(&[4096, 255, 4096]);
    body.0.resize(80, 0);
    framed(unique, 0, &body.0)
}

fn framed(unique: u64, errno: i32, body: &[u8]) -> Vec<u8> {
    let mut frame = Reply::default();
    frame.words(&[u32::try_from(16 + body.len()).unwrap_or(0)]);
    frame.0.extend((-errno).to_ne_bytes());
    frame.longs(&[unique]);
    frame.0.extend(body);
    frame.0
}
