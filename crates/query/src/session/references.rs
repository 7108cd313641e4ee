//! What foreign keys ask for after a statement: the fate of children whose parents went, and checks that waited.
//!
//! Each action is a statement of its own, as PostgreSQL runs it: it uses indexes, keeps the child's own constraints, and what it
//! does to other tables' parents is settled in turn. It sees everything committed by now, whatever the isolation level, since
//! it must not miss a child.

use std::sync::Arc;

use arrow_array::RecordBatch;
use heliosdb_contracts::{RowHint, RowSink, TreeLockMode};
use heliosdb_types::{Datum, DatumRef, Error, Oid, PhysicalType, Result, SqlState, SqlType, text_of};

use super::Session;
use crate::bind;
use crate::catalog::{Column, ForeignKey, ReferentialAction, Relation};
use crate::ddl::changed_too_often;
use crate::exec::{
    ChildEvent, ForeignCheck, ForeignSpec, ParentEvent, References, UniqueEvent, array_of, check_unique,
};
use crate::pg_catalog::quote_identifier;

/// Keys that are looked for at once.
const KEYS_AT_ONCE: usize = 100;

/// Cascades through more tables than this are a circle that never ends.
const ROUNDS_MAX: usize = 1000;

impl Session {
    /// The tables a table's foreign keys refer to, but itself.
    pub(crate) fn parents_of(&mut self, table: &Relation) -> Result<Vec<Arc<Relation>>> {
        let keys = table.table().map_or(&[][..], |info| &info.foreign_keys);
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let catalog = self.catalog()?;
        let others = keys.iter().filter(|key| key.parent != table.oid);
        Ok(others.filter_map(|key| catalog.relations.get(&key.parent).cloned()).collect())
    }

    /// What a statement's writes left to do.
    pub(crate) async fn settle_references(&mut self, references: &References) -> Result<()> {
        for event in references.take_at_end() {
            self.check_child(&event).await?;
        }
        self.settle_unique(references).await?;
        let (children, mut parents) = references.take();
        self.open_transaction()?.deferred.extend(children);
        for _ in 0..ROUNDS_MAX {
            if parents.is_empty() {
                return Ok(());
            }
            parents = Box::pin(self.act(parents, &references.modes)).await?;
        }
        Err(Error::invalid(SqlState::STATEMENT_TOO_COMPLEX, "foreign key actions do not come to an end"))
    }

    /// Looks at rows of DEFERRABLE UNIQUE constraints, now or when the transaction ends.
    async fn settle_unique(&mut self, references: &References) -> Result<()> {
        let events = references.take_unique(|_| true);
        if events.is_empty() {
            return Ok(());
        }
        let catalog = self.catalog()?;
        let deferred = |event: &UniqueEvent| {
            let index = catalog.relations.get(&event.table).and_then(|table| table.table()?.index(event.index));
            index.is_some_and(|index| references.modes.is_unique_deferred(index))
        };
        let (later, now): (Vec<_>, Vec<_>) = events.into_iter().partition(deferred);
        self.open_transaction()?.deferred_unique.extend(later);
        self.check_unique_events(now).await
    }

    async fn check_unique_events(&mut self, events: Vec<UniqueEvent>) -> Result<()> {
        let mut by_index: std::collections::BTreeMap<(Oid, Oid), Vec<UniqueEvent>> = Default::default();
        for event in events {
            by_index.entry((event.table, event.index)).or_default().push(event);
        }
        for ((table, index), events) in by_index {
            let catalog = self.catalog()?;
            let Some(relation) = catalog.relations.get(&table) else { continue };
            // Gone since, and its checks with it.
            let Some(index) = relation.table().and_then(|table| table.index(index)) else { continue };
            let running = self.start_cancellable();
            let txn = self.transaction_id()?;
            let scope = self.newest_scope(&running)?;
            let checked = check_unique(&scope, txn, relation, index, &events).await;
            checked.map_err(|error| self.named_schema(error, Some(table)))?;
        }
        Ok(())
    }

