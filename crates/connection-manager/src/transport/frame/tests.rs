//! What RFC 6455 allows a client and what it does not.

use super::*;

const KEY: [u8; 4] = [1, 2, 3, 4];

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    write(&mut plain, 0, payload);
    let head = plain.len() - payload.len();
    let mut out = vec![first];
    out.extend(plain[1..head].iter().enumerate().map(|(at, byte)| if at == 0 { byte | 0x80 } else { *byte }));
    out.extend(KEY);
    let mut masked = payload.to_vec();
    unmask(&mut masked, KEY);
    out.extend(masked);
    out
}

fn all(bytes: &[u8], step: usize) -> Result<Vec<Message>, FrameError> {
    let mut decoder = Decoder::default();
    let mut found = Vec::new();
    for mut part in bytes.chunks(step) {
        while let Some(message) = decoder.next(&mut part, 1000)? {
            found.push(message);
        }
        assert!(part.is_empty());
    }
    assert!(!decoder.has_partial());
    Ok(found)
}

#[test]
fn messages_are_read_however_they_arrive() {
    for length in [0, 1, 125, 126, 1000] {
        let text = vec![b'x'; length];
        let bytes = [frame(FIN | TEXT, &text), frame(FIN | PING, b"p")].concat();
        for step in [1, 3, bytes.len()] {
            let expected = vec![Message::Text(text.clone()), Message::Ping(b"p".to_vec())];
            assert_eq!(all(&bytes, step), Ok(expected), "{length} by {step}");
        }
    }
}

#[test]
fn fragments_are_joined_around_control_frames() {
    let bytes = [
        frame(TEXT, b"<a"),
        frame(FIN | PING, b""),
        frame(CONTINUATION, b""),
        frame(FIN | CONTINUATION, b"/>"),
        frame(FIN | CLOSE, &1000_u16.to_be_bytes()),
    ]
    .concat();
    let expected =
        vec![Message::Ping(Vec::new()), Message::Text(b"<a/>".to_vec()), Message::Close(Some(1000))];
    assert_eq!(all(&bytes, 2), Ok(expected));
}

#[test]
fn what_the_rfc_forbids_is_refused() {
    let mut unmasked = Vec::new();
    write_text(&mut unmasked, b"<a/>");
    let long_form = [&[FIN | TEXT, 0x80 | 126, 0, 5], &KEY[..], b"aaaaa"].concat();
    let refused = [
        unmasked,
        long_form,
        frame(FIN | 0x40 | TEXT, b""),
        frame(FIN | 0x3, b""),
        frame(PING, b""),
        frame(FIN | PING, &[0; 126]),
        frame(FIN | CONTINUATION, b""),
        [frame(TEXT, b""), frame(TEXT, b"")].concat(),
        frame(FIN | CLOSE, b"x"),
        frame(FIN | CLOSE, &1005_u16.to_be_bytes()),
        frame(FIN | CLOSE, b"\x03\xe8\xff"),
    ];
    for bytes in refused {
        let error = all(&bytes, bytes.len()).expect_err("refused");
        assert_eq!(error.code(), code::PROTOCOL_ERROR, "{bytes:?}");
    }
    assert_eq!(all(&frame(FIN | BINARY, b""), 9), Err(FrameError::Binary));
}

#[test]
fn a_message_above_the_limit_is_refused_by_its_head() {
    let head_only = &frame(FIN | TEXT, &[b'x'; 1001])[..8];
    assert_eq!(Decoder::default().next(&mut &head_only[..], 1000), Err(FrameError::TooBig));
    let parts = [frame(TEXT, &[b'x'; 600]), frame(FIN | CONTINUATION, &[b'x'; 401])].concat();
    assert_eq!(all(&parts, parts.len()), Err(FrameError::TooBig));
}

#[test]
fn fragments_without_end_are_refused() {
    let mut bytes = frame(TEXT, b"");
    for _ in 0..=MAX_FRAGMENTS {
        bytes.extend(frame(CONTINUATION, b""));
    }
    assert_eq!(all(&bytes, bytes.len()), Err(FrameError::Fragments));
}
