//! Values that a function makes of one batch of rows: all are there at once, and no budget knows of them.

use heliosdb_types::{Error, Result, SqlState};

use super::check_cancelled;

/// Bytes between two looks whether the statement is cancelled.
const BYTES_A_LOOK: usize = 1 << 20;
/// More than this fails: rows come by thousands, and a server that has no memory left ends for everybody.
const BYTES_MAX: usize = 1 << 30;

/// Counts them.
#[derive(Debug, Default)]
pub(crate) struct LongValues {
    bytes: usize,
    looked_at: usize,
}

impl LongValues {
    /// One more value. 57014 if the statement is cancelled, 53200 if they are too much.
    pub(crate) fn made(&mut self, bytes: usize) -> Result<()> {
        self.bytes += bytes;
        if self.bytes - self.looked_at < BYTES_A_LOOK {
            return Ok(());
        }
        self.looked_at = self.bytes;
        if self.bytes > BYTES_MAX {
            let detail = "The values that a function makes of one batch of rows take more than 1 GB.";
            return Err(Error::unavailable(SqlState::OUT_OF_MEMORY, "out of memory")
                .with_detail(detail)
                .with_hint("Make shorter values, or fewer at a time."));
        }
        check_cancelled()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_of_values_has_a_limit() {
        let mut values = LongValues::default();
        for _ in 0..1024 {
            values.made(1 << 20).unwrap();
        }
        assert_eq!(values.made(1 << 20).unwrap_err().state(), SqlState::OUT_OF_MEMORY);
    }
}
