//! Relations named by text inside expressions: `nextval('s')`, `'s'::regclass`.
//!
//! Defaults keep the full name, and the text follows when the relation or its schema is renamed.

use sqlparser::ast::{self, DataType, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Value};

use crate::bind;
use crate::pg_catalog::{quote_identifier, split_qualified};

/// Calls `change` on every text in `expr` that names a relation; the text it gives takes its place.
fn visit(expr: &mut Expr, change: &mut dyn FnMut(&str) -> Option<String>) {
    // The visitor cannot fail here; its result only says whether it was stopped.
    let _: std::ops::ControlFlow<()> = ast::visit_expressions_mut(expr, |expr| {
        match expr {
            Expr::Cast { expr: inner, data_type: data_type @ DataType::Regclass, .. } => {
                *data_type = regclass();
                replace(inner, change);
            }
            Expr::Cast { expr: inner, data_type: DataType::Custom(name, _), .. }
                if name.to_string().eq_ignore_ascii_case("regclass") =>
            {
                replace(inner, change);
            }
            Expr::Function(call) => {
                let name = bind::object_name(&call.name).map(|(_, name)| name).unwrap_or_default();
                if !matches!(name.as_str(), "nextval" | "currval" | "setval") {
                    return std::ops::ControlFlow::Continue(());
                }
                if let FunctionArguments::List(list) = &mut call.args
                    && let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(first))) = list.args.first_mut()
                {
                    replace(first, change);
                }
            }
            _ => {}
        }
        std::ops::ControlFlow::Continue(())
    });
}

/// The type, written as PostgreSQL writes it.
fn regclass() -> DataType {
    DataType::Custom(ast::ObjectName::from(vec![ast::Ident::new("regclass")]), Vec::new())
}

fn replace(expr: &mut Expr, change: &mut dyn FnMut(&str) -> Option<String>) {
    if let Expr::Value(value) = expr
        && let Value::SingleQuotedString(text) = &value.value
        && let Some(new) = change(text)
    {
        value.value = Value::SingleQuotedString(new);
    }
}

/// Every name of a relation in an expression's text, as (schema, name).
pub(super) fn names_in(expression: &str) -> Vec<(Option<String>, String)> {
    let mut names = Vec::new();
    if !expression.contains('\'') {
        return names;
    }
    if let Ok(mut expr) = bind::parse_expression(expression) {
        visit(&mut expr, &mut |text| {
            names.extend(split_qualified(text));
            None
        });
    }
    names
}

/// `schema.name`, quoted where it must be.
pub(super) fn full_name(schema: &str, name: &str) -> String {
    format!("{}.{}", quote_identifier(schema), quote_identifier(name))
}

/// The expression with relations named in full, as `resolve` finds them, and `nextval('s')` saying what its text is.
pub(super) fn in_full(expr: &Expr, resolve: &dyn Fn(&str) -> Option<String>) -> Expr {
    let mut expr = expr.clone();
    visit(&mut expr, &mut |text| resolve(text));
    let _: std::ops::ControlFlow<()> = ast::visit_expressions_mut(&mut expr, |expr| {
        if let Expr::Function(call) = expr
            && let Ok((_, name)) = bind::object_name(&call.name)
            && matches!(name.as_str(), "nextval" | "currval" | "setval")
            && let FunctionArguments::List(list) = &mut call.args
            && let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(first @ Expr::Value(_)))) = list.args.first_mut()
        {
            let text = std::mem::replace(first, Expr::value(Value::Null));
            *first = Expr::Cast {
                kind: ast::CastKind::DoubleColon,
                expr: Box::new(text),
                data_type: regclass(),
                array: false,
                format: None,
            };
        }
        std::ops::ControlFlow::Continue(())
    });
    expr
}

/// The expression's text after a relation, or (`name` is `None`) a schema, was renamed; `None`: it does not name it.
pub(super) fn renamed(expression: &str, old: (&str, Option<&str>), new: (&str, Option<&str>)) -> Option<String> {
    if !expression.contains('\'') {
        return None;
    }
    let mut expr = bind::parse_expression(expression).ok()?;
    let mut found = false;
    visit(&mut expr, &mut |text| {
        let (schema, name) = split_qualified(text).ok()?;
        let same = schema.as_deref() == Some(old.0) && old.1.is_none_or(|old| old == name);
        found |= same;
        same.then(|| full_name(new.0, new.1.unwrap_or(&name)))
    });
    found.then(|| expr.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_a_rename() {
        let text = "nextval('public.s'::regclass) + 1";
        assert_eq!(names_in(text), [(Some("public".into()), "s".into())]);
        let moved = renamed(text, ("public", Some("s")), ("a", Some("S"))).unwrap();
        assert_eq!(moved, "nextval('a.\"S\"'::regclass) + 1");
        assert_eq!(renamed(&moved, ("a", None), ("b", None)).unwrap(), "nextval('b.\"S\"'::regclass) + 1");
        assert_eq!(renamed("'public.s'", ("public", Some("s")), ("a", None)), None);
        let expr = bind::parse_expression("nextval('s')").unwrap();
        assert_eq!(in_full(&expr, &|name| Some(format!("x.{name}"))).to_string(), "nextval('x.s'::regclass)");
    }
}
