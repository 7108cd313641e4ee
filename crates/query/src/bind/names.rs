//! Identifiers: case folding, object names, the names PostgreSQL gives to unnamed output columns.

use heliosdb_types::{Error, Result, SqlState, SqlType};
use sqlparser::ast::{self, Ident, ObjectName, ObjectNamePart};
use sqlparser::tokenizer::Span;

/// NAMEDATALEN - 1.
const IDENTIFIER_BYTES_MAX: usize = 63;

/// An identifier as the catalog knows it: unquoted ones folded to lower case, long ones cut.
pub fn fold_identifier(ident: &Ident) -> String {
    let mut name = match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_ascii_lowercase(),
    };
    if name.len() > IDENTIFIER_BYTES_MAX {
        let cut = (0..=IDENTIFIER_BYTES_MAX).rev().find(|at| name.is_char_boundary(*at)).unwrap_or(0);
        name.truncate(cut);
    }
    name
}

/// Refuses a text where the parser takes one for a name: `1 AS 'a'`.
pub fn no_text(ident: &Ident) -> Result<()> {
    match ident.quote_style {
        Some('\'') => Err(Error::syntax(format!("syntax error at or near \"{ident}\""))),
        _ => Ok(()),
    }
}

/// `[database.][schema.]name`, folded. A database other than this one is 0A000.
pub fn object_name(name: &ObjectName) -> Result<(Option<String>, String)> {
    let mut parts = Vec::with_capacity(name.0.len());
    for part in &name.0 {
        match part {
            // The parser takes a string for a name anywhere.
            ObjectNamePart::Identifier(ident) if ident.quote_style == Some('\'') => {
                let quoted = ident.value.replace('\'', "''");
                return Err(Error::syntax(format!("syntax error at or near \"'{quoted}'\"")));
            }
            ObjectNamePart::Identifier(ident) => parts.push(fold_identifier(ident)),
            ObjectNamePart::Function(_) => return Err(Error::unsupported("a function call in a name")),
        }
    }
    match parts.len() {
        1 => Ok((None, parts.swap_remove(0))),
        2 => {
            let object = parts.swap_remove(1);
            Ok((Some(parts.swap_remove(0)), object))
        }
        _ => Err(Error::invalid(
            SqlState::FEATURE_NOT_SUPPORTED,
            format!("cross-database references are not implemented: {name}"),
        )),
    }
}

pub(super) fn object_name_span(name: &ObjectName) -> Span {
    match name.0.first() {
        Some(ObjectNamePart::Identifier(ident)) => ident.span,
        Some(ObjectNamePart::Function(call)) => call.name.span,
        None => Span::empty(),
    }
}

/// The first words of a statement, to say that it is not supported.
pub(super) fn statement_name(statement: &ast::Statement) -> String {
    let text = statement.to_string();
    let words = text.split_whitespace().take_while(|word| word.chars().all(|c| c.is_ascii_uppercase()));
    let name = words.take(3).collect::<Vec<_>>().join(" ");
    if name.is_empty() { "this statement".into() } else { name }
}

/// How PostgreSQL names an output column without AS: the last column or function name, else a type's, else `?column?`.
pub(super) fn output_name(expr: &ast::Expr) -> String {
    figure(expr).map_or_else(|| "?column?".into(), |(name, _)| name)
}

