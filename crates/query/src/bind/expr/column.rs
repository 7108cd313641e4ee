//! Column references: this level's, then the enclosing ones'.

use std::sync::Arc;

use arrow_schema::Field;
use datafusion::logical_expr::Expr;
use heliosdb_types::{Error, Result, SqlState};
use sqlparser::ast::Ident;
use sqlparser::tokenizer::Span;

use crate::bind::binder::Binder;
use crate::bind::names::fold_identifier;
use crate::bind::precedence::WHOLE_ROW;
use crate::bind::scope::{Clause, RowShape, Scope, ScopeColumn};
use crate::bind::subquery::outer;
use crate::func::Typed;

impl Binder<'_> {
    pub fn bind_identifier(&mut self, ident: &Ident) -> Result<Typed> {
        let name = fold_identifier(ident);
        if ident.quote_style.is_none() && matches!(name.as_str(), "current_schema" | "current_role") {
            // Functions written without parentheses that the parser takes for columns.
            let function = if name == "current_role" { "current_user" } else { &name };
            return crate::func::call(function, Vec::new(), self.func());
        }
        if self.levels.last().is_some_and(|level| level.clause == Clause::Default) {
            let message = "cannot use column reference in DEFAULT expression";
            return Err(self.error_at(ident.span, SqlState::FEATURE_NOT_SUPPORTED, message));
        }
        for depth in (self.level_floor..self.levels.len()).rev() {
            let Some(level) = self.levels.get(depth) else { break };
            let found = level.scope.unqualified(&name).map(|found| found.cloned());
            if let Some(column) = self.at(ident.span, found)? {
                return self.reference(depth, column, ident.span);
            }
        }
        if name == "tableoid"
            && let Some(relation) = self.levels.last().and_then(|level| only_table(&level.scope))
        {
            return self.table_oid(&relation);
        }
        for depth in (self.level_floor..self.levels.len()).rev() {
            if let Some(row) = self.bind_whole_row(depth, &name, ident.span)? {
                return Ok(row);
            }
        }
        let message = format!("column \"{name}\" does not exist");
        let mut error = self.error_at(ident.span, SqlState::UNDEFINED_COLUMN, message);
        if let Some(hint) = self.levels.last().and_then(|level| similar_column(&level.scope, &name)) {
            error = error.with_hint(hint);
        }
        Err(error)
    }

    /// The system column `tableoid`: without partitions, the same for every row.
    fn table_oid(&self, relation: &crate::catalog::Relation) -> Result<Typed> {
        let number = sqlparser::ast::Value::Number(relation.oid.0.to_string(), false);
        crate::func::cast(
            crate::func::literal(&number)?,
            &heliosdb_types::SqlType::Oid,
            crate::func::CastKind::Explicit,
            self.func(),
        )
    }

    /// A relation's name used as a value means its row.
    fn bind_whole_row(&mut self, depth: usize, name: &str, span: Span) -> Result<Option<Typed>> {
        let Some(level) = self.levels.get(depth) else { return Ok(None) };
        let relation = self.at(span, level.scope.relation(None, name))?;
        let Some(relation) = relation.cloned() else { return Ok(None) };
        let nullable = relation.row == RowShape::Nullable;
        if let (RowShape::Scalar, [only]) = (relation.row, relation.columns.as_slice()) {
            return self.reference(depth, only.clone(), span).map(Some);
        }
        let mut fields = Vec::with_capacity(relation.columns.len());
        for column in relation.columns {
            let name = column.name.clone();
            fields.push((name, self.reference(depth, column, span)?));
        }
        crate::func::row(fields, nullable, self.func()).map(Some)
    }

    /// `table.column` or `schema.table.column`.
    pub fn bind_compound_identifier(&mut self, parts: &[Ident]) -> Result<Typed> {
        let span = parts.first().map_or(Span::empty(), |ident| ident.span);
        let names: Vec<_> = parts.iter().map(fold_identifier).collect();
        let (schema, table, column) = match names.as_slice() {
            [table, column] => (None, table, column),
            [schema, table, column] => (Some(schema.as_str()), table, column),
            _ => return Err(Error::unsupported("a name of more than three parts")),
        };
        for depth in (self.level_floor..self.levels.len()).rev() {
            if column == WHOLE_ROW {
                match self.bind_whole_row(depth, table, span)? {
                    Some(row) => return Ok(row),
                    None => continue,
                }
            }
            let Some(level) = self.levels.get(depth) else { break };
            let relation = self.at(span, level.scope.relation(schema, table))?;
            let Some(relation) = relation else { continue };
            let found = self.at(span, relation.column(column))?.cloned();
            return match found {
                Some(column) => self.reference(depth, column, span),
                None if column == "tableoid" && relation.table.is_some() => {
                    let table = relation.table.clone().ok_or_else(|| Error::internal("a table that was just there"))?;
                    self.table_oid(&table)
                }
                None => {
                    let message = format!("column {table}.{column} does not exist");
                    Err(self.error_at(span, SqlState::UNDEFINED_COLUMN, message))
                }
            };
        }
        Err(self.missing_from(table, span))
    }

    fn missing_from(&self, table: &str, span: Span) -> Error {
        let aliased = self.levels.iter().flat_map(|level| &level.scope.relations).find(|relation| {
            relation.name != table && relation.table.as_ref().is_some_and(|found| found.name == table)
        });
        match aliased {
            Some(relation) => {
                let message = format!("invalid reference to FROM-clause entry for table \"{table}\"");
                self.error_at(span, SqlState::UNDEFINED_TABLE, message)
                    .with_hint(format!("Perhaps you meant to reference the table alias \"{}\".", relation.name))
            }
            None => {
                let message = format!("missing FROM-clause entry for table \"{table}\"");
                self.error_at(span, SqlState::UNDEFINED_TABLE, message)
            }
        }
    }

    /// A column found at `depth` of the stack, as this level sees it.
    fn reference(&mut self, depth: usize, column: ScopeColumn, span: Span) -> Result<Typed> {
        self.use_column(&column);
        if depth + 1 == self.levels.len() {
            let level = self.level();
            if !level.in_aggregate
                && level.clause != Clause::GroupBy
                && let Expr::Column(reference) = &column.value.expr
            {
                let reference = reference.clone();
                level.references.push((reference, span));
            }
            return Ok(column.value);
        }
        if let Some(level) = self.levels.get_mut(depth)
            && let Expr::Column(reference) = &column.value.expr
        {
            let reference = reference.clone();
            level.references.push((reference, span));
        }
        match &column.value.expr {
            Expr::Column(inner) => {
                let field = Arc::new(Field::new(&inner.name, column.value.arrow.clone(), true));
                let expr = Expr::OuterReferenceColumn(field, inner.clone());
                Ok(Typed { expr, ..column.value })
            }
            _ => outer(&column.value),
        }
    }
}

