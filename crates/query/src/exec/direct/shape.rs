//! The columns a read of a table gives, and batches of its rows.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::builder::BinaryViewBuilder;
use arrow_schema::{DataType, SchemaRef};
use datafusion::logical_expr::TableScan;
use heliosdb_contracts::{RowHint, RowRef, RowSink, arrow_type};
use heliosdb_types::{ColumnId, DatumRef, Error, PhysicalType, Result};

use super::step::{unnamed, with_schema};
use crate::catalog::Relation;
use crate::exec::arrays::ColumnBuilder;
use crate::exec::table::HeliosTable;

/// What is read of each row.
pub(super) struct RowShape {
    pub columns: Vec<ColumnId>,
    types: Vec<PhysicalType>,
    /// Where the row reference goes.
    reference: Option<usize>,
    schema: SchemaRef,
}

impl RowShape {
    pub fn of(scan: &TableScan, table: &HeliosTable) -> Option<RowShape> {
        let relation: &Relation = table.relation();
        let all = || (0..datafusion::catalog::TableProvider::schema(table).fields().len()).collect();
        let projection: Vec<usize> = scan.projection.clone().unwrap_or_else(all);
        let stored = projection.iter().filter_map(|&at| relation.columns.get(at));
        let types = stored.clone().map(|column| column.sql_type.physical()).collect::<Option<Vec<_>>>()?;
        // One past the columns is the row reference.
        let reference = projection.iter().position(|&at| at >= relation.columns.len());
        let mut given: Vec<DataType> = types.iter().map(|physical| arrow_type(*physical)).collect();
        if let Some(place) = reference {
            given.insert(place, DataType::BinaryView);
        }
        let columns = stored.map(|column| column.id).collect();
        Some(RowShape { columns, types, reference, schema: unnamed(given.into_iter()) })
    }

    /// The column at a place of the batch, if it is one of the table's.
    pub fn column_at(&self, place: usize) -> Option<ColumnId> {
        match self.reference {
            Some(reference) if reference == place => None,
            Some(reference) if reference < place => self.columns.get(place - 1).copied(),
            _ => self.columns.get(place).copied(),
        }
    }

    pub fn rows(&self, capacity: usize) -> Rows<'_> {
        Rows {
            shape: self,
            columns: self.types.iter().map(|physical| ColumnBuilder::new(*physical, capacity)).collect(),
            references: BinaryViewBuilder::with_capacity(if self.reference.is_some() { capacity } else { 0 }),
            count: 0,
        }
    }
}

/// Rows being read.
pub(super) struct Rows<'a> {
    shape: &'a RowShape,
    columns: Vec<ColumnBuilder>,
    references: BinaryViewBuilder,
    pub count: usize,
}

impl<'a> Rows<'a> {
    pub fn push(&mut self, key: &[u8], values: &[DatumRef<'_>], hint: RowHint) -> Result<()> {
        if values.len() != self.columns.len() {
            return Err(Error::internal("a read gave another row than asked for"));
        }
        for (column, value) in self.columns.iter_mut().zip(values) {
            column.push(*value)?;
        }
        if self.shape.reference.is_some() {
            let mut bytes = Vec::new();
            RowRef { hint, key }.encode(&mut bytes);
            self.references.append_value(bytes);
        }
        self.count += 1;
        Ok(())
    }

    /// Takes the row of a key.
    pub fn of_key<'b>(&'b mut self, key: &'b [u8]) -> impl RowSink + use<'a, 'b> {
        OfKey { rows: self, key }
    }

    pub fn finish(mut self) -> Result<RecordBatch> {
        let mut columns: Vec<_> = self.columns.into_iter().map(ColumnBuilder::finish).collect();
        if let Some(place) = self.shape.reference {
            columns.insert(place, Arc::new(self.references.finish()));
        }
        with_schema(Arc::clone(&self.shape.schema), columns, self.count)
    }
}

struct OfKey<'a, 'b> {
    rows: &'b mut Rows<'a>,
    key: &'b [u8],
}

impl RowSink for OfKey<'_, '_> {
    fn row(&mut self, values: &[DatumRef<'_>], reference: RowHint) -> Result<()> {
        self.rows.push(self.key, values, reference)
    }
}