    /// Acts on referenced keys that went or changed; gives what the actions did to keys in turn.
    async fn act(
        &mut self,
        events: Vec<ParentEvent>,
        modes: &crate::exec::ConstraintModes,
    ) -> Result<Vec<ParentEvent>> {
        // A child may have been committed, and its lock on the parent given up, a moment before it can be seen.
        let shard = Arc::clone(&self.engine.shard);
        shard.settle_all().await?;
        let mut next = Vec::new();
        let mut rest = events.as_slice();
        while let Some(first) = rest.first() {
            let same = |event: &&ParentEvent| {
                event.constraint == first.constraint && event.new.is_some() == first.new.is_some()
            };
            let count = rest.iter().take(KEYS_AT_ONCE).take_while(same).count();
            let (some, after) = rest.split_at(count);
            rest = after;
            let catalog = self.catalog()?;
            let child = catalog.relations.get(&first.child).cloned();
            let key = child
                .as_ref()
                .and_then(|child| child.table()?.foreign_keys.iter().find(|key| key.oid == first.constraint).cloned());
            let (Some(child), Some(key), Some(parent)) = (child, key, catalog.relations.get(&first.parent).cloned())
            else {
                continue;
            };
            match first.action(&key) {
                ReferentialAction::NoAction if modes.is_deferred(&key) => {
                    self.open_transaction()?.deferred_parents.extend(some.iter().cloned());
                }
                ReferentialAction::NoAction => self.no_children(&child, &parent, &key, some, true).await?,
                ReferentialAction::Restrict => self.no_children(&child, &parent, &key, some, false).await?,
                ReferentialAction::Cascade if first.new.is_some() => {
                    for event in some {
                        let new = event.new.as_deref().unwrap_or_default();
                        let set = assignments(&child, &key.attributes, |at| format!("${}", at + 1))?;
                        self.change(&child, &parent, &key, &format!("SET {set}"), new, &[event], &mut next).await?;
                    }
                }
                ReferentialAction::Cascade => {
                    let events: Vec<&ParentEvent> = some.iter().collect();
                    self.change(&child, &parent, &key, "", &[], &events, &mut next).await?;
                }
                action @ (ReferentialAction::SetNull | ReferentialAction::SetDefault) => {
                    let value = if action == ReferentialAction::SetNull { "NULL" } else { "DEFAULT" };
                    let attributes = match first.new.is_none() && !key.delete_attributes.is_empty() {
                        true => &key.delete_attributes,
                        false => &key.attributes,
                    };
                    let set = format!("SET {}", assignments(&child, attributes, |_| value.to_owned())?);
                    let events: Vec<&ParentEvent> = some.iter().collect();
                    self.change(&child, &parent, &key, &set, &[], &events, &mut next).await?;
                    if action == ReferentialAction::SetDefault {
                        // The default may be the very key that went.
                        self.no_children(&child, &parent, &key, some, true).await?;
                    }
                }
            }
        }
        Ok(next)
    }

    /// DELETE (without `set`) or UPDATE of the children of some keys. `first` are the first parameters.
    #[allow(clippy::too_many_arguments)] // one statement's parts
    async fn change(
        &mut self,
        child: &Arc<Relation>,
        parent: &Arc<Relation>,
        key: &ForeignKey,
        set: &str,
        first: &[Datum],
        events: &[&ParentEvent],
        next: &mut Vec<ParentEvent>,
    ) -> Result<()> {
        let name = self.qualified(child)?;
        let (condition, types, values) = matching(child, parent, key, first, events)?;
        let sql = match set {
            "" => format!("DELETE FROM {name} WHERE {condition}"),
            set => format!("UPDATE {name} {set} WHERE {condition}"),
        };
        let (_, parents) = self.run_action(&sql, &types, values).await?;
        next.extend(parents);
        Ok(())
    }

