//! Values as PostgreSQL's text: what clients type and what they see.

mod bytes;
mod number;
mod read;
mod write;

pub use number::{write_float4, write_float8};
pub use read::{fit_text, parse_bool, parse_text};
pub use write::{text_of, write_text};

/// White space as C's `isspace` has it.
pub(crate) fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t'..='\r')
}
