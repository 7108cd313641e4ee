//! CREATE TABLE (LIKE other INCLUDING ...): the other's columns, and what is asked for besides.

use std::sync::Arc;

use heliosdb_types::{Error, Result, SqlState};
use sqlparser::ast;

use super::columns::{WrittenColumn, read_column, several_primary_keys};
use super::create_table::{CopiedIndexes, NewTable, refuse_unsupported, temporary_of};
use super::index::{WrittenIndex, WrittenPart};
use super::{name_span, undefined_relation};
use crate::bind;
use crate::catalog::{
    CLASS_CONSTRAINT, CLASS_RELATION, CommentKey, Identity, IndexColumn, IndexInfo, Relation, RelationKind,
};
use crate::session::{Like, LikeOption, SequenceOptions, Session};

impl Session {
    pub(crate) async fn create_table_like(&mut self, create: &ast::CreateTable, likes: &[Like]) -> Result<()> {
        self.require_read_write("CREATE TABLE")?;
        refuse_unsupported(create)?;
        let (_, table_name) = bind::object_name(&create.name)?;
        let names = self.binding()?.func.names;
        let own = create.columns.iter().map(|column| read_column(column, &table_name, &*names));
        let own = own.collect::<Result<Vec<_>>>()?;
        let own_count = own.len();
        let mut columns = Vec::with_capacity(own_count);
        let mut constraints = create.constraints.clone();
        let mut sources = Vec::new();
        let mut copied = CopiedIndexes::default();
        let mut own = own.into_iter();
        for like in likes {
            while columns.len() < own_count && own.len() > own_count.saturating_sub(like.after) {
                columns.extend(own.next());
            }
            let source = self.like_source(like)?;
            for column in &source.columns {
                columns.push(self.like_column(&source, column, like)?);
            }
            constraints.extend(like_constraints(&source, like)?);
            let first = copied.indexes.len();
            if like.includes(LikeOption::Indexes) {
                copy_indexes(&source, &table_name, &mut copied)?;
            }
            sources.push((source, like, first));
        }
        columns.extend(own);
        let (temporary, on_commit) = temporary_of(create)?;
        let new = NewTable {
            name: &create.name,
            temporary,
            if_not_exists: create.if_not_exists,
            on_commit,
            columns,
            constraints: &constraints,
            copied,
        };
        let count = new.copied.indexes.len();
        let Some(relation) = self.make_table(new).await? else { return Ok(()) };
        // The copies are the last of the table's indexes, in the order they were asked for.
        let indexes = relation.table().map_or(&[][..], |table| &table.indexes);
        let copies = indexes.get(indexes.len().saturating_sub(count)..).unwrap_or_default();
        for (source, like, first) in sources {
            if like.includes(LikeOption::Statistics) {
                self.copy_statistics(&source, &relation).await?;
            }
            if like.includes(LikeOption::Comments) {
                self.copy_comments(&source, &relation, like, copies.get(first..).unwrap_or_default()).await?;
            }
        }
        Ok(())
    }

    fn like_source(&mut self, like: &Like) -> Result<Arc<Relation>> {
        let catalog = self.catalog()?;
        let (schema, name) = bind::object_name(&like.table)?;
        let path = self.search_path();
        let source = catalog.resolve(schema.as_deref(), &name, &path).cloned().ok_or_else(|| {
            self.marked(undefined_relation(&catalog, schema.as_deref(), &name), name_span(&like.table))
        })?;
        if matches!(source.kind, RelationKind::Sequence(_)) {
            let message = format!("relation \"{name}\" is invalid in LIKE clause");
            return Err(Error::invalid(SqlState::WRONG_OBJECT_TYPE, message)
                .with_detail("This operation is not supported for sequences."));
        }
        self.require_privilege(&source, crate::catalog::Privileges::SELECT)?;
        Ok(source)
    }

    fn like_column(
        &mut self,
        source: &Relation,
        column: &crate::catalog::Column,
        like: &Like,
    ) -> Result<WrittenColumn> {
        let mut written = WrittenColumn::plain(column.name.clone(), column.sql_type.clone())?;
        written.not_null = column.not_null;
        let wanted = if column.generated {
            like.includes(LikeOption::Generated)
        } else {
            column.identity == Identity::No && like.includes(LikeOption::Defaults)
        };
        if wanted && let Some(default) = &column.default {
            written.default = Some(bind::parse_expression(default)?);
            written.generated = column.generated;
        }
        if column.identity != Identity::No && like.includes(LikeOption::Identity) {
            let catalog = self.catalog()?;
            let owned = super::owned_sequences(&catalog, source.oid);
            let options = owned.iter().find_map(|sequence| match &sequence.kind {
                RelationKind::Sequence(info) if info.owned_by == Some((source.oid, column.attribute)) => {
                    Some(SequenceOptions {
                        increment: Some(info.increment),
                        min: Some(Some(info.min)),
                        max: Some(Some(info.max)),
                        start: Some(info.start),
                        cache: Some(info.cache),
                        cycle: Some(info.cycle),
                        ..SequenceOptions::default()
                    })
                }
                _ => None,
            });
            written.sequence = Some(options.unwrap_or_default());
            written.identity = column.identity;
        }
        Ok(written)
    }

