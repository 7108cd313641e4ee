//! The select list: expressions, aliases, `*` and `t.*`.

use heliosdb_types::{Error, Result, SqlState, SqlType};
use sqlparser::ast::{self, SelectItem, SelectItemQualifiedWildcardKind, Spanned};

use super::binder::{Binder, is_open};
use super::from::refuse;
use super::names::{fold_identifier, object_name, object_name_span, output_name};
use super::plan::Item;
use super::scope::{Origin, ScopeColumn};
use crate::func::Typed;

impl Binder<'_> {
    pub fn bind_select_list(&mut self, list: &[SelectItem], open: bool) -> Result<Vec<Item>> {
        let mut items = Vec::with_capacity(list.len());
        for item in list {
            match item {
                SelectItem::UnnamedExpr(expr) => items.push(self.bind_item(expr, output_name(expr), open)?),
                SelectItem::ExprWithAlias { expr, alias } => {
                    super::names::no_text(alias)?;
                    items.push(self.bind_item(expr, fold_identifier(alias), open)?);
                }
                SelectItem::ExprWithAliases { .. } => {
                    return Err(Error::unsupported("several aliases of one expression"));
                }
                SelectItem::Wildcard(options) => {
                    check_wildcard(options)?;
                    self.expand_all(&mut items)?;
                }
                SelectItem::QualifiedWildcard(kind, options) => {
                    check_wildcard(options)?;
                    self.expand_relation(kind, &mut items)?;
                }
            }
        }
        Ok(items)
    }

    fn bind_item(&mut self, expr: &ast::Expr, name: String, open: bool) -> Result<Item> {
        let value = self.bind_expr(expr)?;
        let origin = self.origin_of(&value);
        let value = if open && is_open(&value) && value.sql_type == SqlType::Unknown {
            value
        } else {
            let settled = self.settle(value);
            self.at(expr.span(), settled)?
        };
        Ok(Item { name, value, origin })
    }

    fn origin_of(&mut self, value: &Typed) -> Option<Origin> {
        let datafusion::logical_expr::Expr::Column(column) = &value.expr else { return None };
        self.level().scope.owner(column).and_then(|(_, column)| column.origin)
    }

    fn expand_all(&mut self, items: &mut Vec<Item>) -> Result<()> {
        if self.level().scope.relations.is_empty() {
            return Err(Error::syntax("SELECT * with no tables specified is not valid"));
        }
        let columns = self.level().scope.visible.clone();
        self.push_columns(columns, items);
        Ok(())
    }

    fn expand_relation(&mut self, kind: &SelectItemQualifiedWildcardKind, items: &mut Vec<Item>) -> Result<()> {
        let SelectItemQualifiedWildcardKind::ObjectName(name) = kind else {
            return Err(Error::unsupported("(expression).*"));
        };
        let (schema, table) = object_name(name)?;
        let span = object_name_span(name);
        let relation = self.level().scope.relation(schema.as_deref(), &table).map(|found| found.cloned());
        let Some(relation) = self.at(span, relation)? else {
            let message = format!("missing FROM-clause entry for table \"{table}\"");
            return Err(self.error_at(span, SqlState::UNDEFINED_TABLE, message));
        };
        self.push_columns(relation.columns, items);
        Ok(())
    }

    fn push_columns(&mut self, columns: Vec<ScopeColumn>, items: &mut Vec<Item>) {
        for column in columns {
            self.use_column(&column);
            if let datafusion::logical_expr::Expr::Column(reference) = &column.value.expr {
                let reference = reference.clone();
                self.level().references.push((reference, sqlparser::tokenizer::Span::empty()));
            }
            items.push(Item { name: column.name, value: column.value, origin: column.origin });
        }
    }
}

fn check_wildcard(options: &ast::WildcardAdditionalOptions) -> Result<()> {
    let ast::WildcardAdditionalOptions {
        wildcard_token: _,
        opt_ilike,
        opt_exclude,
        opt_except,
        opt_replace,
        opt_rename,
        opt_alias,
    } = options;
    let any = opt_ilike.is_some() || opt_exclude.is_some() || opt_except.is_some() || opt_replace.is_some();
    refuse(any || opt_rename.is_some() || opt_alias.is_some(), "options of *")
}
