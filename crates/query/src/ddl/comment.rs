//! COMMENT ON.

use heliosdb_types::{Error, Oid, Result, SqlState};
use sqlparser::ast;

use super::kind_name;
use crate::bind;
use crate::catalog::{
    CLASS_CONSTRAINT, CLASS_DATABASE, CLASS_RELATION, CLASS_ROLE, CLASS_SCHEMA, CLASS_STATISTICS, CLASS_TYPE,
    CommentKey, Relation, RelationKind,
};
use crate::session::{CommentTarget, Session};

impl Session {
    pub(crate) async fn comment_on(&mut self, target: &CommentTarget, text: Option<&str>) -> Result<()> {
        self.require_read_write("COMMENT")?;
        let key = self.commented(target)?;
        let mut writer = self.catalog_writer()?;
        writer.set_comment(key, text).await?;
        self.catalog_written(&writer);
        Ok(())
    }

    fn commented(&mut self, target: &CommentTarget) -> Result<CommentKey> {
        let whole = |class: Oid, object: Oid| CommentKey { class, object, sub: 0 };
        let catalog = self.catalog()?;
        match target {
            CommentTarget::Relation("index", name) => Ok(whole(CLASS_RELATION, self.index_to_change(name)?.1)),
            CommentTarget::Relation(kind, name) => {
                let relation = self.relation_to_change(name)?;
                if kind_name(&relation.kind) != *kind {
                    let article = if kind.starts_with('i') { "an" } else { "a" };
                    let message = format!("\"{}\" is not {article} {kind}", relation.name);
                    return Err(Error::invalid(SqlState::WRONG_OBJECT_TYPE, message));
                }
                Ok(whole(CLASS_RELATION, relation.oid))
            }
            CommentTarget::Column(name) => {
                let mut parts = name.0.clone();
                let column =
                    parts.pop().and_then(|part| part.as_ident().map(bind::fold_identifier)).unwrap_or_default();
                if parts.is_empty() {
                    return Err(Error::syntax("column name must be qualified"));
                }
                let relation = self.relation_to_change(&ast::ObjectName(parts))?;
                if matches!(relation.kind, RelationKind::Sequence(_)) {
                    let message = format!("cannot set comment on relation \"{}\"", relation.name);
                    return Err(Error::invalid(SqlState::WRONG_OBJECT_TYPE, message)
                        .with_detail("This operation is not supported for sequences."));
                }
                let (_, found) = relation.column(&column).ok_or_else(|| {
                    let message = format!("column \"{column}\" of relation \"{}\" does not exist", relation.name);
                    Error::invalid(SqlState::UNDEFINED_COLUMN, message)
                })?;
                Ok(CommentKey { class: CLASS_RELATION, object: relation.oid, sub: i32::from(found.attribute) })
            }
            CommentTarget::Constraint { name, table } => {
                let relation = self.relation_to_change(table)?;
                let name = bind::fold_identifier(name);
                let oid = constraint_oid(&relation, &name).ok_or_else(|| {
                    let message = format!("constraint \"{name}\" for table \"{}\" does not exist", relation.name);
                    Error::invalid(SqlState::UNDEFINED_OBJECT, message)
                })?;
                Ok(whole(CLASS_CONSTRAINT, oid))
            }
            CommentTarget::Schema(name) => {
                let name = bind::fold_identifier(name);
                let schema = catalog.schema_named(&name).ok_or_else(|| super::no_schema(&name))?;
                if !self.user.superuser && schema.owner != self.user.oid {
                    let message = format!("must be owner of schema {name}");
                    return Err(Error::invalid(SqlState::INSUFFICIENT_PRIVILEGE, message));
                }
                Ok(whole(CLASS_SCHEMA, schema.oid))
            }
            CommentTarget::Database(name) => {
                let name = bind::fold_identifier(name);
                let database = catalog.databases.values().find(|database| database.name == name).ok_or_else(|| {
                    Error::invalid(SqlState::INVALID_CATALOG_NAME, format!("database \"{name}\" does not exist"))
                })?;
                if !self.user.superuser && database.owner != self.user.oid {
                    let message = format!("must be owner of database {name}");
                    return Err(Error::invalid(SqlState::INSUFFICIENT_PRIVILEGE, message));
                }
                Ok(whole(CLASS_DATABASE, database.oid))
            }
            CommentTarget::Role(name) => {
                let role = self.role_oid(&bind::fold_identifier(name))?;
                self.require_superuser("must be superuser to comment on a role")?;
                Ok(whole(CLASS_ROLE, role))
            }
            CommentTarget::Statistics(name) => Ok(whole(CLASS_STATISTICS, self.statistics_named(name)?.1.oid)),
            CommentTarget::Type(name) => {
                let (schema, type_name) = bind::object_name(name)?;
                let path = self.search_path();
                let found = catalog.type_named(schema.as_deref(), &type_name, &path).ok_or_else(|| {
                    Error::invalid(SqlState::UNDEFINED_OBJECT, format!("type \"{name}\" does not exist"))
                })?;
                if !self.user.superuser && found.owner != self.user.oid {
                    let message = format!("must be owner of type {type_name}");
                    return Err(Error::invalid(SqlState::INSUFFICIENT_PRIVILEGE, message));
                }
                Ok(whole(CLASS_TYPE, found.oid()))
            }
        }
    }

    /// An index by name, with its table.
    pub(super) fn index_to_change(&mut self, name: &ast::ObjectName) -> Result<(std::sync::Arc<Relation>, Oid)> {
        let catalog = self.catalog()?;
        let (schema, index) = bind::object_name(name)?;
        let path = self.search_path();
        let undefined = || super::undefined_relation(&catalog, schema.as_deref(), &index);
        let in_schema = |schema: &str| {
            let schema = catalog.schema_named(schema)?;
            catalog.names.get(&(schema.oid, index.clone())).copied()
        };
        let oid = match &schema {
            Some(schema) => in_schema(schema),
            None => path.iter().find_map(|schema| in_schema(schema)),
        };
        let oid = oid.ok_or_else(undefined)?;
        let Some(table) = catalog.index_tables.get(&oid).and_then(|table| catalog.relations.get(table)) else {
            return Err(Error::invalid(SqlState::WRONG_OBJECT_TYPE, format!("\"{index}\" is not an index")));
        };
        self.require_owner(table)?;
        Ok((std::sync::Arc::clone(table), oid))
    }
}

/// A constraint of a table by name.
fn constraint_oid(relation: &Relation, name: &str) -> Option<Oid> {
    let table = relation.table()?;
    let check = table.checks.iter().find(|check| check.name == name).map(|check| check.oid);
    let key = || table.foreign_keys.iter().find(|key| key.name == name).map(|key| key.oid);
    let unique = || table.indexes.iter().find(|index| index.name == name).and_then(|index| index.constraint);
    let primary = || {
        let key = table.primary_key.as_ref().filter(|key| key.name == name)?;
        Some(key.oid)
    };
    check.or_else(key).or_else(unique).or_else(primary)
}
