//! The replica: every record of the platform on this machine.
mod cache;
mod file;
mod journal;
mod pool;
mod read;
mod schema;
mod seal;
