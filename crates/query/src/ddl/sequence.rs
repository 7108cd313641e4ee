//! CREATE SEQUENCE and the options sequences have.

use heliosdb_contracts::ShardClient;
use heliosdb_types::{Error, Result, SequenceId, SqlState, SqlType};
use sqlparser::ast::{self, Expr, SequenceOptions};

use super::duplicate_relation;
use crate::bind;
use crate::catalog::{Relation, RelationAccess, RelationKind, SequenceInfo};
use crate::func;
use crate::session::{SequenceChange, Session};

impl Session {
    pub(super) async fn create_sequence(&mut self, statement: &ast::Statement) -> Result<()> {
        self.require_read_write("CREATE SEQUENCE")?;
        let ast::Statement::CreateSequence { temporary, if_not_exists, name, data_type, sequence_options, owned_by } =
            statement
        else {
            return Err(Error::internal("not CREATE SEQUENCE"));
        };
        if *temporary {
            return Err(Error::unsupported("CREATE TEMPORARY SEQUENCE"));
        }
        let (schema_name, name) = bind::object_name(name)?;
        let schema = self.creation_schema(schema_name.as_deref(), &name)?;
        let sql_type = match data_type {
            None => SqlType::Int8,
            Some(data_type) => func::type_from_ast(data_type)?,
        };
        let mut writer = self.catalog_writer()?;
        let mut info = read_options(sequence_options, &sql_type, writer.new_sequence_id()?)?;
        info.owned_by = match owned_by {
            Some(column) if !column.to_string().eq_ignore_ascii_case("none") => Some(self.owner_column(column)?),
            _ => None,
        };
        let relation = Relation {
            oid: writer.new_oid()?,
            schema: schema.oid,
            name: name.clone(),
            owner: self.user.oid,
            columns: Vec::new(),
            kind: RelationKind::Sequence(info.clone()),
            access: RelationAccess::default(),
        };
        let exists = self.catalog()?.names.contains_key(&(schema.oid, name.clone()));
        if exists || !writer.create_relation(&relation).await? {
            if !*if_not_exists {
                return Err(duplicate_relation(&name));
            }
            self.notice_text(SqlState::DUPLICATE_TABLE, format!("relation \"{name}\" already exists, skipping"));
        } else {
            start(&*writer.shard, &info)?;
        }
        self.catalog_written(&writer);
        Ok(())
    }

    pub(crate) async fn alter_sequence(
        &mut self,
        name: &ast::ObjectName,
        if_exists: bool,
        change: &SequenceChange,
    ) -> Result<()> {
        self.require_read_write("ALTER SEQUENCE")?;
        let relation = match self.relation_to_change(name) {
            Err(error) if if_exists && error.state() == SqlState::UNDEFINED_TABLE => {
                self.notice_text(SqlState::SUCCESSFUL_COMPLETION, format!("{}, skipping", error.message()));
                return Ok(());
            }
            relation => relation?,
        };
        let RelationKind::Sequence(info) = &relation.kind else {
            let message = format!("\"{}\" is not a sequence", relation.name);
            return Err(Error::invalid(SqlState::WRONG_OBJECT_TYPE, message));
        };
        let (mut info, mut owner) = (info.clone(), relation.owner);
        let mut writer = self.catalog_writer()?;
        match change {
            // A new counter, so that a rollback takes it back.
            SequenceChange::Restart(value) => {
                let value = value.unwrap_or(info.start);
                if !(info.min..=info.max).contains(&value) {
                    let (bound, limit) = if value < info.min {
                        ("less than MINVALUE", info.min)
                    } else {
                        ("greater than MAXVALUE", info.max)
                    };
                    return Err(invalid(format!("RESTART value ({value}) cannot be {bound} ({limit})")));
                }
                info.id = writer.new_sequence_id()?;
                writer.shard.set_sequence(info.id, info.steps_to(value))?;
            }
            SequenceChange::OwnedBy(column) => {
                info.owned_by = column.as_ref().map(|column| self.owner_column(column)).transpose()?;
            }
            SequenceChange::OwnerTo(role) => {
                owner = self.role_oid(&bind::fold_identifier(role))?;
                if owner != self.user.oid {
                    self.require_superuser("permission denied to change owner")?;
                }
            }
        }
        let kind = RelationKind::Sequence(info);
        writer.update_relation(&Relation { kind, owner, ..(*relation).clone() }).await?;
        self.catalog_written(&writer);
        Ok(())
    }

