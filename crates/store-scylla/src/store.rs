//! The store: one connection to the servers, behind all durable ports.

use std::sync::Arc;

use starling_ports::clock::Clock;

use crate::Config;
use crate::archive::Buckets;
use crate::client::Client;
use crate::connect::{self, Server};
use crate::error::ConnectError;
use crate::schema;
use crate::stamps::Stamps;

/// Archive, spool, positions, accounts, rosters, block lists, preferences, documents and last activities.
pub struct Store {
    pub(crate) client: Client,
    pub(crate) buckets: Buckets,
    pub(crate) stamps: Stamps,
    server: Server,
}

impl Store {
    /// Connects. Tables must be there, and of a version that this program can use: see `migrate`.
    pub async fn connect(config: &Config) -> Result<Arc<Store>, ConnectError> {
        config.check()?;
        let session = connect::session(config).await?;
        let found = schema::check(schema::read(&session, &config.keyspace).await?, &config.keyspace)?;
        let server = connect::server(&session).await?;
        let statements = connect::statements(&session, config).await?;
        Ok(Arc::new(Store {
            client: Client::new(session, statements),
            buckets: Buckets::new(found.bucket),
            stamps: Stamps::default(),
            server,
        }))
    }

    /// What is written from now on is ordered by this clock; to be called once, before anything is written. Without it that is the
    /// machine's: where several machines write, one whose clock is ahead would undo what others write after it (session-log rule 14).
    pub fn keep_time(&self, clock: Arc<dyn Clock>) {
        self.stamps.keep_time(clock);
    }

    /// Which server answers, with its version.
    pub fn server(&self) -> String {
        self.server.to_string()
    }

    /// How many CQL statements were sent since the start; a batch is one.
    pub fn statements(&self) -> u64 {
        self.client.sent()
    }
}
