//! The columns a read of a table gives, and batches of its rows.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, new_null_array};
use arrow_schema::{DataType, SchemaRef};
use datafusion::logical_expr::TableScan;
use heliosdb_contracts::{RowHint, RowRef, RowSink, arrow_type};
use heliosdb_types::{ColumnId, DatumRef, Error, PhysicalType, Result};

use super::step::{unnamed, with_schema};
use crate::catalog::Relation;
use crate::exec::arrays::ColumnBuilder;
use crate::exec::table::HeliosTable;

/// So many are made once.
const NULL_ROWS: usize = 16;

/// What is read of each row.
pub(super) struct RowShape {
    pub columns: Vec<ColumnId>,
    types: Vec<PhysicalType>,
    /// What each column of a batch is.
    places: Vec<Place>,
    schema: SchemaRef,
    /// One row of nothing but NULLs, and [`NULL_ROWS`].
    nulls: Vec<[ArrayRef; 2]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The column read at this position.
    Read(usize),
    Reference,
    /// Nobody looks at it: NULL.
    Unread,
}

impl RowShape {
    pub fn of(scan: &TableScan, table: &HeliosTable) -> Option<RowShape> {
        let relation: &Relation = table.relation();
        let all = || (0..datafusion::catalog::TableProvider::schema(table).fields().len()).collect();
        let projection: Vec<usize> = scan.projection.clone().unwrap_or_else(all);
        let stored = projection.iter().filter_map(|&at| relation.columns.get(at));
        let types = stored.clone().map(|column| column.sql_type.physical()).collect::<Option<Vec<_>>>()?;
        let mut read = 0;
        let place = |&at: &usize| {
            // One past the columns is the row reference.
            if at >= relation.columns.len() {
                return Place::Reference;
            }
            read += 1;
            Place::Read(read - 1)
        };
        let places: Vec<Place> = projection.iter().map(place).collect();
        let given = places.iter().map(|place| match place {
            Place::Read(at) => types.get(*at).map(|physical| arrow_type(*physical)),
            Place::Reference | Place::Unread => Some(DataType::BinaryView),
        });
        let schema = unnamed(given.collect::<Option<Vec<_>>>()?.into_iter());
        let columns = stored.map(|column| column.id).collect();
        let nulls = schema
            .fields()
            .iter()
            .map(|field| [1, NULL_ROWS].map(|rows| new_null_array(field.data_type(), rows)))
            .collect();
        Some(RowShape { columns, types, places, schema, nulls })
    }

    /// The column at a place of the batch, if it is one of the table's.
    pub fn column_at(&self, place: usize) -> Option<ColumnId> {
        match self.places.get(place)? {
            Place::Read(at) => self.columns.get(*at).copied(),
            Place::Reference | Place::Unread => None,
        }
    }

    /// Reads no more than these columns of the batch; the others are NULL.
    pub fn read_only(&mut self, needed: &BTreeSet<usize>) {
        let (columns, types) = (std::mem::take(&mut self.columns), std::mem::take(&mut self.types));
        for (at, place) in self.places.iter_mut().enumerate() {
            match *place {
                _ if !needed.contains(&at) => *place = Place::Unread,
                Place::Read(read) => {
                    *place = Place::Read(self.columns.len());
                    self.columns.extend(columns.get(read));
                    self.types.extend(types.get(read));
                }
                Place::Reference | Place::Unread => {}
            }
        }
    }

    /// Gives these places of a batch and no others. False, and nothing has changed: they are in another order, or not all that
    /// is read.
    pub fn give_only(&mut self, places: &[usize]) -> bool {
        let given = places.iter().map(|&at| Some((*self.places.get(at)?, self.nulls.get(at)?.clone())));
        let (Some(given), Ok(schema)) = (given.collect::<Option<Vec<_>>>(), self.schema.project(places)) else {
            return false;
        };
        let read = given.iter().filter(|(place, _)| matches!(place, Place::Read(_))).count();
        if !places.is_sorted_by(|one, next| one < next) || read != self.columns.len() {
            return false;
        }
        (self.places, self.nulls) = given.into_iter().unzip();
        self.schema = Arc::new(schema);
        true
    }

    /// Whether rows are given with their keys.
    pub fn has_reference(&self) -> bool {
        self.places.contains(&Place::Reference)
    }

    pub fn rows(&self, capacity: usize) -> Rows<'_> {
        Rows {
            shape: self,
            columns: self.types.iter().map(|physical| ColumnBuilder::new(*physical, capacity)).collect(),
            references: self.has_reference().then(|| ColumnBuilder::new(PhysicalType::Bytes, capacity)),
            count: 0,
        }
    }
}

/// Rows being read.
pub(super) struct Rows<'a> {
    shape: &'a RowShape,
    columns: Vec<ColumnBuilder>,
    references: Option<ColumnBuilder>,
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
        if let Some(references) = &mut self.references {
            let mut bytes = Vec::with_capacity(RowRef::HINT_LEN + key.len());
            RowRef { hint, key }.encode(&mut bytes);
            references.push(DatumRef::Bytes(&bytes))?;
        }
        self.count += 1;
        Ok(())
    }

    /// Takes the row of a key.
    pub fn of_key<'b>(&'b mut self, key: &'b [u8]) -> impl RowSink + use<'a, 'b> {
        OfKey { rows: self, key }
    }

    pub fn finish(mut self) -> Result<RecordBatch> {
        let mut read = self.columns.into_iter().map(ColumnBuilder::finish);
        let places = self.shape.places.iter().zip(&self.shape.nulls);
        let column = |(place, [one, few]): (&Place, &[ArrayRef; 2])| match place {
            // They come in the order of their places.
            Place::Read(_) => read.next(),
            Place::Reference => self.references.take().map(ColumnBuilder::finish),
            Place::Unread if self.count == 1 => Some(Arc::clone(one)),
            Place::Unread if self.count <= NULL_ROWS => Some(few.slice(0, self.count)),
            Place::Unread => Some(new_null_array(one.data_type(), self.count)),
        };
        let columns = places.map(column).collect::<Option<Vec<_>>>();
        let columns = columns.ok_or_else(|| Error::internal("a column of a read is missing"))?;
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
