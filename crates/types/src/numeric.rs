//! Arbitrary-precision decimal numbers in an order-preserving byte form.

use serde::{Deserialize, Serialize};

/// PostgreSQL's bare `numeric`: exact, with display scale, NaN and infinities.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Numeric(Box<[u8]>);

impl Numeric {
    /// Wraps bytes this type has made before (a stored column); damaged bytes read as damaged numbers, never panic.
    pub fn from_bytes_unchecked(bytes: &[u8]) -> Numeric {
        Numeric(bytes.into())
    }

    /// The encoded form: memcmp order is numeric order; the display scale follows as a tie-breaker.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}
