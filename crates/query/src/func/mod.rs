//! PostgreSQL's typing over DataFusion expressions: casts, operators, functions and aggregates.
//!
//! Invariants: every expression the binder holds is a [`Typed`]; its DataFusion type is exactly `arrow`, so DataFusion's own
//! coercion never has anything to do; nothing here touches plans, tables or sessions beyond [`FuncContext`].

mod aggregate;
mod array;
mod cast;
mod catalog_rows;
mod chain;
mod columns;
mod common;
mod decimal;
mod enums;
mod extract;
mod json;
mod literal;
mod operator;
mod record;
mod regex;
mod rows;
mod scalar;
mod series;
mod text_rows;
mod types;
mod udf;
mod value;
mod window;
mod window_range;
mod window_shift;

use std::sync::Arc;

use parking_lot::Mutex;

use arrow_schema::DataType;
use datafusion::logical_expr::Expr;
use heliosdb_types::{Oid, Result, SqlType, TextContext};

pub use aggregate::{
    aggregate, is_aggregate, is_order_sensitive, is_ordered_set, one_of_equals, ordered_set, single_value,
};
pub(crate) use array::type_key;
pub use array::{Subscript, array_of, assign, quantified, subscript};
pub use cast::{cast, reference_for_client, reg_from_name, to_numeric_bytes};
pub(crate) use catalog_rows::EXPAND_ARRAY;
pub use chain::Chain;
pub use common::{as_it_is, common_type, unify};
pub use extract::{extract, is_kept_as_numeric};
pub use json::{RecordColumn, is_record_function, record_rows, subscript_json};
pub use literal::literal;
pub use operator::{binary, check_comparable, is_distinct, is_its_own_key, like, similar_to, sort_key, unary};
pub use record::{field, row, row_is_null};
pub use rows::{RowsCall, RowsColumn, gives_rows, integer_series, ordinality, rows, series_bound};
#[cfg(test)]
pub use scalar::overloads;
pub use scalar::{call, call_variadic, time_of_day};
pub use types::type_from_ast;
pub use window::{WindowCall, is_window, window};
pub use window_range::{RangeKey, constant_distance, has_interval_distances, range_distance, range_key};

/// An expression with its SQL type and the Arrow type its values have.
///
/// The Arrow type follows `contracts::arrow_type(sql_type.physical())`, except: SQL `numeric` values may travel as any
/// Decimal64/Decimal128 (exact, display scale = the decimal's scale) or as BinaryView (`types::Numeric` bytes). An untyped literal is `Unknown` with a Utf8View literal (or a NULL) inside.
#[derive(Clone, Debug, PartialEq)]
pub struct Typed {
    pub expr: Expr,
    pub sql_type: SqlType,
    pub arrow: DataType,
}

/// How strictly a cast is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CastKind {
    Implicit,
    Assignment,
    Explicit,
}

/// What typing needs from outside.
#[derive(Clone)]
pub struct FuncContext {
    pub text: Arc<TextContext>,
    pub names: Arc<dyn NameLookup>,
    sequences: Arc<dyn SequenceSource>,
}

impl FuncContext {
    pub fn new(text: Arc<TextContext>, names: Arc<dyn NameLookup>, sequences: Arc<dyn SequenceSource>) -> FuncContext {
        FuncContext { text, names, sequences }
    }

    /// The session's sequences, for a plan that holds on to them.
    pub fn sequences(&self) -> Arc<dyn SequenceSource> {
        self.names.note_personal();
        Arc::clone(&self.sequences)
    }
}

/// Catalog look-ups behind `reg*` casts and catalog functions.
pub trait NameLookup: Send + Sync {
    fn relation_oid(&self, name: &str) -> Result<Oid>;
    fn relation_name(&self, oid: Oid) -> Option<String>;
    fn schema_oid(&self, name: &str) -> Result<Oid>;
    fn schema_name(&self, oid: Oid) -> Option<String>;
    fn role_oid(&self, name: &str) -> Result<Oid>;
    fn role_name(&self, oid: Oid) -> Option<String>;
    /// A user-defined type (or its array type, by PostgreSQL's name for it); without a schema, by the search path.
    fn type_named(&self, _schema: Option<&str>, _name: &str) -> Option<SqlType> {
        None
    }
    /// The same for a name that was written into a definition, under a search path nobody knows any more.
    fn type_stored(&self, schema: Option<&str>, name: &str) -> Option<SqlType> {
        self.type_named(schema, name)
    }
    fn user_type(&self, _oid: Oid) -> Option<SqlType> {
        None
    }
    /// A function by its name alone; an error unless there is exactly one.
    fn function_oid(&self, name: &str) -> Result<Oid> {
        let message = format!("function \"{name}\" does not exist");
        Err(heliosdb_types::Error::invalid(heliosdb_types::SqlState::UNDEFINED_FUNCTION, message))
    }
    fn function_name(&self, _oid: Oid) -> Option<String> {
        None
    }
    /// A type that has no value form of its own, by its OID.
    fn type_name(&self, _oid: Oid) -> Option<String> {
        None
    }
    /// The channels the session listens to, now and whenever it is looked at.
    fn listening(&self) -> Arc<Mutex<Vec<Arc<str>>>> {
        Arc::default()
    }
    /// What is being bound depends on the session itself: no other may run it.
    fn note_personal(&self) {}
    /// A function of the catalog or the session (`pg_get_expr`, `current_setting`, ...); `None`: no such function.
    fn call(&self, name: &str, args: &[Typed]) -> Option<Result<Typed>>;
}

/// Knows no names: for types that are built in.
pub(crate) struct NoNames;

impl NameLookup for NoNames {
    fn relation_oid(&self, name: &str) -> Result<Oid> {
        Err(no_name(name))
    }
    fn relation_name(&self, _oid: Oid) -> Option<String> {
        None
    }
    fn schema_oid(&self, name: &str) -> Result<Oid> {
        Err(no_name(name))
    }
    fn schema_name(&self, _oid: Oid) -> Option<String> {
        None
    }
    fn role_oid(&self, name: &str) -> Result<Oid> {
        Err(no_name(name))
    }
    fn role_name(&self, _oid: Oid) -> Option<String> {
        None
    }
    fn call(&self, _name: &str, _args: &[Typed]) -> Option<Result<Typed>> {
        None
    }
}

fn no_name(name: &str) -> heliosdb_types::Error {
    heliosdb_types::Error::internal(format!("nothing to look \"{name}\" up in"))
}

/// Sequences, for nextval, currval, setval, lastval.
pub trait SequenceSource: Send + Sync {
    fn nextval(&self, sequence: Oid) -> Result<i64>;
    fn currval(&self, sequence: Oid) -> Result<i64>;
    fn lastval(&self) -> Result<i64>;
    fn setval(&self, sequence: Oid, value: i64, is_called: bool) -> Result<i64>;
}

pub(crate) use aggregate::{ShiftedSum, is_exact_sum, undefined};
pub(crate) use udf::Function;
