//! ALTER COLUMN ... ADD GENERATED, SET GENERATED, RESTART, DROP IDENTITY, DROP EXPRESSION.

use std::sync::Arc;

use heliosdb_types::{Error, Result, SqlState, SqlType};
use sqlparser::ast;

use super::Change;
use crate::bind;
use crate::catalog::{Identity, Relation, RelationKind};
use crate::ddl::create_table::nextval_text;
use crate::ddl::{candidate_names, duplicate_relation, sequence};
use crate::session::{IdentityChange, SequenceOptions, Session};

impl Session {
    pub(super) async fn change_identity(
        &mut self,
        change: &mut Change,
        column: &ast::Ident,
        identity: &IdentityChange,
    ) -> Result<()> {
        let name = bind::fold_identifier(column);
        let table = change.new.name.clone();
        let found = change.column_mut(&name)?;
        let not_identity = || {
            let message = format!("column \"{name}\" of relation \"{table}\" is not an identity column");
            Error::invalid(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
        };
        match identity {
            IdentityChange::Add { always, options } => {
                let prerequisite = |what: &str| {
                    let message = format!("column \"{name}\" of relation \"{table}\" {what}");
                    Err(Error::invalid(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message))
                };
                if !matches!(found.sql_type, SqlType::Int2 | SqlType::Int4 | SqlType::Int8) {
                    return Err(Error::invalid(
                        SqlState::INVALID_PARAMETER_VALUE,
                        "identity column type must be smallint, integer, or bigint",
                    ));
                }
                if !found.not_null {
                    return prerequisite("must be declared NOT NULL before identity can be added");
                }
                if found.identity != Identity::No {
                    return prerequisite("is already an identity column");
                }
                if found.default.is_some() {
                    return prerequisite("already has a default value");
                }
                found.identity = if *always { Identity::Always } else { Identity::ByDefault };
                self.add_identity_sequence(change, &name, options).await
            }
            IdentityChange::Set { always, options } => {
                if found.identity == Identity::No {
                    return Err(not_identity());
                }
                if let Some(always) = always {
                    found.identity = if *always { Identity::Always } else { Identity::ByDefault };
                }
                let attribute = found.attribute;
                let sequence = self.identity_sequence(&change.new, attribute)?;
                let RelationKind::Sequence(info) = &sequence.kind else { return Err(Error::internal("a sequence")) };
                let mut writer = self.catalog_writer()?;
                self.change_sequence(&mut writer, &sequence, options, info.owned_by).await?;
                self.catalog_written(&writer);
                Ok(())
            }
            IdentityChange::Drop { if_exists } => {
                if found.identity == Identity::No {
                    if !*if_exists {
                        return Err(not_identity());
                    }
                    let message = format!("{}, skipping", not_identity().message());
                    self.notice_text(SqlState::SUCCESSFUL_COMPLETION, message);
                    return Ok(());
                }
                (found.identity, found.default) = (Identity::No, None);
                let attribute = found.attribute;
                let sequence = self.identity_sequence(&change.new, attribute)?;
                let mut writer = self.catalog_writer()?;
                writer.drop_relation(&sequence).await?;
                self.catalog_written(&writer);
                Ok(())
            }
        }
    }

    pub(super) fn identity_sequence(&mut self, table: &Relation, attribute: i16) -> Result<Arc<Relation>> {
        let catalog = self.catalog()?;
        let owned = crate::ddl::owned_sequences(&catalog, table.oid).into_iter().find(|sequence| {
            matches!(&sequence.kind, RelationKind::Sequence(info) if info.owned_by == Some((table.oid, attribute)))
        });
        owned.ok_or_else(|| Error::internal("an identity column without a sequence"))
    }

    async fn add_identity_sequence(
        &mut self,
        change: &mut Change,
        column: &str,
        options: &SequenceOptions,
    ) -> Result<()> {
        let (attribute, sql_type) = {
            let column = change.column_mut(column)?;
            (column.attribute, column.sql_type.clone())
        };
        let (table, owner, mut schema) = (change.new.clone(), change.new.owner, change.new.schema);
        let mut named = None;
        if let Some(name) = &options.name {
            let (schema_name, name) = bind::object_name(name)?;
            if let Some(schema_name) = schema_name {
                schema = self.creation_schema(Some(&schema_name), &name)?.oid;
            }
            named = Some(name);
        }
        let mut writer = self.catalog_writer()?;
        let mut info = sequence::new_sequence(options, &sql_type, writer.new_sequence_id()?)?;
        info.owned_by = Some((table.oid, attribute));
        let candidates: Vec<String> = match &named {
            Some(name) => vec![name.clone()],
            None => candidate_names(&table.name, Some(column), "seq").take(1000).collect(),
        };
        let mut created = None;
        for name in candidates {
            let relation = Relation {
                oid: writer.new_oid()?,
                schema,
                name,
                owner,
                columns: Vec::new(),
                kind: RelationKind::Sequence(info.clone()),
                access: Default::default(),
            };
            if writer.create_relation(&relation).await? {
                created = Some(relation.name);
                break;
            }
        }
        let Some(name) = created else { return Err(duplicate_relation(&named.unwrap_or_default())) };
        sequence::start(&*writer.shard, &info)?;
        self.catalog_written(&writer);
        let catalog = self.catalog()?;
        let schema = catalog.schemas.get(&schema).map_or("", |schema| schema.name.as_str());
        change.column_mut(column)?.default = Some(nextval_text(schema, &name));
        Ok(())
    }

    /// DROP EXPRESSION: a generated column becomes a plain one with the values it has.
    pub(super) fn drop_expression(&mut self, change: &mut Change, column: &ast::Ident, if_exists: bool) -> Result<()> {
        let name = bind::fold_identifier(column);
        let table = change.new.name.clone();
        let found = change.column_mut(&name)?;
        if found.generated {
            (found.generated, found.default) = (false, None);
            return Ok(());
        }
        let message = format!("column \"{name}\" of relation \"{table}\" is not a stored generated column");
        if !if_exists {
            return Err(Error::invalid(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message));
        }
        self.notice_text(SqlState::SUCCESSFUL_COMPLETION, format!("{message}, skipping"));
        Ok(())
    }
}