    /// `table.column` of OWNED BY.
    fn owner_column(&mut self, name: &ast::ObjectName) -> Result<(heliosdb_types::Oid, i16)> {
        let mut parts = name.0.clone();
        let invalid =
            || Error::syntax("invalid OWNED BY option").with_hint("Specify OWNED BY table.column or OWNED BY NONE.");
        let column = parts.pop().and_then(|part| part.as_ident().cloned()).ok_or_else(invalid)?;
        if parts.is_empty() {
            return Err(invalid());
        }
        let table = self.relation_to_change(&ast::ObjectName(parts))?;
        let column = bind::fold_identifier(&column);
        let (_, found) = table.column(&column).ok_or_else(|| {
            let message = format!("column \"{column}\" of relation \"{}\" does not exist", table.name);
            Error::invalid(SqlState::UNDEFINED_COLUMN, message)
        })?;
        Ok((table.oid, found.attribute))
    }
}

/// Puts a new sequence's counter where its first value is (a new counter says 0).
pub(super) fn start(shard: &dyn ShardClient, info: &SequenceInfo) -> Result<()> {
    match info.steps_to(info.start) {
        0 => Ok(()),
        steps => shard.set_sequence(info.id, steps),
    }
}

/// A sequence of a type with these options, PostgreSQL's defaults for the rest.
pub(super) fn read_options(options: &[SequenceOptions], sql_type: &SqlType, id: SequenceId) -> Result<SequenceInfo> {
    let (type_min, type_max) = match sql_type {
        SqlType::Int2 => (i64::from(i16::MIN), i64::from(i16::MAX)),
        SqlType::Int4 => (i64::from(i32::MIN), i64::from(i32::MAX)),
        SqlType::Int8 => (i64::MIN, i64::MAX),
        _ => {
            return Err(invalid("sequence type must be smallint, integer, or bigint".to_owned()));
        }
    };
    let (mut increment, mut min, mut max, mut first, mut cycle) = (1i64, None, None, None, false);
    for option in options {
        match option {
            SequenceOptions::IncrementBy(value, _) => increment = number(value)?,
            SequenceOptions::MinValue(value) => min = value.as_ref().map(number).transpose()?,
            SequenceOptions::MaxValue(value) => max = value.as_ref().map(number).transpose()?,
            SequenceOptions::StartWith(value, _) => first = Some(number(value)?),
            SequenceOptions::Cycle(no) => cycle = !*no,
            // Values are handed out in order to all sessions: a cache of one.
            SequenceOptions::Cache(value) => match number(value)? {
                1 => {}
                other if other < 1 => return Err(invalid(format!("CACHE ({other}) must be greater than zero"))),
                _ => return Err(Error::unsupported("a sequence with CACHE greater than 1")),
            },
        }
    }
    if increment == 0 {
        return Err(invalid("INCREMENT must not be zero".to_owned()));
    }
    let min = min.unwrap_or(if increment > 0 { 1 } else { type_min });
    let max = max.unwrap_or(if increment > 0 { type_max } else { -1 });
    for (value, bound) in [(min, "MINVALUE"), (max, "MAXVALUE")] {
        if !(type_min..=type_max).contains(&value) {
            return Err(invalid(format!(
                "{bound} ({value}) is out of range for sequence data type {}",
                sql_type.name()
            )));
        }
    }
    if min >= max {
        return Err(invalid(format!("MINVALUE ({min}) must be less than MAXVALUE ({max})")));
    }
    let first = first.unwrap_or(if increment > 0 { min } else { max });
    if first < min {
        return Err(invalid(format!("START value ({first}) cannot be less than MINVALUE ({min})")));
    }
    if first > max {
        return Err(invalid(format!("START value ({first}) cannot be greater than MAXVALUE ({max})")));
    }
    let data_type = sql_type.clone();
    Ok(SequenceInfo { id, data_type, start: first, increment, min, max, cycle, cache: 1, owned_by: None })
}

fn invalid(message: String) -> Error {
    Error::invalid(SqlState::INVALID_PARAMETER_VALUE, message)
}

fn number(expr: &Expr) -> Result<i64> {
    let text = expr.to_string().replace(' ', "");
    text.parse().map_err(|_| Error::syntax(format!("syntax error at or near \"{text}\"")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_follow_the_direction() {
        let up = read_options(&[], &SqlType::Int4, SequenceId(1)).unwrap();
        assert_eq!((up.start, up.min, up.max), (1, 1, i64::from(i32::MAX)));
        let minus_one = Expr::Identifier(ast::Ident::new("-1"));
        let down =
            read_options(&[SequenceOptions::IncrementBy(minus_one, true)], &SqlType::Int8, SequenceId(1)).unwrap();
        assert_eq!((down.start, down.min, down.max), (-1, i64::MIN, -1));
        assert_eq!(down.steps_to(-1), 0);
    }
}
