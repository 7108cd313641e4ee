//! A table that is whatever batch was put into it: how rows reach the engine when COPY cannot write them itself.

use std::fmt;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::catalog::{Session as DfSession, TableProvider};
use datafusion::common::Result as DfResult;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use heliosdb_contracts::arrow_type;
use heliosdb_types::{ColumnId, Error, Oid, Result};
use parking_lot::Mutex;

use crate::catalog::{
    CatalogSnapshot, Column, Identity, Relation, RelationAccess, RelationKind, Schema as CatalogSchema, SchemaFacts,
    VirtualTable,
};

/// Names no client can have made: they are folded and quoted away.
pub(crate) const SOURCE_SCHEMA: &str = "\u{1}copy";
pub(crate) const SOURCE_TABLE: &str = "source";
const SOURCE_OID: Oid = Oid(1);

/// The batch of the moment.
pub(crate) struct BatchTable {
    schema: SchemaRef,
    batch: Mutex<Option<RecordBatch>>,
}

impl fmt::Debug for BatchTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BatchTable")
    }
}

impl BatchTable {
    pub fn new(columns: &[Column]) -> Result<Arc<BatchTable>> {
        let fields = columns.iter().map(|column| {
            let physical = column.sql_type.physical().ok_or_else(|| Error::internal("a column without storage"))?;
            Ok(Field::new(&column.name, arrow_type(physical), true))
        });
        let schema = Arc::new(Schema::new(fields.collect::<Result<Vec<_>>>()?));
        Ok(Arc::new(BatchTable { schema, batch: Mutex::new(None) }))
    }

    pub fn schema_ref(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    pub fn put(&self, batch: RecordBatch) {
        *self.batch.lock() = Some(batch);
    }

    /// A catalog in which this table can be named.
    pub fn in_catalog(self: &Arc<Self>, catalog: &CatalogSnapshot, columns: &[Column]) -> CatalogSnapshot {
        let mut catalog = catalog.clone();
        let columns = columns.iter().zip(1i16..).map(|(column, attribute)| Column {
            attribute,
            id: ColumnId(attribute as u32),
            not_null: false,
            default: None,
            identity: Identity::No,
            generated: false,
            ..column.clone()
        });
        let schema = CatalogSchema {
            oid: SOURCE_OID,
            name: SOURCE_SCHEMA.to_owned(),
            owner: Oid(10),
            facts: SchemaFacts::default(),
        };
        let relation = Relation {
            oid: SOURCE_OID,
            schema: SOURCE_OID,
            name: SOURCE_TABLE.to_owned(),
            owner: Oid(10),
            columns: columns.collect(),
            kind: RelationKind::Virtual(VirtualTable { provider: Arc::clone(self) as Arc<dyn TableProvider> }),
            access: RelationAccess::default(),
        };
        catalog.schemas.insert(SOURCE_OID, Arc::new(schema));
        catalog.names.insert((SOURCE_OID, SOURCE_TABLE.to_owned()), SOURCE_OID);
        catalog.relations.insert(SOURCE_OID, Arc::new(relation));
        catalog
    }
}

#[async_trait]
impl TableProvider for BatchTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    async fn scan(
        &self,
        _state: &dyn DfSession,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let batches = vec![self.batch.lock().clone().into_iter().collect::<Vec<_>>()];
        let plan = MemorySourceConfig::try_new_exec(&batches, Arc::clone(&self.schema), projection.cloned())?;
        Ok(plan)
    }
}
