//! The promises of one process: kill -9 under load, and what must be there afterwards.

mod acks;
mod archive;
mod device;
mod disk;
mod rounds;
mod sender;
mod setup;
mod stop;
mod stream;
