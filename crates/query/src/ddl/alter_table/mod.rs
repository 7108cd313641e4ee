//! ALTER TABLE (and what it shares with ALTER VIEW and ALTER SEQUENCE: RENAME, OWNER TO).
//!
//! A change of columns gives the tree a new version; what older rows hold in a new column is its missing value. A change of
//! the key, of a column's type, or a default that differs from row to row rewrites the table into a new tree.

mod add_column;
mod column;
mod constraints;
mod drop_column;
mod identity;
mod rename;
mod rewrite;

use std::sync::Arc;

use heliosdb_types::{Error, Oid, Result, SqlState};
use sqlparser::ast::{self, AlterTableOperation};

use super::create_table::read_constraint;
use super::kind_name;
use crate::bind;
use crate::catalog::{Column, ForeignKey, IndexInfo, Relation, RelationKind, TableInfo};
use crate::session::{AlterAction, Session};

pub(super) use rename::renamed_column;

/// A table on its way to its new shape.
struct Change {
    /// As it was when its lock was granted.
    old: Arc<Relation>,
    new: Relation,
    /// The tree's columns or their nullability changed: it needs a new version.
    reshaped: bool,
    /// Rows have to be written anew: an expression over the old row for each new column that is not copied, by attribute.
    rewrite: Option<Vec<(i16, String)>>,
    /// Conditions every row must fulfil, as SQL over the new table, with the error if one does not.
    validations: Vec<(String, Error)>,
    /// Foreign keys every row must fulfil.
    foreign_validations: Vec<ForeignKey>,
    /// DEFERRABLE UNIQUE constraints every row must fulfil; other unique indexes cannot even be filled with equal rows.
    unique_validations: Vec<IndexInfo>,
    /// Indexes that go and whose names have gone already.
    released: Vec<Oid>,
}

impl Change {
    fn table(&self) -> Result<&TableInfo> {
        self.new.table().ok_or_else(|| Error::internal("ALTER TABLE changes tables"))
    }

    fn table_mut(&mut self) -> Result<&mut TableInfo> {
        match &mut self.new.kind {
            RelationKind::Table(table) => Ok(table),
            _ => Err(Error::internal("ALTER TABLE changes tables")),
        }
    }

    fn column_mut(&mut self, name: &str) -> Result<&mut Column> {
        let table = self.new.name.clone();
        self.new.columns.iter_mut().find(|column| column.name == name).ok_or_else(|| no_column(name, &table))
    }

    fn in_key(&self, attribute: i16) -> Result<bool> {
        let table = self.table()?;
        let late = table.indexes.iter().filter(|index| index.primary).filter_map(IndexInfo::key_attributes);
        let of_rows = table.primary_key.as_ref().is_some_and(|key| key.attributes.contains(&attribute));
        Ok(of_rows || late.flatten().any(|other| other == attribute))
    }

    /// Names of the table's indexes, which may not be in the catalog yet.
    fn index_names(&self) -> Result<Vec<String>> {
        Ok(self.table()?.indexes.iter().map(|index| index.name.clone()).collect())
    }

    fn add_index(&mut self, index: IndexInfo) -> Result<()> {
        self.table_mut()?.indexes.push(index);
        self.reshaped = true;
        Ok(())
    }

    fn rewritten(&mut self) -> &mut Vec<(i16, String)> {
        self.rewrite.get_or_insert_default()
    }
}

/// The order actions of one statement are done in.
fn pass(action: &AlterAction) -> u8 {
    let AlterAction::Parser(operation) = action else { return 4 };
    match &**operation {
        AlterTableOperation::DropColumn { .. } | AlterTableOperation::DropConstraint { .. } => 0,
        AlterTableOperation::AlterColumn { op: ast::AlterColumnOperation::SetDataType { .. }, .. } => 1,
        AlterTableOperation::AddColumn { .. } => 2,
        AlterTableOperation::AlterColumn { .. } => 3,
        AlterTableOperation::AddConstraint { .. } => 5,
        _ => 6,
    }
}

fn no_column(name: &str, table: &str) -> Error {
    let message = format!("column \"{name}\" of relation \"{table}\" does not exist");
    Error::invalid(SqlState::UNDEFINED_COLUMN, message)
}

