//! CREATE SEQUENCE, ALTER SEQUENCE, and what identity columns share with them.

use std::sync::Arc;

use heliosdb_contracts::ShardClient;
use heliosdb_types::{Error, Oid, Result, SequenceId, SqlState, SqlType};
use sqlparser::ast;

use super::duplicate_relation;
use crate::bind;
use crate::catalog::{CatalogSnapshot, CatalogWriter, Identity, Relation, RelationKind, SequenceInfo};
use crate::session::{SequenceOptions, Session};

impl Session {
    pub(crate) async fn create_sequence(
        &mut self,
        temporary: bool,
        if_not_exists: bool,
        name: &ast::ObjectName,
        options: &SequenceOptions,
    ) -> Result<()> {
        self.require_read_write("CREATE SEQUENCE")?;
        let (schema_name, name) = bind::object_name(name)?;
        let schema = self.target_schema(temporary, schema_name.as_deref(), &name).await?;
        if options.restart.is_some() || options.name.is_some() {
            return Err(Error::syntax("invalid sequence option in CREATE SEQUENCE"));
        }
        let owned_by = match &options.owned_by {
            Some(Some(column)) => Some(self.owner_column(column, schema.oid, self.user.oid)?),
            _ => None,
        };
        let mut writer = self.catalog_writer()?;
        let mut info = new_sequence(options, &SqlType::Int8, writer.new_sequence_id()?)?;
        info.owned_by = owned_by;
        let relation = Relation {
            oid: writer.new_oid()?,
            schema: schema.oid,
            name: name.clone(),
            owner: self.user.oid,
            columns: Vec::new(),
            kind: RelationKind::Sequence(info.clone()),
            access: Default::default(),
        };
        let exists = self.catalog()?.names.contains_key(&(schema.oid, name.clone()));
        if exists || !writer.create_relation(&relation).await? {
            if !if_not_exists {
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
        options: &SequenceOptions,
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
            let message = format!("cannot open relation \"{}\"", relation.name);
            let detail = format!("This operation is not supported for {}s.", super::kind_name(&relation.kind));
            return Err(Error::invalid(SqlState::WRONG_OBJECT_TYPE, message).with_detail(detail));
        };
        let mut owned_by = info.owned_by;
        if let Some(owner) = &options.owned_by {
            let catalog = self.catalog()?;
            if let Some(table) = identity_table(&catalog, &relation) {
                let detail = format!("Sequence \"{}\" is linked to table \"{}\".", relation.name, table.name);
                return Err(Error::invalid(
                    SqlState::FEATURE_NOT_SUPPORTED,
                    "cannot change ownership of identity sequence",
                )
                .with_detail(detail));
            }
            owned_by = match owner {
                Some(column) => Some(self.owner_column(column, relation.schema, relation.owner)?),
                None => None,
            };
        }
        let mut writer = self.catalog_writer()?;
        self.change_sequence(&mut writer, &relation, options, owned_by).await?;
        self.catalog_written(&writer);
        Ok(())
    }

    /// Writes a sequence's new options; its counter is a new one when values must be counted otherwise, so that a rollback
    /// takes it back.
    pub(super) async fn change_sequence(
        &mut self,
        writer: &mut CatalogWriter,
        relation: &Relation,
        options: &SequenceOptions,
        owned_by: Option<(Oid, i16)>,
    ) -> Result<()> {
        let RelationKind::Sequence(old) = &relation.kind else { return Err(Error::internal("not a sequence")) };
        let mut info = changed_sequence(options, old)?;
        info.owned_by = owned_by;
        let counted = |info: &SequenceInfo| (info.min, info.max, info.increment);
        if options.restart.is_some() || counted(&info) != counted(old) {
            let (last, called) = match options.restart {
                Some(value) => (value.unwrap_or(info.start), false),
                None => self.engine.sequences.last(&*writer.shard, old)?,
            };
            check_bounds("RESTART value", last, &info)?;
            info.id = writer.new_sequence_id()?;
            let step = if called { info.increment.unsigned_abs() } else { 0 };
            writer.shard.set_sequence(info.id, info.steps_to(last).saturating_add(step))?;
        }
        writer.update_relation(&Relation { kind: RelationKind::Sequence(info), ..relation.clone() }).await
    }

    /// `table.column` of OWNED BY.
    fn owner_column(&mut self, name: &ast::ObjectName, schema: Oid, owner: Oid) -> Result<(Oid, i16)> {
        let mut parts = name.0.clone();
        let invalid =
            || Error::syntax("invalid OWNED BY option").with_hint("Specify OWNED BY table.column or OWNED BY NONE.");
        let column = parts.pop().and_then(|part| part.as_ident().cloned()).ok_or_else(invalid)?;
        if parts.is_empty() {
            return Err(invalid());
        }
        let table = self.relation_to_change(&ast::ObjectName(parts))?;
        let state = SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE;
        if table.owner != owner {
            return Err(Error::invalid(state, "sequence must have same owner as table it is linked to"));
        }
        if table.schema != schema {
            return Err(Error::invalid(state, "sequence must be in same schema as table it is linked to"));
        }
        let column = bind::fold_identifier(&column);
        let (_, found) = table.column(&column).ok_or_else(|| {
            let message = format!("column \"{column}\" of relation \"{}\" does not exist", table.name);
            Error::invalid(SqlState::UNDEFINED_COLUMN, message)
        })?;
        Ok((table.oid, found.attribute))
    }
}

/// The table whose identity column a sequence feeds.
pub(super) fn identity_table(catalog: &CatalogSnapshot, sequence: &Relation) -> Option<Arc<Relation>> {
    let RelationKind::Sequence(info) = &sequence.kind else { return None };
    let (table, attribute) = info.owned_by?;
    let table = catalog.relations.get(&table)?;
    let column = table.columns.iter().find(|column| column.attribute == attribute)?;
    (column.identity != Identity::No).then(|| Arc::clone(table))
}

/// Puts a new sequence's counter where its first value is (a new counter says 0).
pub(super) fn start(shard: &dyn ShardClient, info: &SequenceInfo) -> Result<()> {
    match info.steps_to(info.start) {
        0 => Ok(()),
        steps => shard.set_sequence(info.id, steps),
    }
}

/// A sequence of a type with these options, PostgreSQL's defaults for the rest.
pub(super) fn new_sequence(options: &SequenceOptions, sql_type: &SqlType, id: SequenceId) -> Result<SequenceInfo> {
    let data_type = options.data_type.clone().unwrap_or_else(|| sql_type.clone());
    let (type_min, type_max) = bounds_of(&data_type)?;
    let increment = increment(options.increment.unwrap_or(1))?;
    let min = options.min.flatten().unwrap_or(if increment > 0 { 1 } else { type_min });
    let max = options.max.flatten().unwrap_or(if increment > 0 { type_max } else { -1 });
    let start = options.start.unwrap_or(if increment > 0 { min } else { max });
    let (cycle, cache) = (options.cycle.unwrap_or(false), options.cache.unwrap_or(1));
    checked(SequenceInfo { id, data_type, start, increment, min, max, cycle, cache, owned_by: None })
}

/// A sequence with these options and its own for the rest.
fn changed_sequence(options: &SequenceOptions, old: &SequenceInfo) -> Result<SequenceInfo> {
    let mut info = old.clone();
    let (mut reset_min, mut reset_max) = (false, false);
    if let Some(data_type) = &options.data_type {
        // Bounds that were the old type's become the new type's.
        let before = bounds_of(&old.data_type)?;
        (reset_min, reset_max) = (old.min == before.0, old.max == before.1);
        info.data_type = data_type.clone();
    }
    let (type_min, type_max) = bounds_of(&info.data_type)?;
    info.increment = increment(options.increment.unwrap_or(old.increment))?;
    let up = info.increment > 0;
    match options.max {
        Some(Some(max)) => info.max = max,
        Some(None) => info.max = if up { type_max } else { -1 },
        None if reset_max => info.max = type_max,
        None => {}
    }
    match options.min {
        Some(Some(min)) => info.min = min,
        Some(None) => info.min = if up { 1 } else { type_min },
        None if reset_min => info.min = type_min,
        None => {}
    }
    info.start = options.start.unwrap_or(old.start);
    info.cycle = options.cycle.unwrap_or(old.cycle);
    info.cache = options.cache.unwrap_or(old.cache);
    checked(info)
}

fn bounds_of(data_type: &SqlType) -> Result<(i64, i64)> {
    match data_type {
        SqlType::Int2 => Ok((i64::from(i16::MIN), i64::from(i16::MAX))),
        SqlType::Int4 => Ok((i64::from(i32::MIN), i64::from(i32::MAX))),
        SqlType::Int8 => Ok((i64::MIN, i64::MAX)),
        _ => Err(invalid("sequence type must be smallint, integer, or bigint".to_owned())),
    }
}

fn increment(value: i64) -> Result<i64> {
    if value == 0 { Err(invalid("INCREMENT must not be zero".to_owned())) } else { Ok(value) }
}

fn checked(info: SequenceInfo) -> Result<SequenceInfo> {
    let (type_min, type_max) = bounds_of(&info.data_type)?;
    for (value, bound) in [(info.max, "MAXVALUE"), (info.min, "MINVALUE")] {
        if !(type_min..=type_max).contains(&value) {
            let name = info.data_type.name();
            return Err(invalid(format!("{bound} ({value}) is out of range for sequence data type {name}")));
        }
    }
    if info.min >= info.max {
        return Err(invalid(format!("MINVALUE ({}) must be less than MAXVALUE ({})", info.min, info.max)));
    }
    check_bounds("START value", info.start, &info)?;
    if info.cache < 1 {
        return Err(invalid(format!("CACHE ({}) must be greater than zero", info.cache)));
    }
    Ok(info)
}

fn check_bounds(what: &str, value: i64, info: &SequenceInfo) -> Result<()> {
    if value < info.min {
        return Err(invalid(format!("{what} ({value}) cannot be less than MINVALUE ({})", info.min)));
    }
    if value > info.max {
        return Err(invalid(format!("{what} ({value}) cannot be greater than MAXVALUE ({})", info.max)));
    }
    Ok(())
}

fn invalid(message: String) -> Error {
    Error::invalid(SqlState::INVALID_PARAMETER_VALUE, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_follow_the_direction() {
        let up = new_sequence(&SequenceOptions::default(), &SqlType::Int4, SequenceId(1)).unwrap();
        assert_eq!((up.start, up.min, up.max), (1, 1, i64::from(i32::MAX)));
        let options = SequenceOptions { increment: Some(-1), ..SequenceOptions::default() };
        let down = new_sequence(&options, &SqlType::Int8, SequenceId(1)).unwrap();
        assert_eq!((down.start, down.min, down.max), (-1, i64::MIN, -1));
        assert_eq!(down.steps_to(-1), 0);
    }

    #[test]
    fn another_type_brings_its_own_bounds() {
        let small = new_sequence(&SequenceOptions::default(), &SqlType::Int2, SequenceId(1)).unwrap();
        let wide = SequenceOptions { data_type: Some(SqlType::Int8), ..SequenceOptions::default() };
        assert_eq!(changed_sequence(&wide, &small).unwrap().max, i64::MAX);
        let bounded = SequenceInfo { max: 100, ..small };
        assert_eq!(changed_sequence(&wide, &bounded).unwrap().max, 100);
    }
}