/// The name and whether it is a strong one (a column or function, not a construct or type).
fn figure(expr: &ast::Expr) -> Option<(String, bool)> {
    use ast::Expr;
    let construct = |name: &str| Some((name.to_owned(), false));
    let function = |name: &str| Some((name.to_owned(), true));
    match expr {
        Expr::Identifier(ident) => Some((fold_identifier(ident), true)),
        Expr::CompoundIdentifier(parts) => parts.last().map(|ident| (fold_identifier(ident), true)),
        Expr::Function(call) => {
            let (_, name) = object_name(&call.name).ok()?;
            Some((name, true))
        }
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => figure(inner),
        Expr::Cast { expr: inner, data_type, .. } => {
            figure(inner).filter(|(_, strong)| *strong).or_else(|| type_name(data_type).map(|name| (name, false)))
        }
        Expr::TypedString(typed) => type_name(&typed.data_type).map(|name| (name, false)),
        Expr::Interval(_) => construct("interval"),
        Expr::Value(value) => match value.value {
            ast::Value::Boolean(_) => construct("bool"),
            _ => None,
        },
        Expr::Case { else_result, .. } => {
            else_result.as_deref().and_then(figure).filter(|(_, strong)| *strong).or_else(|| construct("case"))
        }
        Expr::BinaryOp { op: ast::BinaryOperator::Overlaps, .. } => function("overlaps"),
        Expr::Subquery(query) => subquery_column(query).map(|name| (name, true)),
        Expr::Exists { negated: false, .. } => construct("exists"),
        Expr::Array(_) => function("array"),
        Expr::Tuple(_) => construct("row"),
        Expr::Extract { .. } => function("extract"),
        Expr::Ceil { .. } => function("ceil"),
        Expr::Floor { .. } => function("floor"),
        Expr::Position { .. } => function("position"),
        Expr::Substring { shorthand: true, .. } => function("substr"),
        Expr::Substring { .. } => function("substring"),
        // `t.a[1]`: the parser reads the table as the root and the column as a field of it.
        Expr::CompoundFieldAccess { root, access_chain } => {
            let mut fields = access_chain.iter().rev().filter_map(|access| match access {
                ast::AccessExpr::Dot(field) => Some(field),
                ast::AccessExpr::Subscript(_) => None,
            });
            figure(fields.next().unwrap_or(root))
        }
        Expr::Overlay { .. } => function("overlay"),
        Expr::AtTimeZone { .. } => function("timezone"),
        Expr::Trim { trim_where, .. } => function(match trim_where {
            Some(ast::TrimWhereField::Leading) => "ltrim",
            Some(ast::TrimWhereField::Trailing) => "rtrim",
            _ => "btrim",
        }),
        _ => None,
    }
}

fn subquery_column(query: &ast::Query) -> Option<String> {
    match query.body.as_ref() {
        ast::SetExpr::Select(select) => match select.projection.first()? {
            ast::SelectItem::ExprWithAlias { alias, .. } => Some(fold_identifier(alias)),
            ast::SelectItem::UnnamedExpr(expr) => Some(output_name(expr)),
            _ => None,
        },
        ast::SetExpr::Query(inner) => subquery_column(inner),
        _ => None,
    }
}

fn type_name(data_type: &ast::DataType) -> Option<String> {
    match data_type {
        ast::DataType::Custom(name, _) => return object_name(name).ok().map(|(_, name)| name),
        ast::DataType::Array(ast::ArrayElemTypeDef::SquareBracket(element, _)) => return type_name(element),
        _ => {}
    }
    let sql_type = crate::func::type_from_ast(data_type, &crate::func::NoNames).ok()?;
    Some(internal_name(&sql_type))
}

/// `pg_type.typname`.
pub(super) fn internal_name(sql_type: &SqlType) -> String {
    match sql_type {
        SqlType::Bool => "bool".into(),
        SqlType::Int2 => "int2".into(),
        SqlType::Int4 => "int4".into(),
        SqlType::Int8 => "int8".into(),
        SqlType::Float4 => "float4".into(),
        SqlType::Float8 => "float8".into(),
        SqlType::Numeric(_) => "numeric".into(),
        SqlType::Varchar(_) => "varchar".into(),
        SqlType::Char(_) => "bpchar".into(),
        SqlType::QuotedChar => "char".into(),
        SqlType::Time(_) => "time".into(),
        SqlType::Timestamp(_) => "timestamp".into(),
        SqlType::Timestamptz(_) => "timestamptz".into(),
        SqlType::Array(element) => internal_name(element),
        other => other.name(),
    }
}
