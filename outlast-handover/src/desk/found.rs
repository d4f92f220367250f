//! What is found at the start: the directory and the journal are brought together again, whatever was broken off.

use std::path::Path;

use outlast_types::Timestamp;

use super::Desk;
use crate::error::HandoverError;
use crate::lease::Moment;
use crate::ledger::Event;
use crate::manifest::Manifest;
use crate::names::{manifest_in, parse_name};
use crate::offer::{Offer, Sight};
use crate::stage::remove_all;

impl Desk {
    pub(super) fn recover(&mut self) -> Result<(), HandoverError> {
        self.forget_what_is_not_there()?;
        for path in self.drops_there()? {
            self.recognise(&path)?;
        }
        // Staged again, it costs a reading; what was half built could be anything.
        let staging = self.place.staging();
        remove_all(&staging)?;
        let made = outlast_fs::durable::create_directories(&staging, 0o700);
        made.map_err(HandoverError::io("create", &staging))?;
        self.empty_trash()
    }

    /// An offer that was about to appear did not, or somebody has removed it.
    fn forget_what_is_not_there(&mut self) -> Result<(), HandoverError> {
        let directory = self.place.directory();
        let missing = |offer: &Offer| !manifest_in(&directory.join(&offer.path)).is_file();
        let gone: Vec<_> = self
            .ledger
            .offers()
            .map(|it| &it.offer)
            .filter(|it| missing(it))
            .map(Offer::key)
            .collect();
        for drop in gone {
            self.record(Event::Void { drop })?;
        }
        Ok(())
    }

    /// The paths of all drops in the directory, from there on.
    fn drops_there(&self) -> Result<Vec<String>, HandoverError> {
        let directory = self.place.directory();
        let mut found = Vec::new();
        for workload in names(directory)? {
            let path = directory.join(&workload);
            if !path.is_dir() {
                continue;
            }
            let drops = names(&path)?.into_iter().filter(|name| parse_name(name).is_some());
            found.extend(drops.map(|name| format!("{workload}/{name}")));
        }
        found.sort();
        Ok(found)
    }

    /// Makes sense of a drop's directory: it is known; or it was to leave; or what knew of it is lost, and its
    /// manifest tells.
    fn recognise(&mut self, path: &str) -> Result<(), HandoverError> {
        let at = self.place.directory().join(path);
        let Ok(manifest) = Manifest::read(&at) else { return Ok(()) };
        let drop = manifest.key();
        if self.ledger.get(&drop).is_some_and(|it| it.offer.path == path) {
            return Ok(());
        }
        if self.ledger.is_gone(&drop) {
            return self.take_out(path);
        }
        if self.ledger.get(&drop).is_some() {
            // It was offered twice, by an agent that had lost its memory; the other one is known.
            return Ok(());
        }
        let stamp = modified(&manifest_in(&at)).unwrap_or_else(|| self.environment.clock.now());
        let moment = Moment::read(&self.place)?;
        if moment.stamp < stamp || moment.appeared < stamp {
            // Its appearance is not remembered; that it was not later than its stamp, the stamp says.
            let (appeared, stamp) = (moment.appeared.max(stamp), moment.stamp.max(stamp));
            Moment { version: 1, appeared, stamp }.write(&self.place)?;
        }
        let size = manifest_in(&at).metadata().map(|facts| facts.len()).unwrap_or(0);
        let files = u32::try_from(manifest.files.len() + 1).unwrap_or(u32::MAX);
        let bytes = manifest.files.iter().map(|file| file.size).sum::<u64>() + size;
        let Manifest { share, workload, day, drop, seal, layout, .. } = manifest;
        let path = path.to_owned();
        let appeared = stamp;
        self.record(Event::Offered(Offer {
            share,
            workload,
            day,
            drop,
            seal,
            layout,
            path,
            appeared,
            stamp,
            files,
            bytes,
            sight: Sight::default(),
            sanity: None,
        }))
    }
}

fn modified(path: &Path) -> Option<Timestamp> {
    let modified = path.metadata().and_then(|facts| facts.modified()).ok()?;
    Some(Timestamp::from_system_time(modified))
}

fn names(path: &Path) -> Result<Vec<String>, HandoverError> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path).map_err(HandoverError::io("list", path))? {
        let entry = entry.map_err(HandoverError::io("list", path))?;
        names.extend(entry.file_name().into_string().ok());
    }
    Ok(names)
}
