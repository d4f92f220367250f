//! The protocol as a model: writers, an agent, a vault and a file server, of which any may fail between
//! any two steps. What the agent does about what it sees is decided by the real [`decide`] and
//! [`CustodyState`]; the rest follows the code step by step.
//!
//! A drop here is a directory, its segments (one thing), the name of its seal, and its receipts. A
//! writer may be held up for as long as it likes, so any drop that is not sealed may count as dead at
//! any moment; what the agent and the writer see may be old; replies may be lost; writers die. How often each
//! of these happens is a budget. Agents die whenever they like.

use outlast_testing::explore::{Model, explore};

use super::*;

mod facts;
mod writer;

use facts::{ABANDONED, ACCEPTED, Name, REJECTED, RELEASED, VAULTED, address, proven, seen};
use writer::write;

const GRACE: Duration = Duration::from_secs(60);

/// The next step of a writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Writer {
    Write,
    /// Whether it was given up, and its segments are there.
    Look,
    Create,
    /// The reply was lost: is what is there ours?
    CreateAgain,
    Fill,
    /// Whether it was given up meanwhile.
    Check,
    /// It said that the drop is sealed.
    Sealed,
    Failed,
    Dead,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Dropped {
    writer: Writer,
    was_written: bool,
    has_directory: bool,
    has_segments: bool,
    name: Name,
    receipts: u8,
    in_vault: bool,
}

/// What an agent remembers of a drop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Known {
    Nothing,
    /// What receipts said when they were read.
    Receipts(u8),
    Held,
    Settled,
}

/// What the agent is about, with the next step of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Task {
    Nothing,
    Accept,
    Send,
    RecordVaulted,
    Ask,
    RecordReleased,
    RemoveSeal,
    RemoveSegments,
    RemoveDirectory,
    LookForSeal,
    RecordAbandoned,
    TakeName {
        was_begun: bool,
    },
    Withdraw,
    RemoveTorn,
    RemoveLeftovers,
    FreeName,
    RecordRejected,
    /// A whole seal of segments that are not there: was it given up?
    TakeFirst,
    RemoveHollow,
    Condemn,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    drops: Vec<Dropped>,
    known: Vec<Known>,
    task: (usize, Task),
    is_condemned: bool,
    left: Budget,
}

/// How often something may still go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Budget {
    old_pictures: u8,
    lost_replies: u8,
    writers_that_die: u8,
}

impl World {
    /// Two writers are alike: which of the two is the first says nothing, and half of the states fall away.
    fn put_in_order(&mut self) {
        let [(one, known), (other, known_of_other)] =
            [0, 1].map(|at| (self.drops.get(at), self.known.get(at)));
        if other.is_some() && (other, known_of_other) < (one, known) {
            self.drops.swap(0, 1);
            self.known.swap(0, 1);
            if self.task.1 != Task::Nothing {
                self.task.0 = 1 - self.task.0;
            }
        }
    }
}

struct Protocol {
    writers: usize,
    budget: Budget,
    /// Whether the agent takes the name of the seal before it removes anything.
    takes_names: bool,
}

impl Model for Protocol {
    type State = World;

    fn start(&self) -> World {
        let drop = Dropped {
            writer: Writer::Write,
            was_written: false,
            has_directory: false,
            has_segments: false,
            name: Name::Free,
            receipts: 0,
            in_vault: false,
        };
        World {
            drops: vec![drop; self.writers],
            known: vec![Known::Nothing; self.writers],
            task: (0, Task::Nothing),
            is_condemned: false,
            left: self.budget,
        }
    }

    fn next(&self, world: &World) -> Vec<(String, World)> {
        let mut events = Vec::new();
        for at in 0..self.writers {
            write(world, at, &mut events);
            if world.task.1 == Task::Nothing {
                watch(world, at, &mut events);
            }
        }
        self.work(world, &mut events);
        let mut next = world.clone();
        next.task = (0, Task::Nothing);
        next.known.fill(Known::Nothing);
        events.push(("the agent dies, and another one begins".to_owned(), next));
        events.iter_mut().for_each(|(_, next)| next.put_in_order());
        events
    }

    fn broken(&self, world: &World) -> Option<String> {
        if world.is_condemned {
            return Some("I2: an honest writer's drop is condemned".to_owned());
        }
        for drop in &world.drops {
            let is_here = drop.has_directory && drop.has_segments && drop.name == Name::Whole;
            if drop.writer == Writer::Sealed && !is_here && !drop.in_vault {
                return Some("I1: a sealed drop is lost".to_owned());
            }
            if drop.receipts & VAULTED != 0 && !drop.in_vault {
                return Some("I5: a receipt of what is not in the vault".to_owned());
            }
            let is_let_go = drop.receipts & (RELEASED | ABANDONED) != 0;
            if drop.was_written && !drop.has_segments && !is_let_go {
                return Some("I5: data has gone, and no receipt says why".to_owned());
            }
            if drop.name == Name::Whole && !drop.has_segments && drop.writer == Writer::Sealed {
                return Some("I5: a seal of segments that are not there".to_owned());
            }
        }
        None
    }

