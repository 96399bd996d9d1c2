//! With real nodes: logins, encryption, permissions, tables that can't be copied, and what looking leaves as it is.

mod encryption;
mod future;
mod logins;
mod looking;
mod names;
mod permissions;
mod schedules;
mod schema;
mod secrets;
mod tables;