impl Session {
    pub(super) async fn alter_table(&mut self, alter: &ast::AlterTable) -> Result<()> {
        let ast::AlterTable { name, if_exists, only: _, operations, location, on_cluster, table_type, end_token: _ } =
            alter;
        if location.is_some() || on_cluster.is_some() || table_type.is_some() {
            return Err(Error::unsupported("this form of ALTER TABLE"));
        }
        let actions = operations.iter().map(|operation| AlterAction::Parser(Box::new(operation.clone())));
        self.alter_table_actions(name, *if_exists, &actions.collect::<Vec<_>>()).await
    }

    pub(crate) async fn alter_table_actions(
        &mut self,
        name: &ast::ObjectName,
        if_exists: bool,
        actions: &[AlterAction],
    ) -> Result<()> {
        self.require_read_write("ALTER TABLE")?;
        let Some(relation) = self.altered_relation(name, if_exists).await? else { return Ok(()) };
        if relation.table().is_none() {
            let message = format!("ALTER action on {} \"{}\"", kind_name(&relation.kind), relation.name);
            return Err(Error::unsupported(message));
        }
        self.refuse_pending(&relation, "ALTER TABLE")?;
        let mut change = Change {
            new: (*relation).clone(),
            old: relation,
            reshaped: false,
            rewrite: None,
            validations: Vec::new(),
            released: Vec::new(),
            foreign_validations: Vec::new(),
            unique_validations: Vec::new(),
        };
        let mut actions: Vec<&AlterAction> = actions.iter().collect();
        // PostgreSQL's passes: what goes before what comes, columns before constraints on them.
        actions.sort_by_key(|action| pass(action));
        for action in actions {
            match action {
                AlterAction::Parser(operation) => Box::pin(self.apply(&mut change, operation)).await?,
                AlterAction::Identity { column, change: identity } => {
                    self.change_identity(&mut change, column, identity).await?;
                }
                AlterAction::DropExpression { column, if_exists } => {
                    self.drop_expression(&mut change, column, *if_exists)?;
                }
                AlterAction::Statistics { column, target } => {
                    let attribute = change.column_mut(&bind::fold_identifier(column))?.attribute;
                    self.set_statistics_target(change.new.oid, attribute, *target).await?;
                }
            }
        }
        self.store(change).await
    }

    async fn apply(&mut self, change: &mut Change, operation: &AlterTableOperation) -> Result<()> {
        match operation {
            AlterTableOperation::AddColumn { column_keyword: _, if_not_exists, column_def, column_position: None } => {
                self.add_column(change, column_def, *if_not_exists).await
            }
            AlterTableOperation::DropColumn { has_column_keyword: _, column_names, if_exists, drop_behavior } => {
                let cascade = matches!(drop_behavior, Some(ast::DropBehavior::Cascade));
                for name in column_names {
                    self.drop_column(change, &bind::fold_identifier(name), *if_exists, cascade).await?;
                }
                Ok(())
            }
            AlterTableOperation::AddConstraint { constraint, not_valid } => {
                self.add_constraint(change, read_constraint(constraint)?, *not_valid).await
            }
            AlterTableOperation::ValidateConstraint { name } => {
                self.validate_constraint(change, &bind::fold_identifier(name))
            }
            AlterTableOperation::OwnerTo { new_owner } => {
                let owner = match new_owner {
                    ast::Owner::Ident(name) => name.clone(),
                    ast::Owner::CurrentRole | ast::Owner::CurrentUser | ast::Owner::SessionUser => {
                        ast::Ident::new("current_user")
                    }
                };
                change.new.owner = self.owner_named(&owner)?;
                self.give_relation(&change.old, change.new.owner).await
            }
            // What is so already.
            AlterTableOperation::ReplicaIdentity { identity: ast::ReplicaIdentity::Default } => Ok(()),
            AlterTableOperation::DropConstraint { if_exists, name, drop_behavior } => {
                let cascade = matches!(drop_behavior, Some(ast::DropBehavior::Cascade));
                self.drop_constraint(change, &bind::fold_identifier(name), *if_exists, cascade).await
            }
            AlterTableOperation::RenameConstraint { old_name, new_name } => {
                self.rename_constraint(change, &bind::fold_identifier(old_name), bind::fold_identifier(new_name)).await
            }
            AlterTableOperation::AlterColumn { column_name, op } => {
                self.alter_column(change, &bind::fold_identifier(column_name), op).await
            }
            // There is no row-level security to switch on.
            AlterTableOperation::DisableRowLevelSecurity | AlterTableOperation::NoForceRowLevelSecurity => Ok(()),
            other => Err(Error::unsupported(format!("ALTER TABLE ... {other}"))),
        }
    }
}
