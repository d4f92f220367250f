//! What writers do in the model, step by step.

use super::*;

/// What a writer does next.
pub(super) fn write(world: &World, at: usize, events: &mut Vec<(String, World)>) {
    let drop = world.drops[at];
    let given_up = drop.receipts & (ABANDONED | REJECTED) != 0;
    let mut event = |what: &str, change: &dyn Fn(&mut Dropped, &mut Budget)| {
        let mut next = world.clone();
        change(&mut next.drops[at], &mut next.left);
        events.push((format!("writer {at}: {what}"), next));
    };
    match drop.writer {
        Writer::Write => event("writes its segments", &|drop, _| {
            (drop.has_directory, drop.has_segments, drop.was_written) = (true, true, true);
            drop.writer = Writer::Look;
        }),
        Writer::Look => {
            event("looks", &|drop, _| {
                let is_good = !given_up && drop.has_segments && drop.has_directory;
                drop.writer = if is_good { Writer::Create } else { Writer::Failed };
            });
            if world.left.old_pictures > 0 {
                event("looks, and sees how it was", &|drop, left| {
                    left.old_pictures -= 1;
                    drop.writer = Writer::Create;
                });
            }
        }
        Writer::Create | Writer::CreateAgain => create(world, at, &mut event),
        Writer::Fill => event("fills the seal", &|drop, _| {
            if drop.name == Name::Torn {
                drop.name = Name::Whole;
            }
            drop.writer = Writer::Check;
        }),
        // To open its first segment, it has to ask the server.
        Writer::Check => event("checks that it was not given up", &|drop, _| {
            let has_gone = !drop.has_segments && drop.receipts & RELEASED == 0;
            if given_up || has_gone {
                if matches!(drop.name, Name::Torn | Name::Whole) {
                    drop.name = Name::Free;
                }
                drop.writer = Writer::Failed;
            } else {
                drop.writer = Writer::Sealed;
            }
        }),
        Writer::Sealed | Writer::Failed | Writer::Dead => return,
    }
    if drop.writer == Writer::Check && drop.has_segments && world.left.old_pictures > 0 {
        event("checks, and sees how it was", &|drop, left| {
            left.old_pictures -= 1;
            drop.writer = Writer::Sealed;
        });
    }
    let has_seal = matches!(drop.name, Name::Torn | Name::Whole);
    if world.left.writers_that_die > 0
        && has_seal
        && matches!(drop.writer, Writer::Fill | Writer::Check)
    {
        event("cannot make its seal durable, and takes it back", &|drop, left| {
            left.writers_that_die -= 1;
            (drop.name, drop.writer) = (Name::Free, Writer::Failed);
        });
    }
    if world.left.writers_that_die > 0 {
        event("dies", &|drop, left| {
            left.writers_that_die -= 1;
            drop.writer = Writer::Dead;
        });
    }
}

/// Something that a writer does: in words, and what it changes.
type Event<'a> = dyn FnMut(&str, &dyn Fn(&mut Dropped, &mut Budget)) + 'a;

/// A writer creates its seal.
fn create(world: &World, at: usize, event: &mut Event<'_>) {
    let drop = world.drops[at];
    event("creates the seal", &|drop, _| {
        let is_own = drop.writer == Writer::CreateAgain && drop.name == Name::Torn;
        if drop.has_directory && (drop.name == Name::Free || is_own) {
            (drop.name, drop.writer) = (Name::Torn, Writer::Fill);
        } else {
            drop.writer = Writer::Failed;
        }
    });
    let can_create = drop.has_directory && drop.name == Name::Free;
    if world.left.lost_replies > 0 && drop.writer == Writer::Create && can_create {
        event("creates the seal, and hears nothing", &|drop, left| {
            left.lost_replies -= 1;
            (drop.name, drop.writer) = (Name::Torn, Writer::CreateAgain);
        });
    }
}