    /// 23503 if a child refers to one of the keys. With `again`, a key that exists again does not count.
    async fn no_children(
        &mut self,
        child: &Arc<Relation>,
        parent: &Arc<Relation>,
        key: &ForeignKey,
        events: &[ParentEvent],
        again: bool,
    ) -> Result<()> {
        let mut gone = Vec::with_capacity(events.len());
        for event in events {
            if !(again && self.parent_exists(parent, key, &event.old).await?) {
                gone.push(event);
            }
        }
        if gone.is_empty() {
            return Ok(());
        }
        let name = self.qualified(child)?;
        let columns = columns_of(child, &key.attributes)?;
        let shown: Vec<String> = columns.iter().map(|column| quote_identifier(&column.name)).collect();
        let (condition, types, values) = matching(child, parent, key, &[], &gone)?;
        let sql = format!("SELECT {} FROM {name} WHERE {condition} LIMIT 1 FOR KEY SHARE", shown.join(", "));
        let (batches, _) = self.run_action(&sql, &types, values).await?;
        let Some(found) = batches.iter().find(|batch| batch.num_rows() > 0) else { return Ok(()) };
        let context = self.text_context();
        let mut values = Vec::with_capacity(columns.len());
        for (column, array) in columns.iter().zip(found.columns()) {
            let physical = column.sql_type.physical().unwrap_or(PhysicalType::Text);
            values.push(text_of(heliosdb_contracts::datum_at(array, 0, physical)?, &column.sql_type, &context));
        }
        let names: Vec<String> =
            columns_of(parent, &key.parent_attributes)?.iter().map(|column| quote_identifier(&column.name)).collect();
        let (table, other) = (&parent.name, &child.name);
        let message = format!(
            "update or delete on table \"{table}\" violates foreign key constraint \"{}\" on table \"{other}\"",
            key.name
        );
        let detail =
            format!("Key ({})=({}) is still referenced from table \"{other}\".", names.join(", "), values.join(", "));
        Err(Error::conflict(SqlState::FOREIGN_KEY_VIOLATION, message)
            .with_detail(detail)
            .with_table(other.as_str())
            .with_constraint(key.name.as_str()))
    }

    async fn parent_exists(&mut self, parent: &Arc<Relation>, key: &ForeignKey, values: &[Datum]) -> Result<bool> {
        let name = self.qualified(parent)?;
        let columns = columns_of(parent, &key.parent_attributes)?;
        let parts = columns.iter().enumerate().map(|(at, c)| format!("{} = ${}", quote_identifier(&c.name), at + 1));
        let condition = parts.collect::<Vec<_>>().join(" AND ");
        let types: Vec<SqlType> = columns.iter().map(|column| column.sql_type.clone()).collect();
        let sql = format!("SELECT 1 FROM {name} WHERE {condition}");
        let (batches, _) = self.run_action(&sql, &types, values.to_vec()).await?;
        Ok(batches.iter().any(|batch| batch.num_rows() > 0))
    }

    /// A statement of our own, seeing everything by now: its rows, and what it did to referenced keys.
    async fn run_action(
        &mut self,
        sql: &str,
        types: &[SqlType],
        values: Vec<Datum>,
    ) -> Result<(Vec<RecordBatch>, Vec<ParentEvent>)> {
        use futures::TryStreamExt;
        let statement = bind::parse(sql)?.pop().ok_or_else(|| Error::internal("a statement of our own"))?.statement;
        let declared: Vec<Option<SqlType>> = types.iter().cloned().map(Some).collect();
        let running = self.start_cancellable();
        for _ in 0..crate::ddl::LOOKS_MAX {
            let binding = self.binding()?;
            let bound = bind::bind_statement(&statement, sql, &binding.context(&declared));
            let bound = bound.map_err(Error::without_position)?;
            if let Some(target) = bound.target {
                let catalog = self.catalog()?;
                let table = catalog.relations.get(&target).ok_or_else(|| Error::internal("no such target"))?;
                let mut unchanged = self.lock_unchanged(table, TreeLockMode::RowExclusive, &running).await?;
                for parent in self.parents_of(table)? {
                    unchanged = unchanged && self.lock_unchanged(&parent, TreeLockMode::RowShare, &running).await?;
                }
                if !unchanged {
                    continue;
                }
            }
            let scope = self.newest_scope(&running)?;
            self.next_command();
            let references = Arc::clone(&scope.references);
            let engine = Arc::clone(&self.engine);
            let rows = engine.executor.run(&bound.plan, values, &bound.parameters, scope);
            let batches: Vec<RecordBatch> = rows.try_collect().await?;
            self.settle_unique(&references).await?;
            let (children, parents) = references.take();
            self.open_transaction()?.deferred.extend(children);
            return Ok((batches, parents));
        }
        Err(changed_too_often("a table"))
    }

