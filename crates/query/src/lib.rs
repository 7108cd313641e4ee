//! SQL: parse, bind, plan, execute; sessions, catalog, DML. The only crate that names DataFusion.

// Modules are private to the crate; the API is the list of re-exports.
pub(crate) mod access;
pub(crate) mod analyze;
pub(crate) mod bind;
pub(crate) mod catalog;
pub(crate) mod copy;
pub(crate) mod ddl;
pub(crate) mod engine;
pub(crate) mod exec;
pub(crate) mod files;
pub(crate) mod func;
pub(crate) mod housekeeping;
pub(crate) mod index_builds;
mod pg_catalog;
pub(crate) mod session;
pub(crate) mod statistics;
#[cfg(test)]
pub(crate) mod testing;

pub use engine::{Engine, EngineOptions, EngineService};
