//! Where this host keeps the index of repositories that commands work on.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use outlast_fs::durable;
use outlast_repo::Repository;

/// What the directory is called among those of other programs.
const NAME: &str = "outlast";

/// Where to keep indexes.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct CacheArgs {
    #[arg(help = "Keep the index in this directory, not in ~/.cache/outlast")]
    #[arg(long, value_name = "DIR", env = "OUTLAST_CACHE_DIR")]
    cache_dir: Option<PathBuf>,
    /// Keep nothing of the index when the command has ended
    #[arg(long)]
    no_cache: bool,
}

impl CacheArgs {
    /// The directory that was asked for, or else the user's, if there is one.
    pub(crate) fn directory(&self) -> Option<PathBuf> {
        self.cache_dir.clone().or_else(default_directory)
    }

    /// The repository, with its index in the place that was asked for. Without a wish, one where
    /// nothing can be written is no reason to fail: then nothing is kept, and where there is no
    /// place for files without names either, such as in a container that is read-only, the index
    /// is in memory, with about 46 bytes for each blob of the repository.
    pub(crate) fn apply(&self, repository: Repository) -> Repository {
        let kept = match &self.cache_dir {
            _ if self.no_cache => None,
            Some(directory) => Some(directory.clone()),
            None => default_directory().filter(|directory| {
                durable::create_directories(directory, 0o700)
                    .and_then(|()| durable::create_unnamed(directory))
                    .inspect_err(|error| {
                        tracing::debug!(%error, "keeping nothing in {}", directory.display());
                    })
                    .is_ok()
            }),
        };
        match kept {
            Some(directory) => repository.cached_in(&directory),
            None => match scratch() {
                Some(directory) => repository.scratch_in(&directory),
                None => repository,
            },
        }
    }
}

/// A directory that takes files without names, of which nothing is left.
fn scratch() -> Option<PathBuf> {
    let places = [Some(env::temp_dir()), default_directory()];
    places.into_iter().flatten().find(|directory| {
        durable::create_unnamed(directory)
            .inspect_err(|error| {
                tracing::debug!(%error, "{} takes no files", directory.display());
            })
            .is_ok()
    })
}

/// `$XDG_CACHE_HOME/outlast` or `~/.cache/outlast`, if the environment tells of one of them.
fn default_directory() -> Option<PathBuf> {
    let absolute = |value: OsString| Some(PathBuf::from(value)).filter(|path| path.is_absolute());
    let own = env::var_os("XDG_CACHE_HOME").and_then(absolute);
    let home = || Some(env::var_os("HOME").and_then(absolute)?.join(".cache"));
    Some(own.or_else(home)?.join(NAME))
}