    /// Checks that waited, of the constraints `wanted` says.
    pub(crate) async fn check_deferred(&mut self, wanted: impl Fn(Oid) -> bool) -> Result<()> {
        let Some(transaction) = self.state.open_mut() else { return Ok(()) };
        transaction.take_copied();
        let waiting = !transaction.deferred.is_empty() || !transaction.deferred_parents.is_empty();
        if !waiting && transaction.deferred_unique.is_empty() {
            return Ok(());
        }
        let (unique, later) =
            std::mem::take(&mut transaction.deferred_unique).into_iter().partition(|e| wanted(e.constraint));
        transaction.deferred_unique = later;
        let unique: Vec<UniqueEvent> = unique;
        let (now, later) = std::mem::take(&mut transaction.deferred).into_iter().partition(|e| wanted(e.constraint));
        transaction.deferred = later;
        let (gone, later) =
            std::mem::take(&mut transaction.deferred_parents).into_iter().partition(|e| wanted(e.constraint));
        transaction.deferred_parents = later;
        let children: Vec<ChildEvent> = now;
        let parents: Vec<ParentEvent> = gone;
        self.check_unique_events(unique).await?;
        for event in &children {
            self.check_child(event).await?;
        }
        let mut immediate = crate::exec::ConstraintModes { all: Some(false), ..Default::default() };
        immediate.named.clear();
        let mut parents = parents;
        while !parents.is_empty() {
            parents = Box::pin(self.act(parents, &immediate)).await?;
        }
        Ok(())
    }

    /// Looks for the parent of a row that was written earlier, as the row is now.
    async fn check_child(&mut self, event: &ChildEvent) -> Result<()> {
        let catalog = self.catalog()?;
        let Some(child) = catalog.relations.get(&event.child) else { return Ok(()) };
        let Some(table) = child.table() else { return Ok(()) };
        let Some(key) = table.foreign_keys.iter().find(|key| key.oid == event.constraint) else { return Ok(()) };
        let Some(parent) = catalog.relations.get(&key.parent) else { return Ok(()) };
        let running = self.start_cancellable();
        let txn = self.transaction_id()?;
        let scope = self.newest_scope(&running)?;
        let mut row = OneRow { types: table.tree.physical_types(), columns: Vec::new() };
        let columns: Vec<_> = table.tree.columns.iter().map(|column| column.id).collect();
        let shard = Arc::clone(&self.engine.shard);
        // Gone or changed since: then there is a check for what it became.
        if !shard.newest(txn, table.tree.tree, &event.row, &columns, &mut row)? {
            return Ok(());
        }
        let fields = child.columns.iter().zip(&row.columns);
        let fields =
            fields.map(|(column, array)| arrow_schema::Field::new(&column.name, array.data_type().clone(), true));
        let schema = Arc::new(arrow_schema::Schema::new(fields.collect::<Vec<_>>()));
        let rows = RecordBatch::try_new(schema, row.columns).map_err(crate::exec::from_arrow)?;
        let check = ForeignCheck { key: Arc::new(key.clone()), parent: Arc::clone(parent) };
        ForeignSpec::new(&check, child)?.check(&scope, txn, &rows, &[0]).await
    }

    /// SET CONSTRAINTS; no names: all of them.
    pub(crate) async fn set_constraints(&mut self, names: &[sqlparser::ast::ObjectName], deferred: bool) -> Result<()> {
        if !self.state.open().is_some_and(|transaction| transaction.explicit) {
            self.warning(SqlState::NO_ACTIVE_SQL_TRANSACTION, "SET CONSTRAINTS can only be used in transaction blocks");
            return names.iter().try_for_each(|name| self.constraint_named(name).map(|_| ()));
        }
        let mut found = Vec::new();
        for name in names {
            found.extend(self.constraint_named(name)?);
        }
        let modes = &mut self.open_transaction()?.constraint_modes;
        if names.is_empty() {
            *modes = crate::exec::ConstraintModes { all: Some(deferred), ..Default::default() };
        }
        modes.named.extend(found.iter().map(|constraint| (*constraint, deferred)));
        if deferred {
            return Ok(());
        }
        let all = names.is_empty();
        Box::pin(self.check_deferred(move |constraint| all || found.contains(&constraint))).await
    }

