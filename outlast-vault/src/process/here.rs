//! This process, as others see that look at its locks.

use outlast_repo::lock::Holder;
use rustix::process::{Pid, getgid, getpid, getuid, test_kill_process};

use crate::core::vault::Process;

/// Who holds our locks.
pub(super) fn process() -> Process {
    let hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let holder = Holder {
        hostname,
        username: "outlast-vault".to_owned(),
        pid: getpid().as_raw_nonzero().get().unsigned_abs(),
        uid: getuid().as_raw(),
        gid: getgid().as_raw(),
    };
    Process { holder, lives }
}

/// Whether a process with this number lives on this host.
fn lives(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    // Somebody else's process lives, too, though we may not signal it.
    pid.is_none_or(|pid| test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}
