//! Variables that Kubernetes and Docker set in every container for each service near it. Those of a
//! service called `outlast-vault` begin like settings of ours.

use std::ffi::OsStr;

/// Whether a variable tells of a service: `…_SERVICE_HOST`, `…_SERVICE_PORT`, `…_SERVICE_PORT_HTTPS`,
/// `…_PORT=tcp://…`, `…_PORT_8443_TCP`, `…_PORT_8443_TCP_ADDR`.
pub(super) fn is_service_link(name: &str, value: &OsStr) -> bool {
    let schemes = ["tcp://", "udp://", "sctp://"];
    let is_address =
        value.to_str().is_some_and(|value| schemes.iter().any(|scheme| value.starts_with(scheme)));
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || (name.ends_with("_PORT") && is_address)
        || name.match_indices("_PORT_").any(|(at, found)| is_of_port(&name[at + found.len()..]))
}

/// Whether it goes on like `8443_TCP` or `8443_TCP_ADDR`.
fn is_of_port(tail: &str) -> bool {
    let mut parts = tail.split('_');
    let number = parts.next().is_some_and(|part| part.parse::<u16>().is_ok());
    let protocol = matches!(parts.next(), Some("TCP" | "UDP" | "SCTP"));
    let detail = matches!(parts.next(), None | Some("PROTO" | "PORT" | "ADDR"));
    number && protocol && detail && parts.next().is_none()
}
