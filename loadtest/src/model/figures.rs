//! What was measured: read from the tables of docs/benchmarks.md, by the names of their rows and columns.

use anyhow::{Context as _, Result};

/// What one message costs each kind of process, in microseconds of CPU.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Message {
    /// The sender's connection manager and the receiver's.
    pub(super) managers: f64,
    pub(super) routers: f64,
    pub(super) redis: f64,
    pub(super) cql: f64,
}

/// All that the model takes from the page.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Figures {
    /// Memory of an idle connection with TLS, KiB.
    pub(super) connection: f64,
    /// CPU of a login with a full handshake, milliseconds.
    pub(super) login: f64,
    /// CPU of one presence for one contact, microseconds.
    pub(super) presence: f64,
    /// A message that is alone on its way, with XEP-0198 and both archives.
    pub(super) sparse: Message,
    /// The same with 16 of a pair on their way: what batches save.
    pub(super) busy: Message,
}

/// Rows and columns that are read.
pub(super) const IDLE: &str = "idle-tls";
pub(super) const LOGIN: &str = "login-tls";
pub(super) const PRESENCE: &str = "presence";
pub(super) const SPARSE: &str = "1 in flight, both archives, XEP-0198";
pub(super) const BUSY: &str = "16 in flight, both archives, XEP-0198";
const COST: &str = "server CPU";

impl Figures {
    /// Reads the text of the page.
    pub(super) fn read(page: &str) -> Result<Self> {
        let single = Table::made_by(page, "make bench")?;
        let cluster = Table::made_by(page, "make bench-cluster")?;
        let message = |row: &str| {
            let cell = |column: &str| cluster.cell(row, column);
            anyhow::Ok(Message {
                managers: cell("sender's manager")? + cell("receiver's")?,
                routers: cell("routers")?,
                redis: cell("redis")?,
                cql: cell("cassandra")?,
            })
        };
        Ok(Self {
            connection: single.cell(IDLE, COST)?,
            login: single.cell(LOGIN, COST)?,
            presence: single.cell(PRESENCE, COST)?,
            sparse: message(SPARSE)?,
            busy: message(BUSY)?,
        })
    }
}

/// A table of the page: its cells, row by row, the head first.
struct Table<'a> {
    name: &'a str,
    rows: Vec<Vec<&'a str>>,
}

impl<'a> Table<'a> {
    fn made_by(page: &'a str, name: &'a str) -> Result<Self> {
        let begin = format!("<!-- made by {name} -->");
        let (_, rest) = page.split_once(&begin).with_context(|| format!("no table of `{name}`"))?;
        let (block, _) =
            rest.split_once("<!-- end of").with_context(|| format!("the table of `{name}` has no end"))?;
        let rows = block.lines().filter_map(|line| line.strip_prefix('|')?.strip_suffix('|'));
        Ok(Self { name, rows: rows.map(|row| row.split('|').map(str::trim).collect()).collect() })
    }

    /// The first number where the row of that name meets the first column whose head holds these words.
    fn cell(&self, row: &str, column: &str) -> Result<f64> {
        let place = || format!("`{row}`, {column} in the table of `{}`", self.name);
        let head = self.rows.first().with_context(place)?;
        let at = head.iter().position(|cell| cell.contains(column)).with_context(place)?;
        let found = self.rows.iter().find(|cells| cells.first() == Some(&row)).with_context(place)?;
        let text = found.get(at).with_context(place)?.trim_start_matches('*');
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        text.get(..end).and_then(|number| number.parse().ok()).with_context(place)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::model) const PAGE: &str = "\
<!-- made by make bench -->

| scenario | what | server CPU or memory (lowest–highest) | rate |
|---|---|---|---|
| idle-tls | x | **10.00** KiB (9.00–11.00) |  |
| login-tls | x | **0.40** ms (0.30–0.50) | 5/s |
| presence | x | **10.00** µs (9.00–11.00) |  |

<!-- end of what make bench makes -->
<!-- made by make bench-cluster -->

| chat | all Starling processes | sender's manager, µs | receiver's | both routers, µs | redis, µs | cassandra, µs |
|---|---|---|---|---|---|---|
| 1 in flight, both archives, XEP-0198 | **400.00** µs | 60.0 | 40.0 | 300.0 | 100.0 | 1000.0 |
| 16 in flight, both archives, XEP-0198 | **70.00** µs | 6.0 | 4.0 | 60.0 | 40.0 | 200.0 |

<!-- end of what make bench-cluster makes -->
";

    #[test]
    fn figures_are_found_by_the_names_of_rows_and_columns() {
        let figures = Figures::read(PAGE).unwrap();
        assert_eq!((figures.connection, figures.login, figures.presence), (10.0, 0.4, 10.0));
        assert_eq!(figures.sparse, Message { managers: 100.0, routers: 300.0, redis: 100.0, cql: 1000.0 });
        assert_eq!(figures.busy, Message { managers: 10.0, routers: 60.0, redis: 40.0, cql: 200.0 });
    }

    #[test]
    fn a_figure_that_is_not_there_is_named() {
        let error = format!("{:#}", Figures::read(&PAGE.replace("login-tls", "login")).unwrap_err());
        assert_eq!(error, "`login-tls`, server CPU in the table of `make bench`");
    }
}
