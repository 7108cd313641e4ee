//! DROP COLUMN, with what hangs on the column.

use std::sync::Arc;

use heliosdb_types::{Error, Result, SqlState};

use super::rename::names_column;
use super::{Change, no_column};
use crate::catalog::{CLASS_RELATION, CommentKey, ExtendedStatistics, IndexColumn, IndexInfo, Relation, RelationKind};
use crate::ddl::drop::views_above;
use crate::ddl::statistics::forget_statistics;
use crate::ddl::view::views_using;
use crate::session::Session;

impl Session {
    pub(super) async fn drop_column(
        &mut self,
        change: &mut Change,
        name: &str,
        if_exists: bool,
        cascade: bool,
    ) -> Result<()> {
        let Some((_, column)) = change.new.column(name) else {
            let error = no_column(name, &change.new.name);
            if !if_exists {
                return Err(error);
            }
            self.notice_text(SqlState::SUCCESSFUL_COMPLETION, format!("{}, skipping", error.message()));
            return Ok(());
        };
        let column = column.clone();
        let catalog = self.catalog()?;
        let table = change.new.name.clone();
        let views = views_using(&catalog, change.new.oid, column.attribute);
        let generated: Vec<String> = change
            .new
            .columns
            .iter()
            .filter(|other| other.generated && other.default.as_ref().is_some_and(|text| names_column(text, name)))
            .map(|other| other.name.clone())
            .filter(|other| other != name)
            .collect();
        if (!views.is_empty() || !generated.is_empty()) && !cascade {
            let message = format!("cannot drop column {name} of table {table} because other objects depend on it");
            let views = views.iter().flat_map(|view| {
                let first = format!("view {} depends on column {name} of table {table}", view.name);
                let above = views_above(&catalog, view).into_iter();
                std::iter::once(first).chain(above.map(|(view, on)| format!("view {} depends on {on}", view.name)))
            });
            let columns = generated
                .iter()
                .map(|other| format!("column {other} of table {table} depends on column {name} of table {table}"));
            let detail: Vec<String> = columns.chain(views).collect();
            return Err(Error::invalid(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message)
                .with_detail(detail.join("\n"))
                .with_hint("Use DROP ... CASCADE to drop the dependent objects too."));
        }
        for other in generated {
            let message = format!("drop cascades to column {other} of table {table}");
            self.notice_text(SqlState::SUCCESSFUL_COMPLETION, message);
            Box::pin(self.drop_column(change, &other, false, true)).await?;
        }
        for view in views {
            let message = format!("drop cascades to view {}", view.name);
            self.notice_text(SqlState::SUCCESSFUL_COMPLETION, message);
            self.drop_with_dependents(&view).await?;
        }
        let (at, _) = change.new.column(name).ok_or_else(|| no_column(name, &table))?;
        if change.in_key(column.attribute)? {
            self.drop_key(change, &format!("column {name} of table {table}"), cascade).await?;
        }
        let gone = change.table()?.indexes.iter().filter(|index| index_uses(index, column.attribute, name));
        for index in gone.cloned().collect::<Vec<_>>() {
            let what = format!("column {name} of table {table}");
            self.drop_references(change, index.oid, &what, &what, cascade).await?;
        }
        change.table_mut()?.indexes.retain(|index| !index_uses(index, column.attribute, name));
        let beside = |extended: &ExtendedStatistics| !extended.attributes.contains(&column.attribute);
        let gone: Vec<ExtendedStatistics> =
            change.table()?.extended.iter().filter(|extended| !beside(extended)).cloned().collect();
        change.table_mut()?.extended.retain(beside);
        change.table_mut()?.foreign_keys.retain(|key| !key.attributes.contains(&column.attribute));
        change.new.columns.remove(at);
        change.table_mut()?.checks.retain(|check| !names_column(&check.expression, name));
        if let Some(rewrite) = &mut change.rewrite {
            rewrite.retain(|(attribute, _)| *attribute != column.attribute);
        }
        let owned = catalog.relations.values().filter(|relation| {
            matches!(&relation.kind, RelationKind::Sequence(info)
                if info.owned_by == Some((change.new.oid, column.attribute)))
        });
        let owned: Vec<Arc<Relation>> = owned.cloned().collect();
        let comment = CommentKey { class: CLASS_RELATION, object: change.new.oid, sub: i32::from(column.attribute) };
        let mut writer = self.catalog_writer()?;
        writer.set_comment(comment, None).await?;
        for extended in &gone {
            forget_statistics(&mut writer, extended).await?;
        }
        for sequence in owned {
            writer.drop_relation(&sequence).await?;
        }
        self.catalog_written(&writer);
        change.reshaped = true;
        Ok(())
    }
}

/// Whether an index goes with a column.
pub(super) fn index_uses(index: &IndexInfo, attribute: i16, name: &str) -> bool {
    let key = index.keys.iter().any(|key| match &key.column {
        IndexColumn::Attribute(other) => *other == attribute,
        IndexColumn::Expression { sql, .. } => names_column(sql, name),
    });
    let filtered = index.predicate.as_ref().is_some_and(|predicate| names_column(predicate, name));
    key || filtered || index.include.contains(&attribute)
}
