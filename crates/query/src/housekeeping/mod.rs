//! CHECK and BACKUP: the statements of whoever looks after the database.

mod backup;
mod check;
mod tar;

pub(crate) use backup::Backups;