    fn is_well(&self, world: &World) -> bool {
        world.drops.iter().all(|drop| match drop.writer {
            Writer::Sealed => drop.in_vault,
            Writer::Failed | Writer::Dead => true,
            _ => false,
        })
    }
}

/// What the agent does about a drop when it looks at it: the real decision.
fn watch(world: &World, at: usize, events: &mut Vec<(String, World)>) {
    let drop = world.drops[at];
    match world.known[at] {
        Known::Settled => return,
        Known::Held => {
            let mut next = world.clone();
            next.task = (at, Task::Ask);
            events.push((format!("agent: releases {at}"), next));
            return;
        }
        Known::Nothing | Known::Receipts(_) => {}
    }
    if !drop.has_directory {
        return;
    }
    let is_old = drop.name == Name::Torn || drop.name == Name::Whole;
    for (sees, words) in [(drop.name, "sees"), (Name::Free, "sees the past of")] {
        let is_past = words != "sees";
        if is_past && (!is_old || world.left.old_pictures == 0) {
            continue;
        }
        for still in [Duration::ZERO, GRACE, 2 * GRACE] {
            let mut next = world.clone();
            next.left.old_pictures -= u8::from(is_past);
            let receipts = match world.known[at] {
                Known::Receipts(receipts) => receipts,
                _ => drop.receipts,
            };
            next.known[at] = Known::Receipts(receipts);
            let custody = CustodyState::of(&seen(sees), &proven(receipts));
            let action = decide(&address(), custody, still, GRACE);
            let done = name(action.as_ref());
            begin(&mut next, at, action);
            if next != *world {
                events.push((format!("agent: {words} {at}, still for {still:?}: {done}"), next));
            }
        }
    }
}

/// In a word: there are millions of them.
fn name(action: Option<&Action>) -> &'static str {
    match action {
        None => "nothing to do",
        Some(Action::Ship(_)) => "ship",
        Some(Action::Hold { .. }) => "hold",
        Some(Action::Settle { .. }) => "settle",
        Some(Action::TakeBack(_)) => "take the refusal back",
        Some(Action::Release { .. }) => "release",
        Some(Action::Abandon { .. }) => "abandon",
        Some(Action::Refuse { .. }) => "refuse",
        Some(_) => "something else",
    }
}

fn begin(world: &mut World, at: usize, action: Option<Action>) {
    let task = match action {
        None => Task::Nothing,
        Some(Action::Ship(parcel)) => match parcel.hop {
            Hop::Sealed => Task::Accept,
            Hop::Accepted | Hop::Shipped => Task::Send,
        },
        Some(Action::Hold { .. }) => {
            world.known[at] = Known::Held;
            Task::Nothing
        }
        Some(Action::Settle { .. }) => {
            world.known[at] = Known::Settled;
            Task::Nothing
        }
        Some(Action::TakeBack(_)) => {
            world.drops[at].receipts &= !REJECTED;
            world.known[at] = Known::Nothing;
            Task::Nothing
        }
        Some(Action::Release { .. }) => Task::RecordReleased,
        Some(Action::Abandon { .. }) => Task::LookForSeal,
        Some(Action::Refuse { rejection, .. }) if rejection.is_torn_seal() => Task::RecordRejected,
        Some(_) => {
            world.is_condemned = true;
            Task::Nothing
        }
    };
    world.task = if task == Task::Nothing { (0, task) } else { (at, task) };
}

impl Protocol {
    /// The next step of what the agent is about.
    fn work(&self, world: &World, events: &mut Vec<(String, World)>) {
        let (at, task) = world.task;
        if task == Task::Nothing {
            return;
        }
        let mut next = world.clone();
        let following = self.step(&mut next.drops[at], &mut next.known[at], task);
        next.is_condemned |= following == Task::Condemn;
        next.task = if following == Task::Nothing { (0, following) } else { (at, following) };
        events.push((format!("agent: {task:?} {at}"), next));
        let drop = world.drops[at];
        let is_old = task == Task::LookForSeal && drop.name != Name::Free;
        if is_old && world.left.old_pictures > 0 {
            let mut next = world.clone();
            next.left.old_pictures -= 1;
            next.task = (at, Task::RecordAbandoned);
            events.push((format!("agent: {task:?} {at}, and sees how it was"), next));
        }
    }

