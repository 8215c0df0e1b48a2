//! Asking the servers: every request of a port goes through here, with its deadline, and is counted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use scylla::client::session::Session;
use scylla::deserialize::row::DeserializeRow;
use scylla::errors::ExecutionError;
use scylla::response::query_result::{QueryResult, QueryRowsResult};
use scylla::serialize::row::SerializeRow;
use scylla::statement::SerialConsistency;
use scylla::statement::batch::{Batch, BatchType};
use scylla::statement::prepared::PreparedStatement;
use starling_ports::{Result, StoreError};

use crate::error::{corrupt, unavailable};
use crate::lwt::{self, Decision};
use crate::metrics::Metrics;
use crate::schema::Statements;

/// What a statement does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Changes nothing.
    Read,
    /// May be repeated: it says the same again.
    Write,
    /// Changes something on a condition (IF …).
    Decision,
}

/// Values of one statement in a batch.
pub(crate) type Values<'a> = Box<dyn SerializeRow + Send + Sync + 'a>;

/// Several changes of one partition, made together.
#[derive(Default)]
pub(crate) struct Changes<'a> {
    statements: Vec<PreparedStatement>,
    values: Vec<Values<'a>>,
}

impl<'a> Changes<'a> {
    pub(crate) fn add(
        &mut self,
        statement: &PreparedStatement,
        values: impl SerializeRow + Send + Sync + 'a,
    ) {
        self.statements.push(statement.clone());
        self.values.push(Box::new(values));
    }
    pub(crate) fn len(&self) -> usize {
        self.statements.len()
    }
    pub(crate) fn is_empty(&self) -> bool {
        self.statements.is_empty()
    }
    /// Unlogged: all is in one partition, so all of it is written or nothing.
    fn into_batch(self) -> (Batch, Vec<Values<'a>>) {
        let mut batch = Batch::new(BatchType::Unlogged);
        if let Some(first) = self.statements.first() {
            batch.set_execution_profile_handle(first.get_execution_profile_handle().cloned());
        }
        for statement in self.statements {
            batch.append_statement(statement);
        }
        (batch, self.values)
    }
}

/// The session with its statements.
pub(crate) struct Client {
    session: Session,
    pub(crate) statements: Statements,
    metrics: Metrics,
    sent: AtomicU64,
}

impl Client {
    pub(crate) fn new(session: Session, statements: Statements) -> Client {
        Client { session, statements, metrics: Metrics::new(), sent: AtomicU64::new(0) }
    }

    /// How many statements were sent; a batch is one.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    async fn counted(
        &self,
        kind: Kind,
        request: impl Future<Output = Result<QueryResult, ExecutionError>>,
    ) -> Result<QueryResult, ExecutionError> {
        self.sent.fetch_add(1, Ordering::Relaxed);
        let begun = Instant::now();
        let answer = request.await;
        self.metrics.answered(kind, begun.elapsed(), answer.is_ok());
        answer
    }

    /// The rows that `statement` finds; statements have a limit, or read one bounded partition.
    pub(crate) async fn read<'s, V: SerializeRow>(
        &self,
        statement: &'s PreparedStatement,
        values: V,
    ) -> Result<Found<'s, V>> {
        let answer = self.counted(Kind::Read, self.session.execute_unpaged(statement, &values)).await;
        let rows = answer.map_err(unavailable)?.into_rows_result().map_err(unavailable)?;
        Ok(Found { rows, statement, values })
    }

    /// Once this returns `Ok`, a quorum of the row's servers has it.
    pub(crate) async fn write(&self, statement: &PreparedStatement, values: impl SerializeRow) -> Result<()> {
        let answer = self.counted(Kind::Write, self.session.execute_unpaged(statement, values)).await;
        answer.map(drop).map_err(unavailable)
    }

    /// All `changes` or none.
    pub(crate) async fn write_all(&self, changes: Changes<'_>) -> Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        let (mut batch, values) = changes.into_batch();
        batch.set_is_idempotent(true);
        let answer = self.counted(Kind::Write, self.session.batch(&batch, values)).await;
        answer.map(drop).map_err(unavailable)
    }

    /// Whether the condition held, and so the change was made.
    pub(crate) async fn decide(&self, statement: &PreparedStatement, values: impl SerializeRow) -> Decision {
        let answer = self.counted(Kind::Decision, self.session.execute_unpaged(statement, values)).await;
        lwt::decision(answer)
    }

    /// The same for `changes`, of which one has a condition.
    pub(crate) async fn decide_all(&self, changes: Changes<'_>) -> Decision {
        let (mut batch, values) = changes.into_batch();
        batch.set_serial_consistency(Some(SerialConsistency::LocalSerial));
        let answer = self.counted(Kind::Decision, self.session.batch(&batch, values)).await;
        lwt::decision(answer)
    }

    /// Counts what cannot be read, and says where it is. The token of its partition finds it, and names no account.
    pub(crate) fn corrupt(&self, what: &'static str, place: Place<'_>) -> StoreError {
        self.metrics.corrupt.increment(1);
        let table = place.statement.get_table_spec().map(|table| table.table_name());
        let token = place.statement.calculate_token(&place.values).ok().flatten().map(|token| token.value());
        tracing::error!(what, table, token, "a stored row cannot be read");
        corrupt(what)
    }
}

/// Where rows are.
#[derive(Clone, Copy)]
pub(crate) struct Place<'s> {
    statement: &'s PreparedStatement,
    /// They may name one partition.
    values: &'s dyn SerializeRow,
}

impl<'s> Place<'s> {
    /// Where `statement` looks.
    pub(crate) fn of(statement: &'s PreparedStatement, values: &'s dyn SerializeRow) -> Place<'s> {
        Place { statement, values }
    }
}

/// Rows of an answer.
pub(crate) struct Found<'s, V> {
    rows: QueryRowsResult,
    statement: &'s PreparedStatement,
    values: V,
}

impl<V: SerializeRow> Found<'_, V> {
    pub(crate) fn place(&self) -> Place<'_> {
        Place::of(self.statement, &self.values)
    }

    /// All of them; `None` for a row of another form.
    pub(crate) fn rows<'a, R: DeserializeRow<'a, 'a>>(&'a self) -> impl Iterator<Item = Option<R>> {
        let rows = self.rows.rows::<R>().ok();
        let broken = rows.is_none().then_some(None);
        broken.into_iter().chain(rows.into_iter().flatten().map(Result::ok))
    }

    /// The only one.
    pub(crate) fn first<'a, R: DeserializeRow<'a, 'a>>(&'a self) -> Option<Option<R>> {
        self.rows().next()
    }
}
