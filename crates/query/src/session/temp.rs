//! Temporary objects: they live in a schema of the session's own, searched before all others, and go with the session.
//!
//! They are ordinary relations otherwise: transactional, and written to the log. A session that ends drops its schema; what
//! a crash leaves behind is dropped at the next start.

use std::sync::Arc;

use heliosdb_contracts::{LockWait, ShardClient};
use heliosdb_types::{BranchId, CommandId, Error, Oid, Result, SqlState};

use super::Session;
use crate::catalog::{CatalogSnapshot, CatalogWriter, OnCommit, Schema};
use crate::engine::Engine;

/// How every session's schema begins.
pub(crate) const TEMP_PREFIX: &str = "pg_temp_";

impl Session {
    pub(crate) fn temp_schema_name(&self) -> String {
        format!("{TEMP_PREFIX}{}", self.temp_number)
    }

    /// Where names are looked for: `pg_temp` stands for the session's own schema, which comes first unless it is listed.
    pub(crate) fn search_path(&self) -> Vec<String> {
        let mut path = self.settings.search_path(&self.user.name);
        let mut listed = false;
        for schema in path.iter_mut().filter(|schema| *schema == "pg_temp") {
            listed = true;
            *schema = self.temp_schema_name();
        }
        if self.has_temp && !listed {
            path.insert(0, self.temp_schema_name());
        }
        path.retain(|schema| !self.hidden.2.contains(schema));
        path
    }

    /// The schema a new relation goes into.
    pub(crate) async fn target_schema(
        &mut self,
        temporary: bool,
        schema: Option<&str>,
        name: &str,
    ) -> Result<Arc<Schema>> {
        let own = self.temp_schema_name();
        let named_temp = schema.is_some_and(|schema| schema == "pg_temp" || schema == own);
        if temporary && schema.is_some() && !named_temp {
            return Err(Error::invalid(
                SqlState::INVALID_TABLE_DEFINITION,
                "cannot create temporary relation in non-temporary schema",
            ));
        }
        let first_temp = || self.settings.search_path(&self.user.name).first().is_some_and(|first| first == "pg_temp");
        if temporary || named_temp || (schema.is_none() && first_temp()) {
            return self.temp_schema().await;
        }
        self.creation_schema(schema, name)
    }

    async fn temp_schema(&mut self) -> Result<Arc<Schema>> {
        let name = self.temp_schema_name();
        if let Some(schema) = self.catalog()?.schema_named(&name) {
            return Ok(Arc::clone(schema));
        }
        let mut writer = self.catalog_writer()?;
        let schema = Schema { oid: writer.new_oid()?, name, owner: self.user.oid, facts: Default::default() };
        if !writer.create_schema(&schema).await? {
            return Err(Error::internal("another session has this one's temporary schema"));
        }
        self.catalog_written(&writer);
        self.has_temp = true;
        Ok(Arc::new(schema))
    }

    /// Whether a schema holds this session's temporary objects.
    pub(crate) fn is_temp(&mut self, schema: Oid) -> Result<bool> {
        let name = self.temp_schema_name();
        Ok(self.catalog()?.schemas.get(&schema).is_some_and(|schema| schema.name == name))
    }

    /// What ON COMMIT says, inside the transaction that commits.
    pub(crate) async fn end_temporary_rows(&mut self) -> Result<()> {
        let catalog = self.catalog()?;
        let Some(schema) = catalog.schema_named(&self.temp_schema_name()).map(|schema| schema.oid) else {
            return Ok(());
        };
        let mut tables: Vec<_> = catalog.relations.values().filter(|relation| relation.schema == schema).collect();
        tables.sort_by_key(|relation| relation.oid);
        for relation in tables {
            match relation.table().and_then(|table| table.on_commit) {
                Some(OnCommit::Delete) => {
                    let name = self.qualified(relation)?;
                    let (_, rows) = self.query(&format!("SELECT 1 FROM {name} LIMIT 1")).await?;
                    if rows.iter().any(|batch| batch.num_rows() > 0) {
                        self.empty_table(relation).await?;
                    }
                }
                Some(OnCommit::Drop) => self.drop_with_dependents(relation).await?,
                Some(OnCommit::Preserve) | None => {}
            }
        }
        Ok(())
    }

    /// DISCARD TEMP: drops everything temporary, in the session's transaction.
    pub(crate) async fn discard_temp(&mut self) -> Result<()> {
        let name = self.temp_schema_name();
        let catalog = self.catalog()?;
        if !self.has_temp || catalog.schema_named(&name).is_none() {
            return Ok(());
        }
        let mut writer = self.catalog_writer()?;
        drop_schema(&mut writer, &catalog, &name).await?;
        self.catalog_written(&writer);
        Ok(())
    }

    /// The session ends: its temporary objects go, in a transaction of their own behind it.
    pub(crate) fn leave_temp(&mut self) {
        if !std::mem::take(&mut self.has_temp) {
            return;
        }
        let (engine, database, name) = (Arc::clone(&self.engine), Arc::clone(&self.database), self.temp_schema_name());
        let spawner = heliosdb_runtime::Spawner::on(engine.options.analytics.clone());
        drop(spawner.task(async move {
            // A failure leaves the objects to the next start.
            let _ = drop_temp(&engine, database.id, &|schema| schema == name).await;
        }));
    }
}

/// Drops the temporary schemas that `which` names, with everything in them.
pub(crate) async fn drop_temp(
    engine: &Engine,
    database: heliosdb_types::DatabaseId,
    which: &(dyn Fn(&str) -> bool + Sync),
) -> Result<()> {
    let branch = BranchId(0);
    let catalog = engine.catalog(database, branch)?;
    let schemas: Vec<String> = catalog
        .schemas
        .values()
        .filter(|schema| schema.name.starts_with(TEMP_PREFIX) && which(&schema.name))
        .map(|schema| schema.name.clone())
        .collect();
    if schemas.is_empty() {
        return Ok(());
    }
    let shard: Arc<dyn ShardClient> = Arc::clone(&engine.shard);
    let txn = shard.begin(branch)?;
    let mut writer = CatalogWriter {
        shard: Arc::clone(&shard),
        branch,
        database,
        txn,
        command: CommandId(1),
        wait: LockWait::default(),
        defaults: Vec::new(),
    };
    for schema in schemas {
        if let Err(error) = drop_schema(&mut writer, &catalog, &schema).await {
            shard.rollback(txn);
            return Err(error);
        }
    }
    shard.commit(txn).await.map(|_| ())
}

async fn drop_schema(writer: &mut CatalogWriter, catalog: &CatalogSnapshot, name: &str) -> Result<()> {
    let Some(schema) = catalog.schema_named(name) else { return Ok(()) };
    crate::ddl::drop_schema_now(writer, catalog, schema).await
}
