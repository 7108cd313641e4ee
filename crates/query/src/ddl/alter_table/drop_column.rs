//! DROP COLUMN, with what hangs on the column.

use std::sync::Arc;

use heliosdb_types::{Error, Result, SqlState};

use super::rename::names_column;
use super::{Change, no_column};
use crate::catalog::{IndexColumn, IndexInfo, Relation, RelationKind};
use crate::ddl::view::views_over;
use crate::session::Session;

impl Session {
    pub(super) async fn drop_column(
        &mut self,
        change: &mut Change,
        name: &str,
        if_exists: bool,
        cascade: bool,
    ) -> Result<()> {
        let Some((at, column)) = change.new.column(name) else {
            let error = no_column(name, &change.new.name);
            if !if_exists {
                return Err(error);
            }
            self.notice_text(SqlState::SUCCESSFUL_COMPLETION, format!("{}, skipping", error.message()));
            return Ok(());
        };
        let column = column.clone();
        let catalog = self.catalog()?;
        // Views keep text, not columns: any view over the table may name this one.
        let views = views_over(&catalog, change.new.oid);
        if let Some(view) = views.first() {
            if cascade {
                return Err(Error::unsupported("DROP COLUMN ... CASCADE of a table with views"));
            }
            let table = &change.new.name;
            let message = format!("cannot drop column {name} of table {table} because other objects depend on it");
            return Err(Error::invalid(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message)
                .with_detail(format!("view {} depends on column {name} of table {table}", view.name))
                .with_hint("Use DROP ... CASCADE to drop the dependent objects too."));
        }
        if change.in_key(column.attribute)? {
            self.drop_key(change).await?;
        }
        change.table_mut()?.indexes.retain(|index| !index_uses(index, column.attribute, name));
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
        let mut writer = self.catalog_writer()?;
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