    fn constraint_named(&mut self, name: &sqlparser::ast::ObjectName) -> Result<Vec<Oid>> {
        let (schema, name) = bind::object_name(name)?;
        let catalog = self.catalog()?;
        let path = match &schema {
            Some(schema) => vec![schema.clone()],
            None => self.search_path(),
        };
        for schema in path.iter().filter_map(|schema| catalog.schema_named(schema)) {
            let tables = catalog.relations.values().filter(|relation| relation.schema == schema.oid);
            let tables = tables.filter_map(|relation| relation.table());
            let keys = tables.clone().flat_map(|table| table.foreign_keys.iter()).filter(|key| key.name == name);
            let keys: Vec<&ForeignKey> = keys.collect();
            let uniques = tables.clone().flat_map(|table| table.indexes.iter());
            let uniques: Vec<_> = uniques.filter(|index| index.constraint.is_some() && index.name == name).collect();
            let primary = tables.clone().any(|table| table.primary_key.as_ref().is_some_and(|key| key.name == name));
            let others = primary || uniques.iter().any(|index| index.deferrable.is_none());
            if others || keys.iter().any(|key| !key.deferrable) {
                let message = format!("constraint \"{name}\" is not deferrable");
                return Err(Error::invalid(SqlState::WRONG_OBJECT_TYPE, message));
            }
            if !keys.is_empty() || !uniques.is_empty() {
                let uniques = uniques.iter().filter_map(|index| index.constraint);
                return Ok(keys.iter().map(|key| key.oid).chain(uniques).collect());
            }
        }
        Err(Error::invalid(SqlState::UNDEFINED_OBJECT, format!("constraint \"{name}\" does not exist")))
    }

    /// 55006 while checks of a table's rows wait: its rows must stay where they are.
    pub(crate) fn refuse_pending(&self, table: &Relation, command: &str) -> Result<()> {
        let pending = self.state.open().is_some_and(|transaction| {
            transaction.deferred.iter().any(|event| event.child == table.oid)
                || transaction.deferred_unique.iter().any(|event| event.table == table.oid)
                || transaction.deferred_parents.iter().any(|e| e.parent == table.oid || e.child == table.oid)
        });
        if !pending {
            return Ok(());
        }
        let message = format!("cannot {command} \"{}\" because it has pending trigger events", table.name);
        Err(Error::invalid(SqlState::OBJECT_IN_USE, message))
    }
}

struct OneRow {
    types: Vec<PhysicalType>,
    columns: Vec<arrow_array::ArrayRef>,
}

impl RowSink for OneRow {
    fn row(&mut self, values: &[DatumRef<'_>], _reference: RowHint) -> Result<()> {
        let columns = values.iter().zip(&self.types).map(|(value, physical)| array_of(*physical, [*value]));
        self.columns = columns.collect::<Result<_>>()?;
        Ok(())
    }
}

fn columns_of<'a>(relation: &'a Relation, attributes: &[i16]) -> Result<Vec<&'a Column>> {
    let column = |attribute: &i16| relation.columns.iter().find(|column| column.attribute == *attribute);
    let found = attributes.iter().map(column).collect::<Option<Vec<_>>>();
    found.ok_or_else(|| Error::internal("a foreign key names columns that are not there"))
}

fn assignments(child: &Relation, attributes: &[i16], value: impl Fn(usize) -> String) -> Result<String> {
    let columns = columns_of(child, attributes)?;
    let parts = columns.iter().enumerate().map(|(at, c)| format!("{} = {}", quote_identifier(&c.name), value(at)));
    Ok(parts.collect::<Vec<_>>().join(", "))
}

/// A condition for children of the events' old keys, with its parameters; `first` come before them.
fn matching(
    child: &Relation,
    parent: &Relation,
    key: &ForeignKey,
    first: &[Datum],
    events: &[&ParentEvent],
) -> Result<(String, Vec<SqlType>, Vec<Datum>)> {
    let columns = columns_of(child, &key.attributes)?;
    let of_parent: Vec<SqlType> =
        columns_of(parent, &key.parent_attributes)?.iter().map(|column| column.sql_type.clone()).collect();
    let mut types: Vec<SqlType> = of_parent.iter().take(first.len()).cloned().collect();
    let mut values = first.to_vec();
    let mut conditions = Vec::with_capacity(events.len());
    for event in events {
        let mut parts = Vec::with_capacity(columns.len());
        for ((column, value), sql_type) in columns.iter().zip(&event.old).zip(&of_parent) {
            values.push(value.clone());
            types.push(sql_type.clone());
            parts.push(match columns.len() {
                1 => format!("${}", values.len()),
                _ => format!("{} = ${}", quote_identifier(&column.name), values.len()),
            });
        }
        conditions.push(parts.join(" AND "));
    }
    let condition = match (columns.as_slice(), conditions.as_slice()) {
        ([only], [value]) => format!("{} = {value}", quote_identifier(&only.name)),
        ([only], values) => format!("{} IN ({})", quote_identifier(&only.name), values.join(", ")),
        (_, conditions) => conditions.iter().map(|part| format!("({part})")).collect::<Vec<_>>().join(" OR "),
    };
    Ok((condition, types, values))
}
