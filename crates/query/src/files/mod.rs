//! Files as tables: `FROM 'dir/*.parquet'`, CSV and JSON.
//!
//! Binding is not where files are read: a file that a statement names is looked at first, off the session's thread ([`look`]), and what
//! was found is bound like a table ([`table`]). Who may read what is decided when it is looked at and again when it is read
//! ([`rights`]). Nothing is remembered from one execution to the next, so that a file that changed is read as it is.

mod look;
mod rights;
mod scan;
mod source;
mod table;
mod text_rows;

pub(crate) use look::{FileLooks, FileRequest};
pub(crate) use rights::FileRights;
pub(crate) use scan::FileScanExec;
pub(crate) use table::FileTable;
