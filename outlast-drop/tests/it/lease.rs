//! Instances that agree on who drops, and do not depend on it.

use std::ffi::OsStr;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use outlast_drop::lease::{Turn, Window};
use outlast_drop::recent::sealed_since;
use outlast_drop::writer::BEAT_INTERVAL;
use outlast_drop::{
    Content, DropAddress, ReceiptState, Share, WriterOptions, receipt as receipts, release,
};
use outlast_types::{Clock, DropId, SystemClock, SystemRandom, SystemTimer, Timer, Timestamp};

use crate::support::{new_share, options, receipt, sealed_stream, workload, writer};

const SHARE_VARIABLE: &str = "OUTLAST_TEST_HOLD_ON";

fn window(share: &Share, beat: Duration) -> Window {
    let since = Timestamp::from_unix(1_577_836_800, 0).unwrap();
    Window::new(share, &workload("shop-db"), since, beat)
}

fn look(window: &mut Window, elapsed: Duration) -> Turn {
    window.look(Some("i-1"), elapsed, &SystemClock, &SystemRandom).unwrap()
}

fn held(share: &Share, id: DropId) -> outlast_drop::DropWriter {
    let options = WriterOptions { id: Some(id), ..options(1000, None) };
    let writer = writer(share, Content::stream("shop.sql").unwrap(), options);
    assert_eq!(writer.drop_id(), id);
    writer
}

/// Seals a drop under this id.
fn seal(share: &Share, id: DropId) {
    let mut writer = held(share, id);
    writer.write_all(b"a dump").unwrap();
    writer.seal(&SystemClock).unwrap();
}

/// What an instance does: wait for its turn or for another's seal; the drop in the end.
fn take_part(share: &Share, beat: Duration) -> DropId {
    let (mut window, timer) = (window(share, beat), SystemTimer::new());
    loop {
        match look(&mut window, timer.elapsed()) {
            Turn::Sealed(drop) => return drop,
            Turn::Mine(drop) => seal(share, drop),
            Turn::Wait => thread::sleep(Duration::from_millis(5)),
        }
    }
}

fn sealed_drops(share: &Share) -> usize {
    let days = share.workload_directory(&workload("shop-db")).join("drops");
    let below = |path: &Path| {
        let listed = fs::read_dir(path).into_iter().flatten();
        listed.map(|entry| entry.unwrap().path()).collect::<Vec<_>>()
    };
    let drops = below(&days).iter().flat_map(|day| below(day)).collect::<Vec<_>>();
    drops.iter().filter(|drop| drop.join("sealed.json").exists()).count()
}