    fn step(&self, drop: &mut Dropped, known: &mut Known, task: Task) -> Task {
        match task {
            Task::Nothing | Task::Condemn => {}
            Task::Accept | Task::Send if drop.name != Name::Whole => *known = Known::Nothing,
            Task::Accept | Task::Send if !drop.has_segments => {
                let is_given_up = drop.receipts & ABANDONED != 0;
                return if is_given_up { Task::TakeFirst } else { Task::Condemn };
            }
            Task::TakeFirst if drop.name == Name::Whole && !drop.has_segments => {
                return Task::RemoveHollow;
            }
            Task::TakeFirst => *known = Known::Nothing,
            Task::RemoveHollow => {
                drop.name = Name::Free;
                return Task::RemoveDirectory;
            }
            Task::Accept => {
                drop.receipts |= ACCEPTED;
                return Task::Send;
            }
            Task::Send => {
                drop.in_vault = true;
                return Task::RecordVaulted;
            }
            Task::RecordVaulted => {
                drop.receipts |= VAULTED;
                *known = Known::Held;
            }
            Task::Ask if drop.in_vault => return Task::RecordReleased,
            Task::Ask => *known = Known::Nothing,
            Task::RecordReleased => {
                drop.receipts |= RELEASED;
                return Task::RemoveSeal;
            }
            Task::RemoveSeal => {
                drop.name = Name::Free;
                return Task::RemoveSegments;
            }
            Task::RemoveSegments => {
                drop.has_segments = false;
                return Task::RemoveDirectory;
            }
            Task::RemoveDirectory if drop.name == Name::Free => {
                drop.has_directory = false;
                *known = Known::Settled;
            }
            // Something has appeared: a next look goes on.
            Task::RemoveDirectory => *known = Known::Receipts(drop.receipts),
            Task::RecordRejected => {
                drop.receipts |= REJECTED;
                *known = Known::Receipts(drop.receipts);
            }
            _ => return self.give_up(drop, known, task),
        }
        Task::Nothing
    }

    /// The steps of an abandonment.
    fn give_up(&self, drop: &mut Dropped, known: &mut Known, task: Task) -> Task {
        match task {
            Task::LookForSeal if matches!(drop.name, Name::Free | Name::Taken) => {
                Task::RecordAbandoned
            }
            Task::LookForSeal => {
                *known = Known::Nothing;
                Task::Nothing
            }
            Task::RecordAbandoned => {
                let was_begun = drop.receipts & ABANDONED != 0;
                drop.receipts |= ABANDONED;
                Task::TakeName { was_begun }
            }
            Task::TakeName { was_begun } => match drop.name {
                // By a last look, which may be as old as the first.
                _ if !self.takes_names => Task::RemoveTorn,
                Name::Free | Name::Taken => {
                    drop.name = Name::Taken;
                    Task::RemoveTorn
                }
                Name::Torn | Name::Whole if was_begun => {
                    *known = Known::Nothing;
                    Task::Nothing
                }
                Name::Torn | Name::Whole => Task::Withdraw,
            },
            Task::Withdraw => {
                drop.receipts &= !ABANDONED;
                *known = Known::Nothing;
                Task::Nothing
            }
            Task::RemoveTorn => {
                if drop.name != Name::Taken {
                    drop.name = Name::Free;
                }
                Task::RemoveLeftovers
            }
            Task::RemoveLeftovers => {
                drop.has_segments = false;
                Task::FreeName
            }
            _ => {
                if drop.name == Name::Taken {
                    drop.name = Name::Free;
                }
                Task::RemoveDirectory
            }
        }
    }
}

fn protocol(writers: usize, budget: [u8; 3]) -> Protocol {
    let [old_pictures, lost_replies, writers_that_die] = budget;
    let budget = Budget { old_pictures, lost_replies, writers_that_die };
    Protocol { writers, budget, takes_names: true }
}

#[test]
fn one_writer_loses_nothing_whatever_goes_wrong_how_often() {
    let states = explore(&protocol(1, [3, 2, 1]), 2_000_000).unwrap_or_else(|way| panic!("{way}"));
    println!("{states} states");
}

#[test]
fn two_writers_at_once_lose_nothing_whatever_goes_wrong() {
    let states = explore(&protocol(2, [1, 1, 1]), 2_000_000).unwrap_or_else(|way| panic!("{way}"));
    println!("{states} states");
}

#[test]
fn an_agent_that_only_looks_for_a_seal_would_lose_one_by_an_old_picture() {
    let way = explore(&Protocol { takes_names: false, ..protocol(1, [2, 0, 0]) }, 2_000_000);
    let way = way.unwrap_err();
    assert!(way.contains("I1: a sealed drop is lost"), "{way}");
}
