//! Writing what ALTER TABLE made: the new definition, the rows in their new shape, the checks of what they must fulfil.

use std::sync::Arc;

use heliosdb_contracts::TreeDescriptor;
use heliosdb_types::{Error, Oid, Result, SchemaVersion, SqlState, TreeRef};

use super::Change;
use super::constraints::violated;
use crate::bind;
use crate::catalog::{
    CatalogWriter, Identity, IndexInfo, Relation, RelationKind, Schema, SchemaFacts, TableInfo, describe_tree,
};
use crate::ddl::duplicate_relation;
use crate::exec::{ConstraintModes, References, entry_tree};
use crate::pg_catalog::quote_identifier;
use crate::session::Session;

impl Session {
    /// Writes the new definition, moves the rows if they must move, and checks what they must fulfil.
    pub(super) async fn store(&mut self, mut change: Change) -> Result<()> {
        let old = Arc::clone(&change.old);
        let old_tree = Arc::clone(&old.table().ok_or_else(|| Error::internal("ALTER TABLE changes tables"))?.tree);
        let mut writer = self.catalog_writer()?;
        let rewriting = change.rewrite.is_some();
        if rewriting {
            let shape = change.new.clone();
            for index in &mut change.table_mut()?.indexes {
                index.tree = writer.shard.allocate_tree_id()?;
                index.made_again();
                self.settle_types(&shape, index)?;
            }
        }
        let tree = if change.rewrite.is_some() {
            TreeRef::new(writer.database, writer.shard.allocate_tree_id()?)
        } else {
            old_tree.tree
        };
        let version = if change.rewrite.is_some() { SchemaVersion(1) } else { SchemaVersion(old_tree.version.0 + 1) };
        let key = change.table()?.primary_key.clone();
        let mut descriptor = describe_tree(tree, version, &change.new.columns, key.as_ref())?;
        if change.rewrite.is_none() {
            keep_missing(&mut descriptor, &change.table()?.tree);
        }
        change.table_mut()?.tree = Arc::new(descriptor);
        let new = Arc::new(change.new);
        let table = new.table().ok_or_else(|| Error::internal("ALTER TABLE changes tables"))?;
        if change.rewrite.is_some() || change.reshaped {
            writer.shard.define_tree(writer.txn, writer.command, Arc::clone(&table.tree))?;
            writer.next_command();
        } else {
            // Only the definition changed: the tree stays at its version.
            return self.store_definition(writer, &new, &old_tree).await;
        }
        if rewriting {
            self.recheck_key_types(&new)?;
        }
        let before: Vec<Oid> = old.table().map_or(&[][..], |t| &t.foreign_keys).iter().map(|key| key.oid).collect();
        let fresh: Vec<_> = table.foreign_keys.iter().filter(|key| !before.contains(&key.oid)).cloned().collect();
        let added = move_index_trees(&mut writer, &old, &new, &change.released, rewriting).await?;
        writer.update_relation(&new).await?;
        self.renumber_parents(&mut writer, &fresh, new.oid).await?;
        self.catalog_written(&writer);
        if !rewriting {
            for index in &added {
                let shown = self.show_build(&new, index, "CREATE INDEX");
                self.fill_index(&new, index, &shown).await?;
            }
        }
        if let Some(rewrite) = &change.rewrite {
            self.move_rows(&old, &new, rewrite).await?;
            let mut writer = self.catalog_writer()?;
            writer.shard.drop_tree(writer.txn, writer.command, old_tree.tree)?;
            writer.next_command();
            self.catalog_written(&writer);
        }
        if change.rewrite.is_some() {
            for check in table.checks.iter().filter(|check| check.validated) {
                change.validations.push(violated(check, &new.name));
            }
        }
        for key in &change.foreign_validations {
            self.validate_foreign_key(&new, key).await?;
        }
        for index in &change.unique_validations {
            self.validate_unique(&new, index).await?;
        }
        let name = self.qualified(&new)?;
        for (condition, error) in change.validations {
            let sql = format!("SELECT 1 FROM {name} WHERE ({condition}) IS NOT TRUE LIMIT 1");
            let (_, batches) = self.query(&sql).await?;
            if batches.iter().any(|batch| batch.num_rows() > 0) {
                return Err(error);
            }
        }
        Ok(())
    }

    async fn store_definition(
        &mut self,
        mut writer: CatalogWriter,
        new: &Relation,
        tree: &Arc<TreeDescriptor>,
    ) -> Result<()> {
        let RelationKind::Table(table) = &new.kind else { return Err(Error::internal("ALTER TABLE changes tables")) };
        let table = TableInfo { tree: Arc::clone(tree), ..table.clone() };
        writer.update_relation(&Relation { kind: RelationKind::Table(table), ..new.clone() }).await?;
        self.catalog_written(&writer);
        Ok(())
    }

