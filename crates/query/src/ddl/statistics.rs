//! CREATE, ALTER and DROP STATISTICS: statistics of several columns, kept with their table's definition.

use std::sync::Arc;

use heliosdb_contracts::TreeLockMode;
use heliosdb_types::{Error, Oid, Result, SqlState, SqlType};
use sqlparser::ast;

use super::{LOOKS_MAX, changed_too_often, object_name_of};
use crate::access::{Rights, must_be_owner};
use crate::bind;
use crate::catalog::{
    CLASS_STATISTICS, CatalogSnapshot, CatalogWriter, CommentKey, ExtendedStatistics, Relation, RelationKind, Schema,
    StatisticsKind,
};
use crate::session::{Session, StatisticsStatement};

/// Columns of one object, as in PostgreSQL.
const COLUMNS_MAX: usize = 8;

impl Session {
    /// Runs one of them; its command tag.
    pub(crate) async fn define_statistics(&mut self, statement: &StatisticsStatement) -> Result<&'static str> {
        match statement {
            StatisticsStatement::Create { name, if_not_exists, kinds, columns, table } => {
                self.create_statistics(name.as_ref(), *if_not_exists, kinds, columns, table).await?;
                Ok("CREATE STATISTICS")
            }
            StatisticsStatement::Drop { names, if_exists } => {
                self.drop_statistics(names, *if_exists).await?;
                Ok("DROP STATISTICS")
            }
            StatisticsStatement::Rename { name, to } => {
                self.rename_statistics(name, &bind::fold_identifier(to)).await?;
                Ok("ALTER STATISTICS")
            }
            StatisticsStatement::Move { name, schema } => {
                self.move_statistics(name, &bind::fold_identifier(schema)).await?;
                Ok("ALTER STATISTICS")
            }
            StatisticsStatement::Give { name, owner } => {
                self.give_statistics(name, owner).await?;
                Ok("ALTER STATISTICS")
            }
            StatisticsStatement::Target { name, if_exists, target } => {
                self.aim_statistics(name, *if_exists, *target).await?;
                Ok("ALTER STATISTICS")
            }
        }
    }

    async fn create_statistics(
        &mut self,
        name: Option<&ast::ObjectName>,
        if_not_exists: bool,
        kinds: &[StatisticsKind],
        columns: &[ast::Ident],
        table: &ast::ObjectName,
    ) -> Result<()> {
        self.require_read_write("CREATE STATISTICS")?;
        let running = self.start_cancellable();
        for _ in 0..LOOKS_MAX {
            let relation = self.relation_named(table)?;
            if relation.table().is_none() {
                let kind = super::kind_name(&relation.kind);
                let message = format!("cannot define statistics for relation \"{}\"", relation.name);
                return Err(Error::invalid(SqlState::WRONG_OBJECT_TYPE, message)
                    .with_detail(format!("This operation is not supported for {kind}s.")));
            }
            self.require_owner(&relation)?;
            let catalog = self.catalog()?;
            let (schema, name) = match name {
                Some(name) => {
                    let (schema, name) = bind::object_name(name)?;
                    (self.creation_schema(schema.as_deref(), &name)?.oid, name)
                }
                None => (relation.schema, free_name(&catalog, &relation, columns)),
            };
            if catalog.extended_names.contains_key(&(schema, name.clone())) {
                let message = format!("statistics object \"{name}\" already exists");
                if if_not_exists {
                    self.notice_text(SqlState::DUPLICATE_OBJECT, format!("{message}, skipping"));
                    return Ok(());
                }
                return Err(Error::invalid(SqlState::DUPLICATE_OBJECT, message));
            }
            let attributes = attributes(&relation, columns)?;
            if !self.lock_unchanged(&relation, TreeLockMode::ShareUpdateExclusive, &running).await? {
                continue;
            }
            let mut writer = self.catalog_writer()?;
            let kinds = StatisticsKind::ALL.into_iter().filter(|kind| kinds.is_empty() || kinds.contains(kind));
            let new = ExtendedStatistics {
                oid: writer.new_oid()?,
                name,
                schema,
                owner: self.user.oid,
                attributes,
                kinds: kinds.collect(),
                target: None,
            };
            add(&mut writer, relation.oid, new).await?;
            self.catalog_written(&writer);
            return Ok(());
        }
        Err(changed_too_often("the table"))
    }

    /// For CREATE TABLE (LIKE ... INCLUDING STATISTICS): the source's objects, under names of their own.
    pub(super) async fn copy_statistics(&mut self, source: &Relation, target: &Relation) -> Result<()> {
        for extended in source.table().map_or(&[][..], |table| &table.extended) {
            let names = extended.attributes.iter().filter_map(|attribute| {
                let column = source.columns.iter().find(|column| column.attribute == *attribute)?;
                Some(ast::Ident::with_quote('"', column.name.clone()))
            });
            let columns: Vec<ast::Ident> = names.collect();
            let catalog = self.catalog()?;
            let mut writer = self.catalog_writer()?;
            let new = ExtendedStatistics {
                oid: writer.new_oid()?,
                name: free_name(&catalog, target, &columns),
                schema: target.schema,
                owner: self.user.oid,
                attributes: attributes(target, &columns)?,
                ..extended.clone()
            };
            add(&mut writer, target.oid, new).await?;
            self.catalog_written(&writer);
        }
        Ok(())
    }

    /// An object of ours by name, with its table.
    pub(super) fn statistics_named(&mut self, name: &ast::ObjectName) -> Result<(Arc<Relation>, ExtendedStatistics)> {
        let catalog = self.catalog()?;
        let (schema, object) = bind::object_name(name)?;
        let schemas = match &schema {
            Some(schema) => {
                vec![catalog.schema_named(schema).ok_or_else(|| super::no_schema(schema))?.oid]
            }
            None => {
                let path = self.search_path();
                path.iter().filter_map(|name| catalog.schema_named(name)).map(|schema| schema.oid).collect()
            }
        };
        let found = schemas.into_iter().find_map(|schema| catalog.extended_names.get(&(schema, object.clone())));
        let found = found.and_then(|oid| catalog.extended(*oid));
        let (table, extended) = found.ok_or_else(|| {
            let shown = schema.map_or_else(|| object.clone(), |schema| format!("{schema}.{object}"));
            Error::invalid(SqlState::UNDEFINED_OBJECT, format!("statistics object \"{shown}\" does not exist"))
        })?;
        if !Rights::of(&catalog, self.user.oid).owns(extended.owner) {
            return Err(must_be_owner("statistics object", &extended.name));
        }
        Ok((Arc::clone(table), extended.clone()))
    }

    /// The same with its table locked.
    async fn locked_statistics(&mut self, name: &ast::ObjectName) -> Result<(Arc<Relation>, ExtendedStatistics)> {
        let running = self.start_cancellable();
        for _ in 0..LOOKS_MAX {
            let (table, extended) = self.statistics_named(name)?;
            if self.lock_unchanged(&table, TreeLockMode::ShareUpdateExclusive, &running).await? {
                return Ok((table, extended));
            }
        }
        Err(changed_too_often("the table"))
    }

    async fn rename_statistics(&mut self, name: &ast::ObjectName, new_name: &str) -> Result<()> {
        self.require_read_write("ALTER STATISTICS")?;
        let (table, old) = self.locked_statistics(name).await?;
        self.refuse_taken_statistics(old.schema, new_name)?;
        self.replace_statistics(&table, &old, ExtendedStatistics { name: new_name.to_owned(), ..old.clone() }).await
    }

    async fn move_statistics(&mut self, name: &ast::ObjectName, schema: &str) -> Result<()> {
        self.require_read_write("ALTER STATISTICS")?;
        let (table, old) = self.locked_statistics(name).await?;
        let schema = self.creation_schema(Some(schema), &old.name)?.oid;
        if schema == old.schema {
            return Ok(());
        }
        self.refuse_taken_statistics(schema, &old.name)?;
        self.replace_statistics(&table, &old, ExtendedStatistics { schema, ..old.clone() }).await
    }

    async fn give_statistics(&mut self, name: &ast::ObjectName, owner: &ast::Ident) -> Result<()> {
        self.require_read_write("ALTER STATISTICS")?;
        let owner = self.owner_named(owner)?;
        let (table, old) = self.locked_statistics(name).await?;
        if !self.user.superuser {
            let catalog = self.catalog()?;
            self.check_new_owner(&catalog, owner)?;
        }
        self.replace_statistics(&table, &old, ExtendedStatistics { owner, ..old.clone() }).await
    }

    async fn aim_statistics(&mut self, name: &ast::ObjectName, if_exists: bool, target: i64) -> Result<()> {
        self.require_read_write("ALTER STATISTICS")?;
        let target = self.statistics_target(target)?;
        let (table, old) = match self.locked_statistics(name).await {
            Err(error) if if_exists && is_missing(&error) => {
                self.notice_text(SqlState::SUCCESSFUL_COMPLETION, format!("{}, skipping", error.message()));
                return Ok(());
            }
            found => found?,
        };
        let target = (target >= 0).then_some(target);
        self.replace_statistics(&table, &old, ExtendedStatistics { target, ..old.clone() }).await
    }

    async fn replace_statistics(
        &mut self,
        table: &Relation,
        old: &ExtendedStatistics,
        new: ExtendedStatistics,
    ) -> Result<()> {
        let mut writer = self.catalog_writer()?;
        if (old.schema, &old.name) != (new.schema, &new.name) {
            writer.release_statistics_name(old.schema, &old.name).await?;
            if !writer.take_statistics_name(new.schema, &new.name, new.oid).await? {
                return Err(taken(&new.name, ""));
            }
        }
        change(&mut writer, table.oid, |all| {
            all.iter_mut().filter(|one| one.oid == new.oid).for_each(|one| *one = new.clone());
        })
        .await?;
        self.catalog_written(&writer);
        Ok(())
    }

    fn refuse_taken_statistics(&mut self, schema: Oid, name: &str) -> Result<()> {
        let catalog = self.catalog()?;
        if !catalog.extended_names.contains_key(&(schema, name.to_owned())) {
            return Ok(());
        }
        let schema = catalog.schemas.get(&schema).map_or("", |schema| schema.name.as_str());
        Err(taken(name, &format!(" in schema \"{schema}\"")))
    }

    async fn drop_statistics(&mut self, names: &[ast::ObjectName], if_exists: bool) -> Result<()> {
        self.require_read_write("DROP STATISTICS")?;
        // All names are looked up before the first goes.
        let mut found: Vec<ast::ObjectName> = Vec::new();
        for name in names {
            match self.statistics_named(name) {
                Err(error) if if_exists && is_missing(&error) => {
                    self.notice_text(SqlState::SUCCESSFUL_COMPLETION, format!("{}, skipping", error.message()));
                }
                other => {
                    other?;
                    if !found.contains(name) {
                        found.push(name.clone());
                    }
                }
            }
        }
        for name in found {
            let (table, extended) = self.locked_statistics(&name).await?;
            let mut writer = self.catalog_writer()?;
            change(&mut writer, table.oid, |all| all.retain(|one| one.oid != extended.oid)).await?;
            forget_statistics(&mut writer, &extended).await?;
            self.catalog_written(&writer);
        }
        Ok(())
    }

    /// DROP SCHEMA: objects in it of tables that stay.
    pub(super) fn check_statistics_of(&mut self, schemas: &[Arc<Schema>], cascade: bool) -> Result<()> {
        let catalog = self.catalog()?;
        for schema in schemas {
            for (_, extended) in left_behind(&catalog, schemas).into_iter().filter(|(_, one)| one.schema == schema.oid)
            {
                let what = format!("statistics object {}.{}", schema.name, extended.name);
                if !cascade {
                    let message = format!("cannot drop schema {} because other objects depend on it", schema.name);
                    return Err(Error::invalid(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message)
                        .with_detail(format!("{what} depends on schema {}", schema.name))
                        .with_hint("Use DROP ... CASCADE to drop the dependent objects too."));
                }
                self.notice_text(SqlState::SUCCESSFUL_COMPLETION, format!("drop cascades to {what}"));
            }
        }
        Ok(())
    }
}