#[test]
fn ten_instances_at_once_seal_one_drop_and_all_hear_of_it() {
    let (_directory, share) = new_share();
    let drops: Vec<DropId> = thread::scope(|scope| {
        let share = &share;
        let threads: Vec<_> =
            (0..10).map(|_| scope.spawn(move || take_part(share, BEAT_INTERVAL))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(drops.iter().all(|drop| *drop == drops[0]), "{drops:?}");
    assert_eq!(sealed_drops(&share), 1);
}

/// The holder that is killed: the test below, as a process of its own. It shows signs of life.
fn hold(share: &OsStr) {
    let share = Share::open(Path::new(share)).unwrap();
    let Turn::Mine(drop) = look(&mut window(&share, BEAT_INTERVAL), Duration::ZERO) else {
        panic!("the lease is free")
    };
    let mut writer = held(&share, drop);
    writer.write_all(&[7; 5000]).unwrap();
    writer.flush().unwrap();
    println!("held by {drop}.");
    std::io::stdout().flush().unwrap();
    loop {
        thread::park();
    }
}

#[test]
fn a_holder_that_is_killed_is_replaced_and_its_half_drop_satisfies_nobody() {
    if let Some(share) = std::env::var_os(SHARE_VARIABLE) {
        return hold(&share);
    }
    let (_directory, share) = new_share();
    let itself = "lease::a_holder_that_is_killed_is_replaced_and_its_half_drop_satisfies_nobody";
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", itself, "--nocapture"])
        .env(SHARE_VARIABLE, share.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut words, mut byte) = (Vec::new(), [0]);
    while !words.ends_with(b".\n") || !String::from_utf8_lossy(&words).contains("held by") {
        holder.stdout.as_mut().unwrap().read_exact(&mut byte).unwrap();
        words.extend(byte);
    }
    let words = String::from_utf8_lossy(&words).into_owned();
    let dead: DropId = words.split("held by ").nth(1).unwrap()[..36].parse().unwrap();
    let mut other = window(&share, BEAT_INTERVAL);
    assert_eq!(look(&mut other, Duration::ZERO), Turn::Wait);
    // It lives: however late it is by the clock of whoever looks, each sign of life counts anew.
    for late in 1..5 {
        let names = || fs::read_dir(share.drop_directory(&address(dead))).unwrap();
        let seen: Vec<_> = names().map(|entry| entry.unwrap().file_name()).collect();
        while names().map(|entry| entry.unwrap().file_name()).eq(seen.iter().cloned()) {
            thread::sleep(Duration::from_millis(2));
        }
        assert_eq!(look(&mut other, BEAT_INTERVAL * 3 * late), Turn::Wait);
    }
    holder.kill().unwrap();
    holder.wait().unwrap();
    let taken = take_part(&share, Duration::from_millis(50));
    assert_ne!(taken, dead);
    assert!(!share.drop_directory(&address(dead)).join("sealed.json").exists());
    assert_eq!(sealed_drops(&share), 1);
}

fn address(drop: DropId) -> DropAddress {
    DropAddress { workload: workload("shop-db"), day: drop.claimed_time().day(), drop }
}

#[test]
fn a_silent_holder_is_replaced_after_three_beats_and_one_that_gave_up_at_once() {
    let (_directory, share) = new_share();
    let beat = Duration::from_secs(20);
    let (mut one, mut other) = (window(&share, beat), window(&share, beat));
    let Turn::Mine(first) = look(&mut one, Duration::ZERO) else { panic!() };
    // Its drop never begins.
    assert_eq!(look(&mut other, Duration::from_secs(1000)), Turn::Wait);
    assert_eq!(look(&mut other, Duration::from_secs(1059)), Turn::Wait);
    let Turn::Mine(second) = look(&mut other, Duration::from_secs(1060)) else { panic!() };
    assert_ne!(first, second);
    // The second one begins and fails.
    assert_eq!(look(&mut one, Duration::from_secs(1)), Turn::Wait);
    held(&share, second).fail(Some(1)).unwrap();
    let Turn::Mine(third) = look(&mut one, Duration::from_secs(1)) else { panic!() };
    // A lease that somebody has spoiled is nobody's.
    let leases = share.workload_directory(&workload("shop-db")).join("leases");
    let mut names: Vec<_> = fs::read_dir(&leases).unwrap().map(|e| e.unwrap().path()).collect();
    names.sort();
    assert_eq!(names.len(), 3);
    drop(fs::File::create(&names[2]).unwrap());
    assert_eq!(look(&mut other, Duration::from_secs(2000)), Turn::Wait);
    assert!(matches!(look(&mut other, Duration::from_secs(2060)), Turn::Mine(_)));
    // The first one was only slow: it seals, and that is enough for everybody.
    seal(&share, third);
    assert_eq!(look(&mut other, Duration::from_secs(2060)), Turn::Sealed(third));
    assert_eq!(look(&mut one, Duration::from_secs(9)), Turn::Sealed(third));
}

#[test]
fn only_a_sealed_drop_of_the_window_that_nobody_rejected_satisfies() {
    let (_directory, share) = new_share();
    let shop = workload("shop-db");
    let now = SystemClock.now();
    let hour = Duration::from_secs(3600);
    let since = |since| sealed_since(&share, &shop, since, now).unwrap();
    let ago = now.saturating_sub(hour);
    assert_eq!(since(ago), None);
    let open = writer(&share, Content::Tree, options(1000, None));
    assert_eq!(since(ago), None, "it is not sealed");
    let future = DropId::new(&At(now.saturating_add(hour)), &SystemRandom);
    seal(&share, future);
    assert_eq!(since(ago), None, "whose clock is it?");
    let address = sealed_stream(&share, b"x", None);
    assert_eq!(since(ago), Some(address.drop));
    assert_eq!(since(now.saturating_add(hour / 10)), None, "it was begun before");
    receipts::write(&share, &receipt(&share, &address, ReceiptState::Rejected)).unwrap();
    assert_eq!(since(ago), None, "it was rejected");
    let gone = sealed_stream(&share, b"y", None);
    release(&share, &gone, &receipt(&share, &gone, ReceiptState::Released)).unwrap();
    assert!(!share.drop_directory(&gone).exists());
    assert_eq!(since(ago), Some(gone.drop), "its receipt is there");
    drop(open);
}

struct At(Timestamp);

impl Clock for At {
    fn now(&self) -> Timestamp {
        self.0
    }
}

#[test]
fn leases_of_old_windows_are_removed_and_those_of_this_one_stay() {
    let (_directory, share) = new_share();
    let shop = workload("shop-db");
    let begins = |days: u64| {
        let since = SystemClock.now().saturating_sub(Duration::from_secs(days * 86_400));
        Window::new(
            &share,
            &shop,
            Window::beginning(since, Duration::from_secs(86_400)),
            BEAT_INTERVAL,
        )
    };
    for days in [0, 1, 5, 9] {
        assert!(matches!(look(&mut begins(days), Duration::ZERO), Turn::Mine(_)));
    }
    let leases = share.workload_directory(&shop).join("leases");
    drop(fs::File::create(leases.join("notes.txt")).unwrap());
    begins(0).tidy();
    assert_eq!(fs::read_dir(&leases).unwrap().count(), 3);
}
