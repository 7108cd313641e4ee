//! Values as PostgreSQL's text.

/// White space as C's `isspace` has it.
pub(crate) fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t'..='\r')
}
