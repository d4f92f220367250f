//! The service manager: it is told when a role serves, when it ends, and that it is alive, as
//! `sd_notify` does (systemd's `Type=notify` and `WatchdogSec`).

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use outlast_types::pulse::{Pulse, PulseWatch};

/// What we tell, in the words of the protocol.
const READY: &str = "READY=1";
const RELOADING: &str = "RELOADING=1";
const STOPPING: &str = "STOPPING=1";
const ALIVE: &str = "WATCHDOG=1";

/// What the service manager is to hear. Without one, telling it does nothing.
pub(crate) struct Service {
    manager: Option<Manager>,
    /// The loops that must all be alive.
    watches: Vec<PulseWatch>,
    /// How often it must hear that they are, and when it last did.
    interval: Option<Duration>,
    told: Option<Instant>,
}

struct Manager {
    socket: UnixDatagram,
    address: SocketAddr,
}

impl Service {
    /// The one that started this process, if one did that wants to hear.
    pub(crate) fn of_environment(pulses: &[Pulse]) -> Self {
        Self::of(|name| std::env::var(name).ok(), std::process::id(), pulses)
    }

    fn of(variable: impl Fn(&str) -> Option<String>, process: u32, pulses: &[Pulse]) -> Self {
        let manager = variable("NOTIFY_SOCKET").and_then(|path| Manager::at(&path));
        // Set for another process, it is none of ours.
        let meant = variable("WATCHDOG_PID").is_none_or(|pid| pid == process.to_string());
        let limit = variable("WATCHDOG_USEC").filter(|_| meant);
        let limit = limit.and_then(|text| text.parse().ok()).filter(|micros| *micros > 0);
        Self {
            manager,
            watches: pulses.iter().map(PulseWatch::new).collect(),
            // A look that comes late must not be the end.
            interval: limit.map(|micros| Duration::from_micros(micros) / 3),
            told: None,
        }
    }

    /// All roles serve.
    pub(crate) fn ready(&self) {
        self.tell(READY);
    }

    /// The configuration is being read again; all roles serve meanwhile.
    pub(crate) fn reloading(&self) {
        self.tell(RELOADING);
    }

    /// What there is to say, in a line.
    pub(crate) fn status(&self, words: &str) {
        self.tell(&format!("STATUS={}", words.replace('\n', " ")));
    }

    /// The end has begun.
    pub(crate) fn stopping(&self) {
        self.tell(STOPPING);
    }

    /// Says that the roles are alive, if it is time to and all of them are.
    pub(crate) fn watch(&mut self) {
        let Some(interval) = self.interval else { return };
        if self.told.is_some_and(|told| told.elapsed() < interval) {
            return;
        }
        self.told = Some(Instant::now());
        // Each is looked at, whatever the others do: a look takes note.
        let dead = self.watches.iter_mut().filter_map(|watch| (!watch.is_alive()).then_some(()));
        match dead.count() {
            0 => self.tell(ALIVE),
            count => tracing::warn!(
                count, every = ?interval, "a role made no step; the service manager is not told that it lives"
            ),
        }
    }

    fn tell(&self, word: &str) {
        if let Some(manager) = &self.manager
            && let Err(error) = manager.socket.send_to_addr(word.as_bytes(), &manager.address)
        {
            tracing::warn!(%error, word, "cannot tell the service manager");
        }
    }
}

impl Manager {
    /// At a path, or behind `@` a name that lies in no directory.
    fn at(path: &str) -> Option<Self> {
        let address = match path.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name),
            None => SocketAddr::from_pathname(path),
        };
        let found = address.and_then(|address| {
            let socket = UnixDatagram::unbound()?;
            // One that does not read must not keep us.
            socket.set_nonblocking(true)?;
            Ok(Self { socket, address })
        });
        found.inspect_err(|error| tracing::warn!(%error, "NOTIFY_SOCKET cannot be used")).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(socket: &UnixDatagram) -> Option<String> {
        let mut buffer = [0; 64];
        let bytes = socket.recv(&mut buffer).ok()?;
        Some(String::from_utf8_lossy(&buffer[..bytes]).into_owned())
    }

    fn service(socket: &str, process: &str, pulses: &[Pulse]) -> Service {
        let variables = [
            ("NOTIFY_SOCKET", socket),
            // Every look is due.
            ("WATCHDOG_USEC", "1"),
            ("WATCHDOG_PID", process),
        ];
        let variable = |name: &str| {
            variables.iter().find(|(of, _)| *of == name).map(|(_, text)| (*text).to_owned())
        };
        Service::of(variable, 7, pulses)
    }

    #[test]
    fn a_service_manager_hears_that_all_roles_serve_live_and_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        manager.set_nonblocking(true).unwrap();
        let (one, other) = (Pulse::default(), Pulse::default());
        let mut service = service(path.to_str().unwrap(), "7", &[one.clone(), other.clone()]);
        service.ready();
        assert_eq!(heard(&manager).as_deref(), Some("READY=1"));
        service.watch();
        assert_eq!(heard(&manager), None, "neither has made a step");
        one.beat();
        service.watch();
        assert_eq!(heard(&manager), None, "one has not");
        one.beat();
        other.rest();
        service.watch();
        assert_eq!(heard(&manager).as_deref(), Some("WATCHDOG=1"));
        service.watch();
        assert_eq!(heard(&manager), None, "one hangs");
        service.reloading();
        service.ready();
        assert_eq!(heard(&manager).as_deref(), Some("RELOADING=1"));
        assert_eq!(heard(&manager).as_deref(), Some("READY=1"));
        service.stopping();
        assert_eq!(heard(&manager).as_deref(), Some("STOPPING=1"));
        drop(manager);
        // Nobody is there any more, and that is no reason to fail.
        service.ready();
    }

    #[test]
    fn a_watchdog_of_another_process_and_a_name_in_no_directory_are_understood() {
        let name = format!("outlast-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        manager.set_nonblocking(true).unwrap();
        let pulse = Pulse::default();
        pulse.beat();
        let mut other = service(&format!("@{name}"), "8", std::slice::from_ref(&pulse));
        other.watch();
        assert_eq!(heard(&manager), None);
        service(&format!("@{name}"), "7", &[pulse]).watch();
        assert_eq!(heard(&manager).as_deref(), Some("WATCHDOG=1"));
    }
}
