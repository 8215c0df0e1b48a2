//! What a cluster under test leaves behind: tables that nobody reads again, and of which a server has room for some thousands only.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

const PATIENCE: Duration = Duration::from_secs(20);
/// CQL binary protocol, version 4 (native_protocol_v4.spec §2).
const REQUEST: u8 = 0x04;
const STARTUP: u8 = 0x01;
const QUERY: u8 = 0x07;
const READY: u8 = 0x02;
const RESULT: u8 = 0x08;
/// LOCAL_QUORUM is not asked for by a change of the schema; ONE is the least.
const ONE: u16 = 0x0001;

/// Removes a keyspace from the server at `host:port`, which asks for no password. To be called where a thread may block.
#[expect(clippy::disallowed_methods, reason = "it shares no code with the server, and the thread may block")]
pub(crate) fn remove(server: &str, keyspace: &str) -> Result<()> {
    let address = server.to_socket_addrs()?.next().context("no address")?;
    let mut socket = TcpStream::connect_timeout(&address, PATIENCE)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut options = 1_u16.to_be_bytes().to_vec();
    for text in ["CQL_VERSION", "3.0.0"] {
        options.extend((text.len() as u16).to_be_bytes());
        options.extend(text.as_bytes());
    }
    ask(&mut socket, STARTUP, &options, READY)?;
    let statement = format!("DROP KEYSPACE IF EXISTS {keyspace}");
    let mut query = (statement.len() as u32).to_be_bytes().to_vec();
    query.extend(statement.as_bytes());
    query.extend(ONE.to_be_bytes());
    query.push(0); // no flags: no values
    ask(&mut socket, QUERY, &query, RESULT)
}

/// §2: a header of version, flags, stream, opcode and length, then the body.
fn ask(socket: &mut TcpStream, opcode: u8, body: &[u8], expected: u8) -> Result<()> {
    let mut frame = vec![REQUEST, 0, 0, 0, opcode];
    frame.extend((body.len() as u32).to_be_bytes());
    frame.extend(body);
    socket.write_all(&frame)?;
    let mut header = [0; 9];
    socket.read_exact(&mut header)?;
    let [.., opcode, a, b, c, d] = header;
    let mut answer = vec![0; u32::from_be_bytes([a, b, c, d]) as usize];
    socket.read_exact(&mut answer)?;
    ensure!(opcode == expected, "answered {opcode}: {}", String::from_utf8_lossy(&answer));
    Ok(())
}
