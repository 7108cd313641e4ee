//! Foreign keys while rows are written.
//!
//! A new or changed child row looks for its parent as it is now and holds it with FOR KEY SHARE until its transaction ends: at once,
//! at the end of the statement where the table refers to itself, or, if the constraint is deferred, when the session asks. What
//! deleting or changing a parent's key means for its children is a statement of its own, which the session runs after this one.

mod check;
mod events;

pub(crate) use check::{FirstBytes, ForeignSpec, ReferencedSpec, can_refer};
pub use check::{ForeignCheck, ForeignWrite, Referenced};
pub use events::References;
pub(crate) use events::{ChildEvent, ConstraintModes, ParentEvent};
