//! A row of the archive as its columns.

use bytes::Bytes;
use starling_jid::BareJid;
use starling_ports::Result;
use starling_ports::archive::{Born, Direction, Row, Table};
use starling_stanza::Wire;

use super::WHAT;
use crate::client::Changes;
use crate::error::corrupt;
use crate::schema::RowStatements;
use crate::values::{bare, bit, bits, id_bytes, id_of, signed, size, unsigned, wide_bytes, wide_of};

/// Columns in the order of the statements.
pub(super) type Columns<'a> = (
    &'a [u8],
    Option<i64>,
    Option<i8>,
    Option<&'a str>,
    Option<&'a str>,
    Option<&'a [u8]>,
    Option<&'a [u8]>,
    Option<&'a [u8]>,
);

const DELIVERABLE: u8 = 1;

/// Writing `row`, and in the archive what leads to it from the correspondent. Both under the stamp of the id: a late
/// repetition overrides nothing, and brings nothing back.
pub(super) fn add<'a>(
    changes: &mut Changes<'a>,
    statements: &RowStatements,
    table: Table,
    owner: &'a BareJid,
    bucket: i64,
    row: &'a Row,
) {
    let (id, stamp) = (id_bytes(row.id), signed(row.id.number));
    let flags = bits([row.direction == Direction::Sent, row.deliverable, row.copied]);
    let values = (
        owner.as_str(),
        bucket,
        id,
        signed(row.at.0),
        flags,
        row.with.as_str(),
        row.resource.as_deref(),
        row.origin.map(wide_bytes),
        row.born.to_bytes(),
        size(row.wire.len()),
        &row.wire.as_bytes()[..],
        stamp,
    );
    changes.add(&statements.put, values);
    if table == Table::Archive {
        changes.add(&statements.put_who, (owner.as_str(), bucket, row.with.as_str(), id, stamp));
    }
}

/// A row of version 1 does not say how it was born.
pub(super) fn decode((id, at, flags, with, resource, origin, born, wire): Columns<'_>) -> Result<Row> {
    let (Some(at), Some(flags), Some(with), Some(wire)) = (at, flags, with, wire) else {
        return Err(corrupt(WHAT));
    };
    Ok(Row {
        id: id_of(id, WHAT)?,
        at: starling_ports::ids::Timestamp(unsigned(at, WHAT)?),
        with: bare(with, WHAT)?,
        direction: if bit(flags, 0) { Direction::Sent } else { Direction::Received },
        resource: resource.map(Into::into),
        deliverable: is_deliverable(flags),
        copied: bit(flags, 2),
        origin: origin.map(|bytes| wide_of(bytes, WHAT)).transpose()?,
        born: match born {
            Some(bytes) => Born::from_bytes(bytes).ok_or(corrupt(WHAT))?,
            None => Born::default(),
        },
        wire: Wire::from_bytes(Bytes::copy_from_slice(wire)).ok_or(corrupt(WHAT))?,
    })
}

pub(super) fn is_deliverable(flags: i8) -> bool {
    bit(flags, DELIVERABLE)
}
