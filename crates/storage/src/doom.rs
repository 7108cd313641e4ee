//! What a large transaction deletes and replaces, kept by position: see [`crate::txnbuf`].

use heliosdb_runtime::failpoint;
use heliosdb_types::Result;

use crate::core::Core;
use crate::metrics::Counters;
use crate::txnbuf::TxnBuffer;

impl Core {
    /// Has positions take the place of keys if a transaction has deleted or replaced too many rows to remember. A failure fails the
    /// next call, and nothing has changed.
    pub fn doom_if_large(&self, buffer: &mut TxnBuffer) -> Result<()> {
        // Half of it: what a spill leaves comes on top.
        if !buffer.ends_are_many(self.options.txn_spill_bytes / 2) {
            return Ok(());
        }
        buffer.finish_spill()?;
        failpoint("doom.begin")?;
        let rows = buffer.doom(&self.version.load_full())?;
        Counters::add(&self.counters.doomed_rows, rows);
        Ok(())
    }
}
