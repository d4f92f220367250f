//! Where in the binlog a dump belongs: read from its beginning and end, where the client writes it.

/// The position that a dump names, in words: file and place in its beginning, and the GTID, if there
/// is one, at its end.
pub(super) fn find(beginning: &[u8], end: &[u8]) -> Option<String> {
    let (beginning, end) = (String::from_utf8_lossy(beginning), String::from_utf8_lossy(end));
    let place = beginning.lines().find_map(place);
    let gtid = end.lines().find_map(gtid);
    match (place, gtid) {
        (Some(place), Some(gtid)) => Some(format!("{place}, GTID {gtid}")),
        (place, gtid) => place.or(gtid.map(|gtid| format!("GTID {gtid}"))),
    }
}

/// From `-- CHANGE MASTER TO MASTER_LOG_FILE='mysql-bin.000001', MASTER_LOG_POS=328;`, or the same
/// with `CHANGE REPLICATION SOURCE TO SOURCE_…`.
fn place(line: &str) -> Option<String> {
    let line = line.trim_start_matches("-- ");
    if !line.starts_with("CHANGE MASTER TO") && !line.starts_with("CHANGE REPLICATION SOURCE TO") {
        return None;
    }
    let file = quoted(line.split_once("_LOG_FILE=")?.1)?;
    let (_, place) = line.split_once("_LOG_POS=")?;
    let place: String = place.chars().take_while(char::is_ascii_digit).collect();
    Some(format!("{file}:{}", place.parse::<u64>().ok()?))
}

/// From `-- SET GLOBAL gtid_slave_pos='0-1-4';`.
fn gtid(line: &str) -> Option<String> {
    let value = quoted(line.strip_prefix("-- SET GLOBAL gtid_slave_pos=")?)?;
    (!value.is_empty()).then(|| value.to_owned())
}

fn quoted(text: &str) -> Option<&str> {
    text.strip_prefix('\'')?.split('\'').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_position_is_found_in_the_beginning_of_a_dump() {
        for (beginning, end, position) in [
            (
                "-- CHANGE MASTER TO MASTER_LOG_FILE='mysql-bin.000001', MASTER_LOG_POS=328;\n",
                "",
                Some("mysql-bin.000001:328"),
            ),
            (
                "x\n-- CHANGE REPLICATION SOURCE TO SOURCE_LOG_FILE='b.7', SOURCE_LOG_POS=4;\n",
                "-- Dump completed",
                Some("b.7:4"),
            ),
            (
                "-- CHANGE MASTER TO MASTER_LOG_FILE='b.1', MASTER_LOG_POS=9;\n",
                "NOTES */;\n-- SET GLOBAL gtid_slave_pos='0-1-4';\n",
                Some("b.1:9, GTID 0-1-4"),
            ),
            ("CREATE TABLE t (a text DEFAULT 'CHANGE MASTER TO');\n", "", None),
            ("-- CHANGE MASTER TO MASTER_LOG_FILE='b", "-- SET GLOBAL gtid_slave_pos='", None),
        ] {
            let found = find(beginning.as_bytes(), end.as_bytes());
            assert_eq!(found.as_deref(), position, "{beginning}");
        }
    }
}
