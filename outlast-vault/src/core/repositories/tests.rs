//! Workloads that are made at the same time.

use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use outlast_types::{Environment, Random, SystemRandom};

use super::*;
use crate::core::storage::memory::MemoryStorage;

/// Randomness of which the first piece is announced, and comes when somebody says so.
struct Late(Mutex<Option<(Sender<()>, Receiver<()>)>>);

impl Random for Late {
    fn fill(&self, buffer: &mut [u8]) {
        let first = self.0.lock().unwrap().take();
        if let Some((asked, word)) = first {
            asked.send(()).unwrap();
            word.recv().unwrap();
        }
        SystemRandom.fill(buffer);
    }
}

#[test]
fn no_workload_waits_for_another_that_is_being_made() {
    let storage: Storage = Arc::new(MemoryStorage::default());
    let (asked, is_asked) = mpsc::channel();
    let (go_on, word) = mpsc::channel();
    let random = Arc::new(Late(Mutex::new(Some((asked, word)))));
    let environment = Environment { random, ..Environment::system() };
    let repositories = &Repositories::open(&storage, &environment);
    let name = |text: &str| WorkloadName::new(text).unwrap();
    thread::scope(|scope| {
        let first = scope
            .spawn(move || repositories.get_or_make(&name("first"), Memory::default()).map(drop));
        is_asked.recv().unwrap();
        let (made, others) = mpsc::channel();
        for number in 0..8 {
            let made = made.clone();
            scope.spawn(move || {
                let name = name(&format!("other-{number}"));
                repositories.get_or_make(&name, Memory::default()).unwrap();
                // Nobody listens to those that share their turn with the first.
                let _ = made.send(());
            });
        }
        let other = others.recv_timeout(Duration::from_secs(30));
        go_on.send(()).unwrap();
        first.join().unwrap().unwrap();
        other.expect("one of eight others is made meanwhile");
    });
}