    /// Inserts every row of the old shape into the new one, through the engine: constraints hold as for any INSERT.
    async fn move_rows(&mut self, old: &Arc<Relation>, new: &Relation, rewrite: &[(i16, String)]) -> Result<()> {
        const OLD_SCHEMA: &str = "\u{1}alter";
        let written = new.columns.iter().filter(|column| !column.generated);
        let targets: Vec<String> = written.clone().map(|column| quote_identifier(&column.name)).collect();
        let expressions = written.map(|column| {
            let given = rewrite.iter().find(|(attribute, _)| *attribute == column.attribute);
            let before = old.columns.iter().find(|before| before.attribute == column.attribute);
            match (given, before) {
                (Some((_, expression)), _) => expression.clone(),
                (None, Some(before)) => quote_identifier(&before.name),
                // A new column whose default is the same for every row.
                (None, None) => column.default.clone().unwrap_or_else(|| "NULL".to_owned()),
            }
        });
        let expressions = expressions.collect::<Vec<_>>().join(", ");
        let mut catalog = (*self.catalog()?).clone();
        let schema =
            Schema { oid: Oid(1), name: OLD_SCHEMA.to_owned(), owner: old.owner, facts: SchemaFacts::default() };
        let hidden = Relation { oid: Oid(1), schema: Oid(1), ..(**old).clone() };
        catalog.schemas.insert(Oid(1), Arc::new(schema));
        catalog.names.insert((Oid(1), hidden.name.clone()), Oid(1));
        let old_name = quote_identifier(&hidden.name);
        catalog.relations.insert(Oid(1), Arc::new(hidden));
        let target = self.qualified(new)?;
        // Identity columns take the values they have.
        if let Some(relation) = catalog.relations.get_mut(&new.oid) {
            let mut plain = (**relation).clone();
            if let RelationKind::Table(table) = &mut plain.kind {
                // Rows that only move refer to what they referred to.
                table.foreign_keys.clear();
            }
            plain.columns.iter_mut().for_each(|column| column.identity = Identity::No);
            // Checks are looked at when all rows are there, so that the error is about the table and not about one row.
            if let RelationKind::Table(table) = &mut plain.kind {
                table.checks.clear();
            }
            *relation = Arc::new(plain);
        }
        let targets = targets.join(", ");
        let sql = format!("INSERT INTO {target} ({targets}) SELECT {expressions} FROM \"{OLD_SCHEMA}\".{old_name}");
        let statement = bind::parse(&sql)?.pop().ok_or_else(|| Error::internal("an INSERT of our own"))?.statement;
        let mut binding = self.binding()?;
        binding.catalog = Arc::new(catalog);
        let bound = bind::bind_statement(&statement, &sql, &binding.context(&[])).map_err(Error::without_position)?;
        let running = self.start_cancellable();
        let mut scope = (*self.newest_scope(&running)?).clone();
        // Nothing waits: the table is another one when the transaction ends.
        let modes = ConstraintModes { all: Some(false), ..ConstraintModes::default() };
        scope.references = Arc::new(References::with_modes(modes));
        let scope = Arc::new(scope);
        self.next_command();
        let engine = Arc::clone(&self.engine);
        let moved = engine.executor.run_write(&bound.plan, Vec::new(), &[], scope).await;
        match moved {
            Err(error) if error.state() == SqlState::NOT_NULL_VIOLATION => {
                let column = error.column().unwrap_or_default().to_owned();
                let message = format!("column \"{column}\" of relation \"{}\" contains null values", new.name);
                Err(Error::conflict(SqlState::NOT_NULL_VIOLATION, message)
                    .with_table(new.name.clone())
                    .with_column(column))
            }
            moved => moved.map(|_| ()),
        }
    }
}

/// Names and trees of indexes that came, went or were renamed. Returns those that came; in a rewrite all trees are new, and the
/// rows that move fill them.
async fn move_index_trees(
    writer: &mut CatalogWriter,
    old: &Relation,
    new: &Relation,
    released: &[Oid],
    rewriting: bool,
) -> Result<Vec<IndexInfo>> {
    let (Some(before), Some(after)) = (old.table(), new.table()) else {
        return Err(Error::internal("ALTER TABLE changes tables"));
    };
    for index in &before.indexes {
        let kept = after.index(index.oid);
        if kept.is_none_or(|kept| kept.name != index.name) && !released.contains(&index.oid) {
            writer.release_relation_name(old.schema, &index.name).await?;
        }
        if kept.is_none_or(|kept| kept.tree != index.tree) {
            writer.shard.drop_tree(writer.txn, writer.command, before.index_tree(index))?;
            writer.next_command();
        }
    }
    let mut added = Vec::new();
    for index in &after.indexes {
        let known = before.index(index.oid);
        if known.is_none_or(|known| known.name != index.name)
            && !writer.take_relation_name(new.schema, &index.name, index.oid).await?
        {
            return Err(duplicate_relation(&index.name));
        }
        if rewriting {
            let tree = Arc::new(entry_tree(after.index_tree(index)));
            writer.shard.define_tree(writer.txn, writer.command, tree)?;
            writer.next_command();
        } else if known.is_none() {
            added.push(index.clone());
        }
    }
    Ok(added)
}

/// Carries over what older rows hold in columns added since.
fn keep_missing(descriptor: &mut TreeDescriptor, before: &TreeDescriptor) {
    for column in &mut descriptor.columns {
        if let Some(old) = before.columns.iter().find(|old| old.id == column.id) {
            column.missing = old.missing.clone();
        }
    }
}
