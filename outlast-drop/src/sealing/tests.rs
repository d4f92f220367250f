use outlast_types::SystemRandom;

use super::*;

/// Chunks of a segment of these contents, and the key.
fn segment(contents: &[&[u8]], number: u32, end: End) -> (Arc<Chunks>, Vec<Vec<u8>>) {
    let key = ContentKey::generate(&SystemRandom);
    let chunks = Arc::new(Chunks::new(&key).unwrap());
    let made = made(&chunks, contents, number, end);
    (chunks, made)
}

fn made(chunks: &Chunks, contents: &[&[u8]], number: u32, end: End) -> Vec<Vec<u8>> {
    let close = |(chunk, content): (usize, &&[u8])| {
        let end = if chunk + 1 == contents.len() { end } else { End::Nothing };
        let mut buffer = vec![0; content.len() + CHUNK_EXTRA];
        buffer[LENGTH_BYTES..LENGTH_BYTES + content.len()].copy_from_slice(content);
        let position = Position { segment: number, chunk: chunk as u64, end };
        assert_eq!(chunks.close(position, &mut buffer, content.len()).unwrap(), buffer.len());
        buffer
    };
    contents.iter().enumerate().map(close).collect()
}

fn read(chunks: &Arc<Chunks>, bytes: &[u8], number: u32, is_last: bool) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    let mut opened = Opened::new(Arc::clone(chunks), bytes, number, is_last);
    match opened.read_to_end(&mut content) {
        Ok(_) => Some(content),
        Err(error) => {
            assert!(error.get_ref().unwrap().is::<BrokenChunk>(), "{error}");
            None
        }
    }
}

#[test]
fn a_segment_is_read_as_it_was_made_and_in_no_other_way() {
    let contents: [&[u8]; 4] = [b"one", b"", &[7; 100_000], b"last"];
    let whole = contents.concat();
    for (end, is_last) in [(End::Segment, false), (End::Drop, true)] {
        let (chunks, made) = segment(&contents, 3, end);
        let joined = made.concat();
        assert_eq!(read(&chunks, &joined, 3, is_last), Some(whole.clone()));
        assert_eq!(read(&chunks, &joined, 3, !is_last), None, "it is the end of the drop, or not");
        assert_eq!(read(&chunks, &joined, 4, is_last), None, "it is another segment");
        for cut in [0, 3, 4, 5, made[0].len(), joined.len() - made[3].len(), joined.len() - 1] {
            assert_eq!(read(&chunks, &joined[..cut], 3, is_last), None, "cut off at {cut}");
        }
        let longer = [&joined[..], &made[3]].concat();
        assert_eq!(read(&chunks, &longer, 3, is_last), None, "a chunk more");
        let swapped = [&made[1][..], &made[0], &made[2], &made[3]].concat();
        assert_eq!(read(&chunks, &swapped, 3, is_last), None, "in another order");
        let left_out = [&made[0][..], &made[2], &made[3]].concat();
        assert_eq!(read(&chunks, &left_out, 3, is_last), None, "without one of them");
        for at in [0, 2, 4, 10, joined.len() / 2, joined.len() - 1] {
            let mut bad = joined.clone();
            bad[at] ^= 1;
            assert_eq!(read(&chunks, &bad, 3, is_last), None, "changed at {at}");
        }
        let (other, _) = segment(&contents, 3, end);
        assert_eq!(read(&other, &joined, 3, is_last), None, "another key");
    }
}

#[test]
fn a_length_that_no_chunk_has_is_refused_unread() {
    let (chunks, _) = segment(&[b"x"], 0, End::Drop);
    for length in [0_u32, 15, u32::MAX] {
        let bytes = [&length.to_le_bytes()[..], &[0; 64]].concat();
        assert_eq!(read(&chunks, &bytes, 0, true), None);
    }
}

#[test]
fn a_key_does_not_show_itself() {
    let key = ContentKey::generate(&SystemRandom);
    assert_eq!(format!("{key:?}"), "ContentKey");
    assert!(ContentKey::from_bytes(&key.bytes()[1..]).is_none());
}
