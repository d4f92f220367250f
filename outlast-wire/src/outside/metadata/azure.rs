//! The scheduled events of Azure: one list for all machines of a scale set or an availability set.

use hyper::Method;
use serde::Deserialize;
use serde_json::json;

use super::super::date::http_date;
use super::door::{Door, MetadataError};
use super::notice::{Notice, Whereabouts};

/// Without it, nothing is answered: it keeps those out who can only make a host fetch an address.
const HEADER: (&str, &str) = ("metadata", "true");
const EVENTS: &str = "metadata/scheduledevents?api-version=2020-07-01";
const NAME: &str = "metadata/instance/compute/name?api-version=2021-02-01&format=text";
const REGION: &str = "metadata/instance/compute/location?api-version=2021-02-01&format=text";

/// The machine, as the list calls it.
#[derive(Default)]
pub(super) struct Azure {
    name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    #[serde(default)]
    events: Vec<Event>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Event {
    event_id: String,
    event_type: String,
    #[serde(default)]
    event_status: String,
    #[serde(default)]
    resources: Vec<String>,
    #[serde(default)]
    not_before: String,
}

impl Azure {
    /// The first event that ends this very machine. Reboots and the like keep its disks.
    pub(super) fn look(&mut self, door: &Door) -> Result<Option<Notice>, MetadataError> {
        let name = self.name(door)?;
        let text = get(door, EVENTS)?;
        let document: Document =
            serde_json::from_str(&text).map_err(|_| door.strange("scheduledevents", &text))?;
        let ends = |event: &Event| {
            matches!(event.event_type.as_str(), "Terminate" | "Preempt")
                && matches!(event.event_status.as_str(), "Scheduled" | "Started")
                && event.resources.iter().any(|resource| resource.eq_ignore_ascii_case(&name))
        };
        Ok(document.events.into_iter().find(ends).map(|event| Notice {
            what: match event.event_type.as_str() {
                "Preempt" => "Azure takes the spot machine back".to_owned(),
                _ => "its scale set deletes it".to_owned(),
            },
            due: http_date(&event.not_before),
            waits: event.event_status == "Scheduled",
            id: event.event_id,
        }))
    }

    /// Says that the machine is ready for an event: it need not be waited for any longer.
    pub(super) fn answer(door: &Door, id: &str) -> Result<(), MetadataError> {
        let body = json!({ "StartRequests": [{ "EventId": id }] }).to_string();
        let answered = door.ask(Method::POST, EVENTS, HEADER, body.as_bytes())?;
        match answered.status {
            200..=299 => Ok(()),
            _ => Err(door.refused("scheduledevents", &answered)),
        }
    }

    pub(super) fn whereabouts(&mut self, door: &Door) -> Result<Whereabouts, MetadataError> {
        Ok(Whereabouts { instance: self.name(door)?, region: get(door, REGION)? })
    }

    fn name(&mut self, door: &Door) -> Result<String, MetadataError> {
        if let Some(name) = &self.name {
            return Ok(name.clone());
        }
        let name = get(door, NAME)?;
        if name.is_empty() {
            return Err(door.strange("compute/name", &name));
        }
        self.name = Some(name.clone());
        Ok(name)
    }
}

fn get(door: &Door, path: &str) -> Result<String, MetadataError> {
    let answered = door.ask(Method::GET, path, HEADER, &[])?;
    match answered.status {
        200 => Ok(answered.body.trim().to_owned()),
        _ => Err(door.refused(path.split('?').next().unwrap_or(path), &answered)),
    }
}
