//! Functions with a syntax of their own: EXTRACT, SUBSTRING, TRIM, POSITION, AT TIME ZONE, INTERVAL literals, COLLATE.

use heliosdb_types::datetime::{DateField, parse_interval, trunc_interval, write_interval};
use heliosdb_types::{Error, Result, SqlState, SqlType};
use sqlparser::ast::{self, CeilFloorKind, DateTimeField, Expr};

use crate::bind::binder::Binder;
use crate::bind::from::refuse;
use crate::bind::names::object_name;
use crate::func::{self, CastKind, Typed};

impl Binder<'_> {
    pub fn bind_special_syntax(&mut self, expr: &Expr) -> Result<Typed> {
        match expr {
            Expr::Extract { field, syntax: _, expr } => {
                let value = self.bind_expr(expr)?;
                func::extract(&field_name(field), value, self.func())
            }
            Expr::Ceil { expr, field } => self.bind_rounding("ceil", expr, field),
            Expr::Floor { expr, field } => self.bind_rounding("floor", expr, field),
            Expr::Position { expr, r#in } => {
                let part = self.bind_expr(expr)?;
                let whole = self.bind_expr(r#in)?;
                func::call("position", vec![whole, part], self.func())
            }
            Expr::Substring { expr, substring_from, substring_for, special: _, shorthand } => {
                let mut args = vec![self.bind_expr(expr)?];
                match (substring_from, substring_for) {
                    (None, Some(length)) => {
                        args.push(func::literal(&ast::Value::Number("1".into(), false))?);
                        args.push(self.bind_expr(length)?);
                    }
                    (from, length) => {
                        for part in [from, length].into_iter().flatten() {
                            args.push(self.bind_expr(part)?);
                        }
                    }
                }
                // `substr` knows no patterns.
                func::call(if *shorthand { "substr" } else { "substring" }, args, self.func())
            }
            Expr::Trim { trim_where, trim_what, expr, trim_characters } => {
                let name = match trim_where {
                    Some(ast::TrimWhereField::Leading) => "ltrim",
                    Some(ast::TrimWhereField::Trailing) => "rtrim",
                    Some(ast::TrimWhereField::Both) | None => "btrim",
                };
                let mut args = vec![self.bind_expr(expr)?];
                for what in trim_what.iter().map(AsRef::as_ref).chain(trim_characters.iter().flatten()) {
                    args.push(self.bind_expr(what)?);
                }
                func::call(name, args, self.func())
            }
            Expr::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
                let mut args = Vec::with_capacity(4);
                for part in [expr, overlay_what, overlay_from].into_iter().chain(overlay_for) {
                    args.push(self.bind_expr(part)?);
                }
                func::call("overlay", args, self.func())
            }
            Expr::AtTimeZone { timestamp, time_zone } => {
                let value = self.bind_expr(timestamp)?;
                let zone = self.bind_expr(time_zone)?;
                func::call("timezone", vec![zone, value], self.func())
            }
            Expr::Collate { expr, collation } => self.bind_collate(expr, collation),
            other => Err(Error::internal(format!("{other} has no syntax of its own"))),
        }
    }

    fn bind_rounding(&mut self, name: &str, expr: &Expr, field: &CeilFloorKind) -> Result<Typed> {
        refuse(!matches!(field, CeilFloorKind::DateTimeField(DateTimeField::NoDateTime)), "CEIL/FLOOR ... TO")?;
        let value = self.bind_expr(expr)?;
        func::call(name, vec![value], self.func())
    }

    /// Text is ordered bytewise, so only the collations that mean that are accepted.
    fn bind_collate(&mut self, expr: &Expr, collation: &ast::ObjectName) -> Result<Typed> {
        let (schema, name) = object_name(collation)?;
        let value = self.bind_text(expr)?;
        if !matches!(
            value.sql_type,
            SqlType::Text | SqlType::Varchar(_) | SqlType::Char(_) | SqlType::Name | SqlType::QuotedChar
        ) {
            let message = format!("collations are not supported by type {}", value.sql_type.name());
            return Err(Error::invalid(SqlState::DATATYPE_MISMATCH, message));
        }
        match (schema.as_deref(), name.as_str()) {
            (None | Some("pg_catalog"), "default" | "C" | "POSIX" | "ucs_basic") => Ok(value),
            _ => Err(Error::unsupported(format!("collation \"{name}\""))),
        }
    }

    /// `INTERVAL '...' [field]`: a bare number counts the field, and what is smaller than the field is cut off.
    pub fn bind_interval(&mut self, interval: &ast::Interval) -> Result<Typed> {
        let ast::Interval { value, leading_field, leading_precision, last_field, fractional_seconds_precision } =
            interval;
        refuse(leading_precision.is_some() || fractional_seconds_precision.is_some(), "a precision of INTERVAL")?;
        refuse(last_field.is_some(), "INTERVAL ... TO ...")?;
        let Expr::Value(ast::ValueWithSpan { value: ast::Value::SingleQuotedString(text), span }) = value.as_ref()
        else {
            return Err(Error::syntax("INTERVAL takes a string literal"));
        };
        let text = match leading_field {
            None => text.clone(),
            Some(field) => {
                let text = interval_of_field(text, field);
                self.at(*span, text)?
            }
        };
        let literal = func::literal(&ast::Value::SingleQuotedString(text))?;
        let cast = func::cast(literal, &SqlType::Interval, CastKind::Explicit, self.func());
        self.at(*span, cast)
    }
}

fn interval_of_field(text: &str, field: &DateTimeField) -> Result<String> {
    let (unit, smallest) = match field {
        DateTimeField::Year => ("year", Some(DateField::Year)),
        DateTimeField::Month => ("month", Some(DateField::Month)),
        DateTimeField::Day => ("day", Some(DateField::Day)),
        DateTimeField::Hour => ("hour", Some(DateField::Hour)),
        DateTimeField::Minute => ("minute", Some(DateField::Minute)),
        // Fractions of it stay.
        DateTimeField::Second => ("second", None),
        // PostgreSQL takes such a word for a label, and the number for seconds.
        other => {
            let message = format!("\"{}\" is not a field of INTERVAL", field_name(other));
            return Err(
                Error::syntax(message).with_hint("Write the unit between the quotes, as in INTERVAL '5 years'.")
            );
        }
    };
    let is_number = |word: &str| word.parse::<f64>().is_ok();
    let text = match text.split_whitespace().collect::<Vec<_>>()[..] {
        [number] if is_number(number) => format!("{number} {unit}"),
        [.., last] if is_number(last) => {
            return Err(Error::unsupported("INTERVAL text that ends in a number without a unit, and a field after it"));
        }
        _ => text.to_owned(),
    };
    let Some(smallest) = smallest else { return Ok(text) };
    let mut whole = String::new();
    write_interval(trunc_interval(smallest, parse_interval(&text)?)?, &mut whole);
    Ok(whole)
}

fn field_name(field: &DateTimeField) -> String {
    match field {
        DateTimeField::Custom(ident) => ident.value.to_ascii_lowercase(),
        other => other.to_string().to_ascii_lowercase(),
    }
}
