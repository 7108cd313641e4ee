//! Scalar functions.

use heliosdb_types::{Error, Result};

use super::{FuncContext, Typed};

/// A scalar function; then `names.call`; then 42883.
pub fn call(name: &str, _args: Vec<Typed>, _ctx: &FuncContext) -> Result<Typed> {
    Err(Error::unsupported(format!("function {name}")))
}
