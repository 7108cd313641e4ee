//! Trees and the shapes their rows have had.

use std::sync::Arc;

use heliosdb_contracts::{TreeDescriptorRef, TreeKey};
use heliosdb_types::{
    ColumnId, CommitTs, Datum, DatumRef, Error, PhysicalType, Result, RowLayout, RowView, SchemaVersion,
};
use smallvec::SmallVec;

/// A descriptor with what is computed from it once.
#[derive(Debug)]
pub(crate) struct Shape {
    pub descriptor: TreeDescriptorRef,
    pub layout: RowLayout,
    pub columns: Vec<ColumnId>,
    pub types: Vec<PhysicalType>,
}

/// Every shape of a tree, oldest first. Never changed in place.
#[derive(Clone, Debug)]
pub(crate) struct TreeState {
    shapes: Vec<Arc<Shape>>,
    pub dropped: Option<CommitTs>,
}

impl Shape {
    pub fn new(descriptor: TreeDescriptorRef) -> Shape {
        let types = descriptor.physical_types();
        let columns = descriptor.columns.iter().map(|column| column.id).collect();
        Shape { layout: RowLayout::new(&types), columns, types, descriptor }
    }
}

impl TreeState {
    pub fn new(descriptor: TreeDescriptorRef) -> TreeState {
        TreeState { shapes: vec![Arc::new(Shape::new(descriptor))], dropped: None }
    }

    pub fn newest(&self) -> &Arc<Shape> {
        self.shapes.last().expect("a tree has a shape")
    }

    pub fn shape(&self, version: SchemaVersion) -> Result<&Arc<Shape>> {
        // Almost always the newest.
        let found = self.shapes.iter().rev().find(|shape| shape.descriptor.version == version);
        let tree = self.newest().descriptor.tree;
        found.ok_or_else(|| Error::corrupt(format!("tree {tree} has rows of an unknown version {version}")))
    }

    pub fn descriptors(&self) -> impl Iterator<Item = &TreeDescriptorRef> {
        self.shapes.iter().map(|shape| &shape.descriptor)
    }

    /// With one more shape. Defining a version again (a replay) changes nothing.
    pub fn with(&self, descriptor: TreeDescriptorRef) -> Result<TreeState> {
        let newest = &self.newest().descriptor;
        if self.shapes.iter().any(|shape| shape.descriptor.version == descriptor.version) {
            return Ok(self.clone());
        }
        if descriptor.version < newest.version || descriptor.key != newest.key {
            let message = format!("tree {}: version {} cannot follow", newest.tree, descriptor.version);
            return Err(Error::internal(message));
        }
        let mut more = self.clone();
        more.shapes.push(Arc::new(Shape::new(descriptor)));
        Ok(more)
    }

    /// Type of a column, whatever version it belongs to.
    pub fn physical(&self, column: ColumnId) -> Option<PhysicalType> {
        self.shapes.iter().rev().find_map(|shape| shape.descriptor.column(column)).map(|column| column.physical)
    }

    /// What rows without the column hold.
    pub fn missing(&self, column: ColumnId) -> Datum {
        let columns = self.shapes.iter().rev().find_map(|shape| shape.descriptor.column(column));
        columns.and_then(|column| column.missing.clone()).unwrap_or(Datum::Null)
    }

    fn missing_ref(&self, column: ColumnId) -> DatumRef<'_> {
        let found = self.shapes.iter().rev().find_map(|shape| shape.descriptor.column(column));
        found.and_then(|column| column.missing.as_ref()).map_or(DatumRef::Null, Datum::as_ref)
    }

    /// The wanted columns of one row; for several rows of a shape, see [`Projection`].
    pub fn row_values<'a>(
        &'a self,
        version: SchemaVersion,
        row: &'a [u8],
        columns: &[ColumnId],
    ) -> Result<SmallVec<[DatumRef<'a>; 16]>> {
        let shape = self.shape(version)?;
        let view = RowView::new(&shape.layout, row)?;
        let mut values = SmallVec::with_capacity(columns.len());
        // Mostly columns are asked for in their order.
        let mut next = 0;
        for &id in columns {
            let guessed = shape.descriptor.columns.get(next).is_some_and(|column| column.id == id);
            let position = if guessed { Some(next) } else { shape.descriptor.position(id) };
            values.push(match position {
                Some(position) => {
                    next = position + 1;
                    view.get(position)?
                }
                None if self.physical(id).is_some() => self.missing_ref(id),
                None => return Err(Error::internal(format!("tree {} has no column {id}", shape.descriptor.tree))),
            });
        }
        Ok(values)
    }

    pub fn is_row_id(&self) -> bool {
        self.newest().descriptor.key == TreeKey::RowId
    }
}

/// Where the wanted columns are in rows of one shape.
pub(crate) struct Projection {
    shape: Arc<Shape>,
    sources: SmallVec<[Source; 16]>,
}

enum Source {
    Stored(usize),
    Missing(Datum),
}

impl Projection {
    pub fn new(state: &TreeState, version: SchemaVersion, columns: &[ColumnId]) -> Result<Projection> {
        let shape = state.shape(version)?.clone();
        // Mostly columns are asked for in their order.
        let mut next = 0;
        let mut position = |id: ColumnId| {
            let guessed = shape.descriptor.columns.get(next).filter(|column| column.id == id).map(|_| next);
            let found = guessed.or_else(|| shape.descriptor.position(id));
            next = found.map_or(next, |at| at + 1);
            found
        };
        let source = |&id: &ColumnId| match position(id) {
            Some(position) => Ok(Source::Stored(position)),
            None if state.physical(id).is_some() => Ok(Source::Missing(state.missing(id))),
            None => Err(Error::internal(format!("tree {} has no column {id}", shape.descriptor.tree))),
        };
        let sources = columns.iter().map(source).collect::<Result<_>>()?;
        Ok(Projection { shape, sources })
    }

    pub fn version(&self) -> SchemaVersion {
        self.shape.descriptor.version
    }

    /// The wanted values of a row.
    pub fn values<'a>(&'a self, row: &'a [u8]) -> Result<SmallVec<[DatumRef<'a>; 16]>> {
        let view = RowView::new(&self.shape.layout, row)?;
        let mut values = SmallVec::with_capacity(self.sources.len());
        for source in &self.sources {
            values.push(match source {
                Source::Stored(position) => view.get(*position)?,
                Source::Missing(value) => value.as_ref(),
            });
        }
        Ok(values)
    }
}
