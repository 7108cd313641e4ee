//! Who may do what: the one place that decides.
//!
//! The binder lists what a statement needs ([`Required`]); each execution checks the list against the catalog of that moment, so a
//! cached plan never outlives a REVOKE. Definitions ask [`Rights`] directly. A superuser may do everything.

mod required;
mod rights;

pub(crate) use required::{Required, RequiredSet};
pub(crate) use rights::{Rights, denied, must_be_owner, noun, relation_kind};
