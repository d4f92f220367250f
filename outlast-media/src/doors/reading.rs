//! Reading through to the vault: configs and indexes from the spool and the cache if they are there,
//! backups always from the vault, at their own rate.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use outlast_spool::{Key, What};
use outlast_store::{Kind, Object, Store, StoreError};
use outlast_types::{WorkloadName, hex};
use outlast_wire::RestStore;

use crate::media::Media;
use crate::queue::object_of;

/// A workload's repository for one agent, for the time of one request.
pub(crate) struct ReadThrough {
    media: Arc<Media>,
    workload: WorkloadName,
    agent: String,
    /// What was read whole, for those who read it in pieces.
    whole: Mutex<Option<(Object, Bytes)>>,
}

impl ReadThrough {
    pub(crate) fn new(media: &Arc<Media>, workload: &WorkloadName, agent: &str) -> Self {
        let (media, workload) = (Arc::clone(media), workload.clone());
        Self { media, workload, agent: agent.to_owned(), whole: Mutex::new(None) }
    }

    /// The vault's objects, as far as the ticket leads that lets this agent add, or read a backup.
    fn vault(&self, is_grant: bool) -> RestStore {
        let ticket = self.media.tickets.of_agent(&self.workload, &self.agent, is_grant);
        self.media.link.client().repository(&self.workload, ticket.as_deref())
    }

    /// Asks the vault, unless it is away.
    fn ask<T>(
        &self,
        is_grant: bool,
        failed: impl FnOnce(io::Error) -> StoreError,
        ask: impl FnOnce(&RestStore) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if let Some(away) = self.media.link.left_alone() {
            let text = format!(
                "the vault cannot be reached from media server {} since {}",
                self.media.name(),
                away.since
            );
            return Err(failed(io::Error::new(io::ErrorKind::NotConnected, text)));
        }
        ask(&self.vault(is_grant))
    }

    fn in_spool(&self, object: &Object) -> Option<outlast_spool::Item> {
        let what = match *object {
            Object::Index(index) => What::Index(index),
            Object::Data(pack) => What::Pack(pack),
            _ => return None,
        };
        self.media.spool.find(&Key { workload: self.workload.clone(), what })
    }

    /// All of a config or an index.
    fn document(&self, object: &Object) -> Result<Bytes, StoreError> {
        let mut whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, content)) = &*whole
            && known == object
        {
            return Ok(content.clone());
        }
        let content = self.fetch(object)?;
        *whole = Some((*object, content.clone()));
        Ok(content)
    }

    fn fetch(&self, object: &Object) -> Result<Bytes, StoreError> {
        if let Some(item) = self.in_spool(object)
            && let Ok(mut file) = self.media.spool.read(&item)
        {
            let mut content = Vec::new();
            // What is damaged here may be whole at the vault.
            if file.read_to_end(&mut content).is_ok()
                && outlast_format::sha256(&content) == item.key.what.hash()
            {
                return Ok(content.into());
            }
        }
        let cache = &self.media.cache;
        let kept = cache.get(&self.workload, object);
        // A config may be another, after a repository was begun anew: the vault's word goes first.
        if let (Some(content), Object::Index(_)) = (&kept, object) {
            return Ok(content.clone());
        }
        let read = self.ask(
            false,
            |source| self.failed("read", object, source),
            |vault| vault.read(object),
        );
        match (read, kept) {
            (Ok(content), _) => {
                if object.name().is_some_and(|name| name != outlast_format::sha256(&content)) {
                    let text = "what the vault gave is not what its name says";
                    let source = io::Error::new(io::ErrorKind::InvalidData, text);
                    return Err(self.failed("read", object, source));
                }
                cache.put(&self.workload, object, &content);
                Ok(content)
            }
            (Err(StoreError::Io { .. }), Some(content)) => Ok(content),
            (Err(error), _) => Err(error),
        }
    }

    fn failed(&self, verb: &'static str, object: &Object, source: io::Error) -> StoreError {
        StoreError::Io { verb, object: *object, location: self.location(), source }
    }
}

impl Store for ReadThrough {
    fn location(&self) -> String {
        format!("the vault behind media server {}", self.media.name())
    }

    fn create(&self, object: &Object, _content: Bytes) -> Result<(), StoreError> {
        let reason = "what is added goes through the spool".to_owned();
        let location = self.location();
        Err(StoreError::Refused { verb: "create", object: *object, location, reason })
    }

    fn read(&self, object: &Object) -> Result<Bytes, StoreError> {
        match object {
            Object::Config | Object::Index(_) => self.document(object),
            _ => self.ask(true, |source| self.failed("read", object, source), |it| it.read(object)),
        }
    }

    fn read_range(&self, object: &Object, offset: u64, length: usize) -> Result<Bytes, StoreError> {
        if let Object::Config | Object::Index(_) = object {
            let content = self.document(object)?;
            let start = usize::try_from(offset).unwrap_or(usize::MAX);
            let end = start.saturating_add(length);
            let short = || self.failed("read", object, io::ErrorKind::UnexpectedEof.into());
            return match end <= content.len() {
                true => Ok(content.slice(start..end)),
                false => Err(short()),
            };
        }
        self.media.restores.wait_for(length as u64);
        self.ask(
            true,
            |source| self.failed("read", object, source),
            |vault| vault.read_range(object, offset, length),
        )
    }

    fn size(&self, object: &Object) -> Result<u64, StoreError> {
        if let Some(item) = self.in_spool(object) {
            return Ok(item.size);
        }
        match object {
            Object::Config | Object::Index(_) => Ok(self.document(object)?.len() as u64),
            _ => self.ask(
                false,
                |source| self.failed("look at", object, source),
                |vault| vault.size(object),
            ),
        }
    }

    /// What waits here; and what the vault lists, or listed last while it is away.
    fn list(&self, kind: Kind) -> Result<Vec<(Object, u64)>, StoreError> {
        // First what waits: what is forwarded between the two looks is then in both lists, and never
        // in none. A backup whose own index file seems gone gives up.
        let here = self.media.spool.oldest(&self.workload, None, usize::MAX);
        let failed = |source| StoreError::List { kind, location: self.location(), source };
        let listed = match self.ask(false, failed, |vault| vault.list(kind)) {
            Ok(listed) => {
                self.media.cache.put_listing(&self.workload, kind, &listed);
                listed
            }
            // An old one harms nobody: the vault looks itself before it publishes.
            Err(error @ StoreError::List { .. }) => {
                let kept = self.media.cache.listing(&self.workload, kind).ok_or(error)?;
                let object = |(name, size): (String, u64)| {
                    Some((Object::new(kind, hex::decode_32(&name)?), size))
                };
                kept.into_iter().filter_map(object).collect()
            }
            Err(error) => return Err(error),
        };
        let mut all: BTreeMap<Object, u64> = listed.into_iter().collect();
        let here = here.iter().map(|item| (object_of(item), item.size));
        all.extend(here.filter(|(object, _)| object.kind() == kind));
        Ok(all.into_iter().collect())
    }

    fn remove(&self, object: &Object) -> Result<(), StoreError> {
        let reason = "nobody removes anything through a media server".to_owned();
        let location = self.location();
        Err(StoreError::Refused { verb: "remove", object: *object, location, reason })
    }
}