/// The same when they go.
pub(super) async fn drop_statistics_of(writer: &mut CatalogWriter, schemas: &[Arc<Schema>]) -> Result<()> {
    let catalog = writer.catalog()?;
    for (table, extended) in left_behind(&catalog, schemas) {
        change(writer, table, |all| all.retain(|one| one.oid != extended.oid)).await?;
        forget_statistics(writer, &extended).await?;
    }
    Ok(())
}

/// Objects in schemas that go whose tables are elsewhere.
fn left_behind(catalog: &CatalogSnapshot, schemas: &[Arc<Schema>]) -> Vec<(Oid, ExtendedStatistics)> {
    let goes = |oid: Oid| schemas.iter().any(|schema| schema.oid == oid);
    let tables = catalog.relations.values().filter(|relation| !goes(relation.schema));
    let objects = tables.flat_map(|relation| {
        relation.table().map_or(&[][..], |table| &table.extended).iter().map(|one| (relation.oid, one.clone()))
    });
    let mut found: Vec<_> = objects.filter(|(_, one)| goes(one.schema)).collect();
    found.sort_by_key(|(_, one)| one.oid);
    found
}

/// The name and the comment of an object whose table no longer has it.
pub(super) async fn forget_statistics(writer: &mut CatalogWriter, extended: &ExtendedStatistics) -> Result<()> {
    writer.set_comment(CommentKey { class: CLASS_STATISTICS, object: extended.oid, sub: 0 }, None).await?;
    writer.release_statistics_name(extended.schema, &extended.name).await
}

