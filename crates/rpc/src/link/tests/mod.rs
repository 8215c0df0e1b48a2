//! Both ends of the link, over real sockets, with the real pipeline on the embedded store behind it.

mod bounds;
mod farewell;
mod half_done;
mod leave;
mod names;
mod peers;
mod recorded;
mod refusals;
mod renewed;
mod report;
mod resend;
mod setup;
