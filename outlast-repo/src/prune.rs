//! Prune: removing what no snapshot needs any more, while backups go on.
//!
//! A backup refers to blobs that lie in the repository already, and nobody can see that before its
//! snapshot is there. So packs go in two phases. Nothing here waits for a backup, and no backup
//! waits for us.
//!
//! **Mark.** All trees are walked. Packs that hold nothing needed, and packs that no index file
//! lists, are *condemned*; of those with much that is not needed, the needed blobs are first copied
//! into new packs, with an index file of their own, and then the old ones are condemned. The *mark*
//! is an index file without packs (`Condemned`): who writes to a repository reads those first, and
//! stock restic ignores what it does not know. Nothing else changes; every snapshot stays readable.
//!
//! **Grace.** A backup that begins now stores again what lies in condemned packs. One that began
//! earlier may refer to them; before it ends it looks at the index files again, and lists in a new
//! one the condemned packs that it relies on. That revives them.
//!
//! **Sweep**, when the grace time is over: a second mark announces it, then everything is looked at
//! anew, then index files are written without the packs, the old index files go, then the packs.
//! The announcement stays for a week, for backups that slept.
//!
//! Why nothing is lost that a snapshot needs, now or later:
//!
//! 1. *Snapshots that the sweep sees.* It walks all of them. A pack goes only if every needed blob in
//!    it, by any index file and by its own header, was read in another pack that stays, and was
//!    authentic there (`judge`). If anything needed is nowhere, the repository is damaged, and nothing
//!    is removed.
//! 2. *Backups under way.* Each sees the marks after its last index file, and lists condemned packs
//!    again, and looks once more. The sweep announces itself first, and lists the index files then. So
//!    of a backup that lists a pack again and a sweep of it, one sees the other at least: the sweep
//!    spares what an index file lists that is younger than the mark, and the backup fails with
//!    [`RepoError::Outdated`] if it sees the announcement, or if packs that it relies on are in no
//!    index file any more.
//! 3. *Backups that looked before the mark was made, and publish after the sweep looked.* Their
//!    snapshot would be later than their last look by the whole grace time. `backup::publish` looks
//!    again after publishing, and takes back a snapshot whose packs are being removed; so for it the
//!    grace time is no matter of safety, but of not working in vain. A vault publishes by itself: it
//!    must do so within the grace time. So must one that is killed between publishing and looking:
//!    a snapshot for which nobody vouched may stay, and the next prune names it.
//! 4. *Packs that a backup uploaded and that are in no index file yet* may be condemned as leftovers.
//!    The index file that it writes then is younger than the mark, and 2. holds. If it slept over the
//!    whole sweep, that file lists packs that are gone. While the announcement is there, nobody
//!    refers to them. At the end each backup asks whether all packs that it relies on are there; it
//!    asks between two looks, so that a pack it finds is under no announcement or one that it sees.
//!    If one is gone it takes its index files back and fails; and a prune takes out of the index
//!    what is gone and nobody needs.
//! 5. *Two prunes* may mark the same; each sweep decides anew what is needed, whatever was believed
//!    when it was marked, and holds an exclusive lock. One that slept may have been taken for dead,
//!    and remove one pack more than the other one would: so its announcement stays as it is for the
//!    grace time, and no backup relies on any pack in it.
//! 6. *Stock restic* knows no marks. A backup of it holds a lock as long as it works, and the sweep
//!    waits for a time without such locks, and keeps new ones away. If stock restic writes the
//!    indexes anew, marks are lost, and their packs are simply unused again. Packs in a mark that
//!    are gone already are no error.
//! 7. *Killed anywhere*: packs without an index file are leftovers; copies without a mark are further
//!    copies; a sweep that was announced is done again from its start.
//! 8. *Clocks* decide when a sweep is due, and nothing else; and it is the store's clock where it
//!    tells, not what a mark says of itself. A mark from the future is dated anew.
//! 9. *Readers* that opened the repository before a sweep look for a blob that is gone where current
//!    index files say (`read/copies.rs`).
//!
//! A full disk has no room for any of this. There `room` takes out what may go first, holds it in memory
//! meanwhile, and puts it back if it turns out to be needed.
//!
//! One mark waits at a time: what becomes unneeded meanwhile is marked after its sweep. Otherwise the
//! index files that one sweep writes would seem younger than the next mark, and spare its packs.
//!
//! Memory: one bit for each blob (three while sweeping), about 100 bytes for each pack, one index file,
//! a few packs in the making. Nothing else grows with the repository but the index itself.

mod judge;
mod mark;
mod options;
mod phases;
mod plan;
mod repack;
mod room;
mod sweep;
mod usage;
mod work;

use outlast_types::{Clock, Monitor, Random};

pub use self::options::{Options, Outcome, Waiting};

use self::work::Work;
use crate::lock::Here;
use crate::{RepoError, Repository};

/// Removes what is condemned since the grace time, then condemns what nobody needs now. With a grace
/// time of zero that is removed, too.
pub fn prune(
    repository: &Repository,
    options: &Options,
    here: &Here<'_>,
    clock: &dyn Clock,
    random: &dyn Random,
    monitor: &dyn Monitor,
) -> Result<Outcome, RepoError> {
    let work = Work { repository, options, here, clock, random, monitor };
    match work.run() {
        Err(error) if room::is_full(&error) && !options.dry_run => room::prune(&work),
        result => result,
    }
}
