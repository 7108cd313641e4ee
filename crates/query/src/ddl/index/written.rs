//! An index as it was written.

use heliosdb_types::{Error, Result, SqlState};
use sqlparser::ast::{self, Expr};

use crate::bind;
use crate::catalog::Deferrable;

/// What CREATE INDEX or a UNIQUE constraint says.
#[derive(Clone, Debug)]
pub(in crate::ddl) struct WrittenIndex {
    pub name: Option<String>,
    pub unique: bool,
    pub nulls_not_distinct: bool,
    pub keys: Vec<WrittenPart>,
    pub include: Vec<String>,
    pub predicate: Option<Expr>,
    /// It enforces a UNIQUE constraint of its name.
    pub constraint: bool,
    pub deferrable: Option<Deferrable>,
    /// The constraint is a PRIMARY KEY, a DEFERRABLE one.
    pub primary: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(in crate::ddl) struct WrittenPart {
    pub expr: Expr,
    pub descending: bool,
    pub nulls_first: bool,
}

impl WrittenIndex {
    /// UNIQUE over columns.
    pub fn unique_columns(name: Option<String>, columns: Vec<ast::Ident>, nulls_not_distinct: bool) -> WrittenIndex {
        let part = |column| WrittenPart { expr: Expr::Identifier(column), descending: false, nulls_first: false };
        WrittenIndex {
            name,
            unique: true,
            nulls_not_distinct,
            keys: columns.into_iter().map(part).collect(),
            include: Vec::new(),
            predicate: None,
            constraint: true,
            deferrable: None,
            primary: false,
        }
    }

    /// A DEFERRABLE PRIMARY KEY: a table's rows are found by their key only if no two ever have the same.
    pub fn late_key(name: Option<String>, columns: Vec<ast::Ident>, deferrable: Deferrable) -> WrittenIndex {
        let unique = WrittenIndex::unique_columns(name, columns, false);
        WrittenIndex { deferrable: Some(deferrable), primary: true, ..unique }
    }

    /// The columns it is over.
    pub fn columns(&self) -> impl Iterator<Item = String> + '_ {
        self.keys.iter().filter_map(|part| match &part.expr {
            Expr::Identifier(name) => Some(bind::fold_identifier(name)),
            _ => None,
        })
    }
}

/// Operator classes that are B-tree order as we have it: bytewise for text.
fn is_default_class(name: &ast::ObjectName) -> bool {
    let name = name.0.last().map(ToString::to_string).unwrap_or_default().to_ascii_lowercase();
    matches!(
        name.as_str(),
        "text_ops"
            | "text_pattern_ops"
            | "varchar_ops"
            | "varchar_pattern_ops"
            | "bpchar_ops"
            | "bpchar_pattern_ops"
            | "int2_ops"
            | "int4_ops"
            | "int8_ops"
            | "float4_ops"
            | "float8_ops"
            | "numeric_ops"
            | "bool_ops"
            | "date_ops"
            | "time_ops"
            | "timestamp_ops"
            | "timestamptz_ops"
            | "interval_ops"
            | "uuid_ops"
            | "bytea_ops"
    )
}

pub(in crate::ddl) fn read_part(column: &ast::IndexColumn) -> Result<WrittenPart> {
    let ast::IndexColumn { column, operator_class } = column;
    let ast::OrderByExpr { expr, options, with_fill } = column;
    if with_fill.is_some() {
        return Err(Error::unsupported("WITH FILL"));
    }
    if let Some(class) = operator_class.as_ref().filter(|class| !is_default_class(class)) {
        return Err(Error::unsupported(format!("operator class \"{class}\"")));
    }
    let descending = options.asc == Some(false);
    let mut expr = expr.clone();
    while let Expr::Nested(inner) = expr {
        expr = *inner;
    }
    if let Expr::Collate { expr: inner, collation } = &expr {
        let last = collation.0.last().map(ToString::to_string).unwrap_or_default();
        if !matches!(last.trim_matches('"'), "C" | "POSIX" | "default" | "ucs_basic") {
            return Err(Error::unsupported(format!("COLLATE {collation}")));
        }
        expr = (**inner).clone();
    }
    Ok(WrittenPart { expr, descending, nulls_first: options.nulls_first.unwrap_or(descending) })
}