    /// `copies`: what the source's indexes became, and perhaps others after them.
    async fn copy_comments(
        &mut self,
        source: &Relation,
        target: &Relation,
        like: &Like,
        copies: &[IndexInfo],
    ) -> Result<()> {
        let catalog = self.catalog()?;
        let mut comments = Vec::new();
        for column in &source.columns {
            let key = |oid, attribute| CommentKey { class: CLASS_RELATION, object: oid, sub: i32::from(attribute) };
            if let (Some(text), Some((_, copy))) =
                (catalog.comments.get(&key(source.oid, column.attribute)), target.column(&column.name))
            {
                comments.push((key(target.oid, copy.attribute), text.clone()));
            }
        }
        let checks = |relation: &Relation| relation.table().map_or_else(Vec::new, |table| table.checks.clone());
        if like.includes(LikeOption::Constraints) {
            let key = |object| CommentKey { class: CLASS_CONSTRAINT, object, sub: 0 };
            for check in checks(source) {
                let copy = checks(target).into_iter().find(|copy| copy.name == check.name);
                if let (Some(text), Some(copy)) = (catalog.comments.get(&key(check.oid)), copy) {
                    comments.push((key(copy.oid), text.clone()));
                }
            }
        }
        if let (true, Some(from), Some(to)) = (like.includes(LikeOption::Indexes), source.table(), target.table()) {
            let key = |object| CommentKey { class: CLASS_RELATION, object, sub: 0 };
            let keys = from.primary_key.iter().zip(&to.primary_key).map(|(from, to)| (from.oid, to.oid));
            let indexes = from.indexes.iter().zip(copies).map(|(from, to)| (from.oid, to.oid));
            for (from, to) in keys.chain(indexes) {
                comments.extend(catalog.comments.get(&key(from)).map(|text| (key(to), text.clone())));
            }
        }
        let mut writer = self.catalog_writer()?;
        for (key, text) in comments {
            writer.set_comment(key, Some(&text)).await?;
        }
        self.catalog_written(&writer);
        Ok(())
    }
}

/// Checks of the other table as they would be written.
fn like_constraints(source: &Relation, like: &Like) -> Result<Vec<ast::TableConstraint>> {
    let Some(table) = source.table() else { return Ok(Vec::new()) };
    let mut texts = Vec::new();
    if like.includes(LikeOption::Constraints) {
        let named = |check: &crate::catalog::CheckConstraint| {
            let name = crate::pg_catalog::quote_identifier(&check.name);
            format!("CONSTRAINT {name} CHECK ({})", check.expression)
        };
        texts.extend(table.checks.iter().map(named));
    }
    if texts.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!("CREATE TABLE t ({})", texts.join(", "));
    match bind::parse(&sql)?.pop().map(|parsed| parsed.statement) {
        Some(ast::Statement::CreateTable(create)) => Ok(create.constraints),
        _ => Err(Error::internal("a CREATE TABLE of our own")),
    }
}

/// The other table's primary key and indexes, their names to be picked for the new table.
fn copy_indexes(source: &Relation, target: &str, copied: &mut CopiedIndexes) -> Result<()> {
    let Some(table) = source.table() else { return Ok(()) };
    let name = |attribute: &i16| {
        let column = source.columns.iter().find(|column| column.attribute == *attribute);
        let column = column.ok_or_else(|| Error::internal("an index of a column that is gone"))?;
        Ok(column.name.clone())
    };
    if let Some(key) = &table.primary_key {
        if copied.key.is_some() {
            return Err(several_primary_keys(target));
        }
        copied.key = Some((None, key.attributes.iter().map(name).collect::<Result<_>>()?));
    }
    for index in &table.indexes {
        let part = |key: &crate::catalog::IndexKey| {
            let expr = match &key.column {
                IndexColumn::Attribute(attribute) => {
                    ast::Expr::Identifier(ast::Ident::with_quote('"', name(attribute)?))
                }
                IndexColumn::Expression { sql, sql_type: _ } => bind::parse_expression(sql)?,
            };
            Ok(WrittenPart { expr, descending: key.descending, nulls_first: key.nulls_first })
        };
        copied.indexes.push(WrittenIndex {
            name: None,
            unique: index.unique || index.deferrable.is_some(),
            nulls_not_distinct: index.nulls_not_distinct,
            keys: index.keys.iter().map(part).collect::<Result<_>>()?,
            include: index.include.iter().map(name).collect::<Result<_>>()?,
            predicate: index.predicate.as_deref().map(bind::parse_expression).transpose()?,
            constraint: index.constraint.is_some(),
            deferrable: index.deferrable,
            primary: index.primary,
        });
    }
    Ok(())
}