async fn add(writer: &mut CatalogWriter, table: Oid, new: ExtendedStatistics) -> Result<()> {
    if !writer.take_statistics_name(new.schema, &new.name, new.oid).await? {
        return Err(taken(&new.name, ""));
    }
    change(writer, table, |all| all.push(new)).await
}

/// Changes a table's objects, starting from what they are by now.
async fn change(
    writer: &mut CatalogWriter,
    table: Oid,
    change: impl FnOnce(&mut Vec<ExtendedStatistics>),
) -> Result<()> {
    let catalog = writer.catalog()?;
    let relation = catalog.relations.get(&table).ok_or_else(|| Error::internal("a locked table is gone"))?;
    let mut changed = Relation::clone(relation);
    if let RelationKind::Table(info) = &mut changed.kind {
        change(&mut info.extended);
    }
    writer.update_relation(&changed).await
}

/// The columns' attribute numbers, ascending.
fn attributes(relation: &Relation, columns: &[ast::Ident]) -> Result<Vec<i16>> {
    let mut attributes = Vec::with_capacity(columns.len());
    for column in columns {
        let name = bind::fold_identifier(column);
        let (_, found) = relation
            .column(&name)
            .ok_or_else(|| Error::invalid(SqlState::UNDEFINED_COLUMN, format!("column \"{name}\" does not exist")))?;
        if found.sql_type.element().unwrap_or(&found.sql_type) == &SqlType::Json {
            return Err(Error::unsupported(format!(
                "column \"{name}\" cannot be used in statistics because its type {} has no default btree operator class",
                found.sql_type.name()
            )));
        }
        if attributes.len() >= COLUMNS_MAX {
            let message = format!("cannot have more than {COLUMNS_MAX} columns in statistics");
            return Err(Error::invalid(SqlState::TOO_MANY_COLUMNS, message));
        }
        attributes.push(found.attribute);
    }
    if attributes.len() < 2 {
        let message = "extended statistics require at least 2 columns";
        return Err(Error::invalid(SqlState::INVALID_OBJECT_DEFINITION, message));
    }
    attributes.sort_unstable();
    if attributes.windows(2).any(|pair| pair.first() == pair.last()) {
        let message = "duplicate column name in statistics definition";
        return Err(Error::invalid(SqlState::DUPLICATE_COLUMN, message));
    }
    Ok(attributes)
}

/// `table_column_column_stat`, with a number behind it while it is taken.
fn free_name(catalog: &CatalogSnapshot, relation: &Relation, columns: &[ast::Ident]) -> String {
    let names: Vec<String> = columns.iter().map(bind::fold_identifier).collect();
    let names = names.join("_");
    let name = |number: usize| match number {
        0 => object_name_of(&relation.name, Some(&names), "stat"),
        number => object_name_of(&relation.name, Some(&names), &format!("stat{number}")),
    };
    let free = |name: &String| !catalog.extended_names.contains_key(&(relation.schema, name.clone()));
    (0..).map(name).find(free).unwrap_or_default()
}

fn is_missing(error: &Error) -> bool {
    matches!(error.state(), SqlState::UNDEFINED_OBJECT | SqlState::INVALID_SCHEMA_NAME)
}

fn taken(name: &str, place: &str) -> Error {
    Error::invalid(SqlState::DUPLICATE_OBJECT, format!("statistics object \"{name}\" already exists{place}"))
}