/// B-tree is the one method there is.
pub(super) fn check_method(method: Option<&ast::IndexType>) -> Result<()> {
    match method {
        None | Some(ast::IndexType::BTree) => Ok(()),
        Some(ast::IndexType::Custom(name)) if name.value.eq_ignore_ascii_case("btree") => Ok(()),
        Some(ast::IndexType::Custom(name)) => {
            let message = format!("access method \"{}\" does not exist", bind::fold_identifier(name));
            Err(Error::invalid(SqlState::UNDEFINED_OBJECT, message))
        }
        Some(other) => Err(Error::unsupported(format!("access method \"{}\"", other.to_string().to_ascii_lowercase()))
            .with_hint("Use btree, the default: it serves equality, ranges and order.")),
    }
}

/// `[NOT] DEFERRABLE [INITIALLY DEFERRED | IMMEDIATE]`.
pub(in crate::ddl) fn read_deferrable(
    characteristics: Option<&ast::ConstraintCharacteristics>,
) -> Result<Option<Deferrable>> {
    let Some(ast::ConstraintCharacteristics { deferrable, initially, enforced }) = characteristics else {
        return Ok(None);
    };
    if *enforced == Some(false) {
        return Err(Error::unsupported("a constraint that is NOT ENFORCED"));
    }
    let initially_deferred = matches!(initially, Some(ast::DeferrableInitial::Deferred));
    if initially_deferred && *deferrable == Some(false) {
        return Err(Error::syntax("constraint declared INITIALLY DEFERRED must be DEFERRABLE"));
    }
    Ok(deferrable.unwrap_or(initially_deferred).then_some(Deferrable { initially_deferred }))
}

/// 0A000 for what constraints can be and ours cannot.
pub(in crate::ddl) fn check_characteristics(
    characteristics: Option<&ast::ConstraintCharacteristics>,
    what: &str,
) -> Result<()> {
    let Some(ast::ConstraintCharacteristics { deferrable, initially, enforced }) = characteristics else {
        return Ok(());
    };
    if *enforced == Some(false) {
        return Err(Error::unsupported("a constraint that is NOT ENFORCED"));
    }
    let deferred = matches!(initially, Some(ast::DeferrableInitial::Deferred));
    if *deferrable == Some(true) || deferred {
        return Err(Error::unsupported(format!("a DEFERRABLE {what} constraint"))
            .with_hint("UNIQUE, PRIMARY KEY and FOREIGN KEY constraints can be DEFERRABLE."));
    }
    Ok(())
}

/// UNIQUE as a table constraint.
pub(in crate::ddl) fn read_unique(constraint: &ast::UniqueConstraint) -> Result<WrittenIndex> {
    let ast::UniqueConstraint {
        name,
        index_name,
        index_type_display: _,
        index_type,
        columns,
        index_options,
        characteristics,
        nulls_distinct,
    } = constraint;
    if index_name.is_some() || index_type.is_some() || !index_options.is_empty() {
        return Err(Error::unsupported("UNIQUE with options"));
    }
    let deferrable = read_deferrable(characteristics.as_ref())?;
    let mut names = Vec::with_capacity(columns.len());
    for column in columns {
        match &column.column.expr {
            Expr::Identifier(name) if column.operator_class.is_none() && column.column.options.asc.is_none() => {
                names.push(name.clone());
            }
            _ => return Err(Error::syntax("a UNIQUE constraint is over columns")),
        }
    }
    let not_distinct = matches!(nulls_distinct, ast::NullsDistinctOption::NotDistinct);
    let name = name.as_ref().map(bind::fold_identifier);
    Ok(WrittenIndex { deferrable, ..WrittenIndex::unique_columns(name, names, not_distinct) })
}
