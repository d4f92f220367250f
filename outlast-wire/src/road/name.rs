//! Names of hosts.

use std::io;
use std::net::{IpAddr, ToSocketAddrs as _};

/// Whoever knows the addresses of hosts. May block.
pub trait Resolve: Send + Sync {
    /// The addresses of `host`, the preferred ones first.
    fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// The system: its hosts file, its name service, and the order of addresses that it is set to.
#[derive(Debug, Clone, Copy)]
pub struct SystemNames;

impl Resolve for SystemNames {
    fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let mut found: Vec<IpAddr> = Vec::new();
        for address in (host, 0).to_socket_addrs()? {
            if !found.contains(&address.ip()) {
                found.push(address.ip());
            }
        }
        Ok(found)
    }
}
