//! What must be held while the line is down for some hours, at the worst moment, and how long it takes to
//! catch up.

use crate::flow::Hour;

/// Hours after which catching up counts as never.
const NEVER: usize = 24 * 366;

/// The worst outage.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Outage {
    /// Bytes in the spool at its end, and on the share at most.
    pub(crate) spool: f64,
    pub(crate) share: f64,
    /// Hours until no more waits than without it; nothing if that is never.
    pub(crate) catch_up: Option<f64>,
}

/// What `length` hours without the line come to, beginning in any hour from `first` on. Drops that
/// nobody has vaulted stay on the share, `written` in each hour.
pub(crate) fn worst(
    hours: &[Hour],
    born: &[f64],
    line: &[f64],
    length: usize,
    first: usize,
) -> Outage {
    let mut outage = Outage::default();
    let (mut arrived, mut written, mut begin) = (0.0, 0.0, first);
    for (end, (hour, born_now)) in hours.iter().zip(born).enumerate().skip(first) {
        arrived += hour.arrived;
        written += born_now;
        if end - begin >= length {
            arrived -= hours[begin].arrived;
            written -= born[begin];
            begin += 1;
        }
        if length == 0 {
            continue;
        }
        let before = begin.checked_sub(1).and_then(|hour| hours.get(hour));
        let (spool, share) = before.map_or((0.0, 0.0), |hour| (hour.spool, hour.resident));
        if spool + arrived > outage.spool {
            outage.spool = spool + arrived;
            outage.catch_up = catch_up(outage.spool, hours, line, end + 1);
        }
        outage.share = outage.share.max(share + written);
    }
    outage
}

/// Hours from `from` on until what waits is no more than it would have been.
fn catch_up(mut waits: f64, hours: &[Hour], line: &[f64], from: usize) -> Option<f64> {
    for passed in 0..NEVER {
        // After the end, the last week goes on and on.
        let week = hours.len().min(168);
        let place = match from + passed {
            place if place < hours.len() => place,
            place => hours.len() - week + (place - hours.len()) % week.max(1),
        };
        let hour = hours.get(place)?;
        waits += hour.arrived;
        if waits - hour.spool <= line[place] {
            let part = if line[place].is_finite() && line[place] > 0.0 {
                ((waits - hour.spool) / line[place]).clamp(0.0, 1.0)
            } else {
                0.0
            };
            return Some(passed as f64 + part);
        }
        waits -= line[place];
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_holds_what_came_meanwhile_and_the_line_catches_up_with_what_it_has_left() {
        // 10 come in each hour, and the line carries 15: nothing waits.
        let hours = vec![Hour { arrived: 10.0, resident: 7.0, ..Hour::default() }; 500];
        let (born, line) = (vec![20.0; 500], vec![15.0; 500]);
        let outage = worst(&hours, &born, &line, 48, 0);
        assert_eq!(outage.spool, 480.0);
        assert_eq!(outage.share, 7.0 + 48.0 * 20.0);
        // 5 an hour are left for what waits: 480 / 5 = 96 hours, of which the last is not all needed.
        let hours = outage.catch_up.unwrap();
        assert!((94.0..=96.0).contains(&hours), "{hours}");
        let none = worst(
            &vec![Hour { arrived: 10.0, ..Hour::default() }; 500],
            &born,
            &vec![10.0; 500],
            1,
            0,
        );
        assert_eq!(none.catch_up, None, "a line without anything left never catches up");
    }
}
