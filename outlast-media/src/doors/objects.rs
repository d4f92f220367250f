//! What agents bring goes into the spool; what they read comes through from the vault.

use std::sync::Arc;

use outlast_spool::{Incoming as Arriving, Key, SpoolError, What};
use outlast_store::{Object, Store, StoreError, Verb};
use outlast_types::{DropId, WorkloadName};
use outlast_wire::Peer;
use outlast_wire::access::{Action, Refused};
use outlast_wire::rest::{Asker, HostError, Incoming, RepositoryHost, Sender};

use super::reading::ReadThrough;
use crate::media::{Counters, Media};
use crate::mode::Mode;

/// The repositories, as far as tickets lead.
pub(crate) struct Objects(pub(crate) Arc<Media>);

impl RepositoryHost for Objects {
    fn permit(
        &self,
        asker: Asker<'_>,
        action: Action,
        workload: &WorkloadName,
    ) -> Result<(), Refused> {
        self.0.tickets.permit(asker, action, workload)
    }

    fn store(
        &self,
        peer: &Peer,
        workload: &WorkloadName,
        _verb: Verb,
    ) -> Result<Arc<dyn Store>, HostError> {
        Ok(Arc::new(ReadThrough::new(&self.0, workload, peer.name())))
    }

    /// The vault makes a repository when an agent opens it.
    fn create(&self, _peer: &Peer, workload: &WorkloadName) -> Result<(), HostError> {
        Err(HostError::Unknown { workload: workload.clone() })
    }

    /// The vault proves them.
    fn proves_packs(&self) -> bool {
        false
    }

    fn receive(
        &self,
        sender: Sender<'_>,
        workload: &WorkloadName,
        object: &Object,
    ) -> Result<Box<dyn Incoming>, HostError> {
        let media = &self.0;
        let what = match *object {
            Object::Data(pack) => What::Pack(pack),
            Object::Index(index) => What::Index(index),
            _ => {
                let reason = "a media server takes packs and indexes only".to_owned();
                return Err(HostError::Denied { reason });
            }
        };
        if let Some(reason) = turned_away(&media.mode()) {
            return Err(HostError::Busy { reason });
        }
        let key = Key { workload: workload.clone(), what };
        if let Some(here) = media.spool.find(&key) {
            media.took(workload, sender.shipment, what.hash(), here.size);
            return Err(exists(media, *object));
        }
        let told = |error| told(media, *object, error);
        let incoming = media.spool.begin(key, sender.shipment).map_err(told)?;
        let arriving = incoming.ok_or_else(|| exists(media, *object))?;
        Ok(Box::new(Arrival {
            media: Arc::clone(media),
            workload: workload.clone(),
            shipment: sender.shipment,
            object: *object,
            what,
            arriving,
        }))
    }

    /// Nobody removes anything through a media server.
    fn remove(
        &self,
        peer: &Peer,
        _workload: &WorkloadName,
        object: &Object,
    ) -> Result<(), HostError> {
        Err(HostError::Denied { reason: format!("{peer} may not remove {object} here") })
    }
}

/// Why nothing new is taken, if so.
pub(crate) fn turned_away(mode: &Mode) -> Option<String> {
    match mode {
        Mode::Taking => None,
        Mode::Draining => {
            Some("this media server is being drained, and takes nothing new".to_owned())
        }
        Mode::Maintenance { until, reason } => Some(format!(
            "this media server is being worked on until {until} at the latest, and takes nothing new: \
             {reason}"
        )),
    }
}

fn exists(media: &Media, object: Object) -> HostError {
    let location = format!("the spool of media server {}", media.name());
    StoreError::AlreadyExists { object, location }.into()
}

/// An object on its way into the spool.
struct Arrival {
    media: Arc<Media>,
    workload: WorkloadName,
    shipment: Option<DropId>,
    object: Object,
    what: What,
    arriving: Arriving,
}

impl Incoming for Arrival {
    fn take(&mut self, piece: &[u8]) -> Result<(), HostError> {
        self.arriving.take(piece).map_err(|error| told(&self.media, self.object, error))
    }

    fn store(self: Box<Self>) -> Result<(), HostError> {
        let Self { media, workload, shipment, object, what, arriving } = *self;
        // The wire has compared what came with its name.
        let stored = arriving.store(what.hash());
        let item = stored.map_err(|error| told(&media, object, error))?;
        media.tried_disk(Ok(()));
        Counters::add(&media.counters.taken, 1);
        Counters::add(&media.counters.taken_bytes, item.size);
        media.took(&workload, shipment, what.hash(), item.size);
        Ok(())
    }
}

/// What went wrong in the spool, as an agent is told.
fn told(media: &Media, object: Object, error: SpoolError) -> HostError {
    let location = || format!("the spool of media server {}", media.name());
    if let SpoolError::Io { source, .. } = &error {
        media.tried_disk(Err(source));
    }
    match error {
        SpoolError::Full { .. } => {
            Counters::add(&media.counters.turned_away, 1);
            StoreError::Full { verb: "store", object, location: location() }.into()
        }
        SpoolError::OverQuota { .. } => {
            Counters::add(&media.counters.turned_away, 1);
            HostError::OverLimit { reason: error.to_string() }
        }
        SpoolError::Io { .. } if error.is_passing() => {
            tracing::error!(%error, "the spool's disk is full");
            StoreError::Full { verb: "store", object, location: location() }.into()
        }
        error => {
            tracing::error!(%error, "the spool cannot take an object");
            // Where things lie on this host is for its log only.
            let reason = format!("{} cannot take it; its log says why", location());
            HostError::Busy { reason }
        }
    }
}