/// The one table of a FROM clause.
fn only_table(scope: &Scope) -> Option<Arc<crate::catalog::Relation>> {
    let mut tables = scope.relations.iter().filter_map(|relation| relation.table.as_ref());
    let first = tables.next()?;
    if tables.next().is_some() { None } else { Some(Arc::clone(first)) }
}

/// PostgreSQL's hint when a name is nearly a column's.
fn similar_column(scope: &Scope, name: &str) -> Option<String> {
    let bound = (name.len() / 2).clamp(1, 3);
    let candidates = scope.relations.iter().flat_map(|relation| relation.columns.iter().map(move |c| (relation, c)));
    let scored = candidates.map(|(relation, column)| (distance(name, &column.name), relation, column));
    let (_, relation, column) = scored.filter(|(d, _, _)| *d <= bound).min_by_key(|(d, _, _)| *d)?;
    Some(format!("Perhaps you meant to reference the column \"{}.{}\".", relation.name, column.name))
}

/// Levenshtein distance over characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cb, slot) in b.iter().zip(row.iter_mut().skip(1)) {
            let substituted = diagonal + usize::from(ca != *cb);
            diagonal = *slot;
            left = substituted.min(*slot + 1).min(left + 1);
            *slot = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::distance;

    #[test]
    fn edit_distance() {
        assert_eq!(distance("nmae", "name"), 2);
        assert_eq!(distance("idd", "id"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
