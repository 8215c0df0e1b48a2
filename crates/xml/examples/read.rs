//! Reads one chat message over and over, for a profiler: `valgrind --tool=callgrind target/release/examples/read 1000`.

use std::process::ExitCode;

use starling_xml::{Event, Framing, Limits, Reader};

const HEADER: &[u8] = b"<stream:stream to='localhost' version='1.0' xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams'>";
const MESSAGE: &[u8] = b"<message to='load17@localhost/0123456789abcdef' type='chat' id='4711'>\
    <body>4711 1234567 xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx</body></message>";

fn main() -> ExitCode {
    let rounds: usize = std::env::args().nth(1).and_then(|rounds| rounds.parse().ok()).unwrap_or(1000);
    let mut reader = Reader::new(Framing::Stream, Limits::AFTER_LOGIN);
    let mut header = HEADER;
    let began = reader.next(&mut header);
    let mut read = 0;
    for _ in 0..rounds {
        let mut input = MESSAGE;
        if let Ok(Some(Event::Element(raw))) = reader.next(&mut input) {
            read += raw.payloads.len();
        }
    }
    let is_right = matches!(began, Ok(Some(Event::Open(_)))) && read == rounds;
    if is_right { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
