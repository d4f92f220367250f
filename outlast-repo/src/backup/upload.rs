//! The last stage: packs into the store.

use crossbeam_channel::Receiver;
use outlast_store::{Object, create_or_find};

use super::context::Context;
use super::packing::{Filling, Packing};
use super::stop::Halt;

/// Names packs and stores them; runs on a few threads, because a store answers slowly.
pub(super) fn upload(
    context: &Context<'_>,
    packing: &Packing,
    packs: &Receiver<Filling>,
) -> Result<(), Halt> {
    while let Some(Filling { pack: open, room }) = context.stop.receive(packs)? {
        let (pack, bytes) = open.finish(context.repository.key(), context.random);
        let object = Object::Data(pack.id);
        create_or_find(context.repository.store(), &object, bytes.clone())?;
        packing.take_back(context, bytes);
        drop(room);
        // Not through a queue: a pack that is durable is remembered even when all stages stop.
        context.checkpoint.record(&context.known_blobs, pack)?;
    }
    Ok(())
}
