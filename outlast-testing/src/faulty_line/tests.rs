use std::io::{Read, Write};

use super::*;

/// Sends back what comes, until it ends.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for connection in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut reader = connection.try_clone().unwrap();
                // Whoever cuts it is the one who tests.
                let _ = io::copy(&mut reader, &mut &connection);
                let _ = connection.shutdown(std::net::Shutdown::Write);
            });
        }
    });
    address
}

/// What comes back of `bytes`, as far as it does.
fn round(line: &FaultyLine, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let near = TcpStream::connect(line.address())?;
    near.set_read_timeout(Some(Duration::from_secs(120)))?;
    let mut writer = near.try_clone()?;
    let sent = bytes.to_vec();
    let writing = thread::spawn(move || {
        let written = writer.write_all(&sent);
        let _ = writer.shutdown(std::net::Shutdown::Write);
        written
    });
    let mut back = Vec::new();
    let read = (&near).read_to_end(&mut back);
    let written = writing.join().unwrap();
    read.and(written)?;
    Ok(back)
}

#[test]
fn in_good_weather_all_arrives_as_it_was_sent_and_is_counted() {
    let line = FaultyLine::to(echo(), 1).unwrap();
    let bytes = crate::pseudo_random(1, 300_000);
    assert_eq!(round(&line, &bytes).unwrap(), bytes);
    let carried = line.carried();
    assert_eq!((carried.there, carried.back), (300_000, 300_000));
    assert_eq!((carried.connections, carried.troubled), (1, 0));
}

#[test]
fn a_cut_line_carries_a_part_and_a_changed_byte_is_one() {
    let line = FaultyLine::to(echo(), 2).unwrap();
    let bytes = crate::pseudo_random(2, 200_000);
    line.set(Weather { cuts: 100, within: 100_000, ..Weather::default() });
    let back = round(&line, &bytes).unwrap_or_default();
    assert!(back.len() < bytes.len());
    assert_eq!(line.carried().troubled, 1);
    line.set(Weather { changes: 100, within: 100_000, ..Weather::default() });
    let back = round(&line, &bytes).unwrap();
    assert_eq!(back.iter().zip(&bytes).filter(|(one, other)| one != other).count(), 1);
}

#[test]
fn a_line_that_is_down_breaks_what_is_under_way_and_takes_nothing_new() {
    let line = FaultyLine::to(echo(), 3).unwrap();
    line.set(Weather { stalls: 100, within: 1, ..Weather::default() });
    let near = TcpStream::connect(line.address()).unwrap();
    near.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
    (&near).write_all(b"hello").unwrap();
    while line.carried().troubled == 0 {
        thread::yield_now();
    }
    line.set(Weather::down());
    assert_eq!((&near).read(&mut [0; 8]).unwrap_or(0), 0, "it was cut");
    assert_eq!(round(&line, b"hello").unwrap_or_default(), b"");
    line.set(Weather::default());
    assert_eq!(round(&line, b"hello").unwrap(), b"hello");
}
