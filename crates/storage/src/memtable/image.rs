//! Columns of a full chunk: made from its rows by the first scan that wants them, kept as long as the chunk.

use std::sync::Arc;

use heliosdb_hcc::{BlockView, ColumnEncoder, EncodeOptions, Encoding};
use heliosdb_types::{ColumnId, Error, Result};

use super::chunk::Chunk;
use crate::read::ColumnBuilder;
use crate::shape::{Projection, TreeState};

impl Chunk {
    /// A column of a full chunk, and the bytes it took if it was made now.
    pub fn column(&self, state: &TreeState, id: ColumnId) -> Result<(Arc<BlockView>, usize)> {
        if let Some(view) = self.images.read().get(&id) {
            return Ok((view.clone(), 0));
        }
        let physical = state.physical(id).ok_or_else(|| Error::internal(format!("no column {id} to read")))?;
        let mut builder = ColumnBuilder::new(physical, self.len());
        let mut projection: Option<Projection> = None;
        for version in self.versions() {
            let known = projection.take().filter(|projection| projection.version() == version.schema);
            let current = match known {
                Some(known) => known,
                None => Projection::new(state, version.schema, &[id])?,
            };
            for value in current.values(&version.row)? {
                builder.append(value)?;
            }
            projection = Some(current);
        }
        // Plain, for speed: the rows will be compressed when they are frozen.
        let options = EncodeOptions { force: Some(Encoding::Plain), ..EncodeOptions::default() };
        let block = ColumnEncoder::new(physical, options).encode(&builder.finish())?;
        let view = Arc::new(BlockView::open(block.bytes.into(), physical, self.len())?);
        let bytes = view.byte_len();
        // Two scans may have made it at once; one stays.
        let mut images = self.images.write();
        match images.get(&id) {
            Some(first) => Ok((first.clone(), 0)),
            None => {
                images.insert(id, view.clone());
                Ok((view, bytes))
            }
        }
    }
}
