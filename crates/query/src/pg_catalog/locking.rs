//! Functions that wait: advisory locks, pg_sleep; and their kin that do not. Those that wait are asynchronous, so that a
//! waiting session holds no thread.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use arrow_schema::DataType;
use async_trait::async_trait;
use datafusion::common::Result as DfResult;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::async_udf::{AsyncScalarUDF, AsyncScalarUDFImpl};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};
use heliosdb_contracts::{AdvisoryKey, arrow_type, datum_at};
use heliosdb_runtime::Clock;
use heliosdb_types::{Datum, DatumRef, Error, PhysicalType, Result, SqlState, SqlType};

use super::Facts;
use super::functions::argument;
use crate::exec::{array_of, to_datafusion};
use crate::func::{Function, Typed};
use crate::session::{Keep, SessionLocks};

/// What a call does, taken from its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Action {
    Lock { exclusive: bool, for_transaction: bool },
    Try { exclusive: bool, for_transaction: bool },
    Unlock { exclusive: bool },
    UnlockAll,
    Sleep,
}

fn action(name: &str) -> Option<Action> {
    if name == "pg_sleep" {
        return Some(Action::Sleep);
    }
    if name == "pg_advisory_unlock_all" {
        return Some(Action::UnlockAll);
    }
    let (rest, tries) = match name.strip_prefix("pg_try_advisory_") {
        Some(rest) => (rest, true),
        None => (name.strip_prefix("pg_advisory_")?, false),
    };
    let (rest, exclusive) = rest.strip_suffix("_shared").map_or((rest, true), |rest| (rest, false));
    match (rest, tries) {
        ("unlock", false) => Some(Action::Unlock { exclusive }),
        ("lock" | "xact_lock", _) => {
            let for_transaction = rest == "xact_lock";
            Some(match tries {
                true => Action::Try { exclusive, for_transaction },
                false => Action::Lock { exclusive, for_transaction },
            })
        }
        _ => None,
    }
}

fn keep(for_transaction: bool) -> Keep {
    if for_transaction { Keep::Transaction } else { Keep::Session }
}

/// Resolves a call; `None` if it is none of these.
pub(super) fn call(facts: &Arc<Facts>, name: &str, args: &[Typed]) -> Option<Result<Typed>> {
    let action = action(name)?;
    Some(build(facts, name, action, args))
}

fn build(facts: &Arc<Facts>, name: &str, action: Action, args: &[Typed]) -> Result<Typed> {
    let parameters: &[SqlType] = match (action, args) {
        (Action::UnlockAll, []) => &[],
        (Action::Sleep, [_]) => &[SqlType::Float8],
        (Action::Lock { .. } | Action::Try { .. } | Action::Unlock { .. }, [_]) => &[SqlType::Int8],
        (Action::Lock { .. } | Action::Try { .. } | Action::Unlock { .. }, [_, _]) => &[SqlType::Int4, SqlType::Int4],
        _ => {
            let types: Vec<String> = args.iter().map(|arg| arg.sql_type.name()).collect();
            let message = format!("function {name}({}) does not exist", types.join(", "));
            return Err(Error::invalid(SqlState::UNDEFINED_FUNCTION, message).with_hint(
                "No function matches the given name and argument types. You might need to add explicit type casts.",
            ));
        }
    };
    let context = facts.func_context();
    let mut exprs = Vec::with_capacity(args.len());
    let mut physical = Vec::with_capacity(args.len());
    for (arg, parameter) in args.iter().zip(parameters) {
        exprs.push(argument(arg, parameter, &context)?.expr);
        physical.push(parameter.physical().unwrap_or(PhysicalType::Text));
    }
    let locks = Arc::clone(&facts.locks);
    let sql_type = match action {
        Action::Lock { .. } | Action::UnlockAll | Action::Sleep => SqlType::Void,
        Action::Try { .. } | Action::Unlock { .. } => SqlType::Bool,
    };
    let returned = sql_type.physical().unwrap_or(PhysicalType::Text);
    let arrow = arrow_type(returned);
    let expr = if matches!(action, Action::Lock { .. } | Action::Sleep) {
        let clock = Arc::clone(&facts.engine.options.clock);
        let signature = Signature::exact(physical.iter().map(|p| arrow_type(*p)).collect(), Volatility::Volatile);
        let waiting = Waiting { name: name.to_owned(), action, parameters: physical, locks, clock, signature };
        let function = AsyncScalarUDF::new(Arc::new(waiting)).into_scalar_udf();
        Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(function), exprs))
    } else {
        let key = format!("{name}@{}", locks.owner);
        let function = Function::values(name, key, physical, returned, move |values| at_once(&locks, action, values));
        function.volatile().call(exprs)
    };
    Ok(Typed { expr, sql_type, arrow })
}

fn at_once(locks: &SessionLocks, action: Action, values: &[DatumRef<'_>]) -> Result<Datum> {
    if values.iter().any(DatumRef::is_null) {
        return Ok(Datum::Null);
    }
    match action {
        Action::Try { exclusive, for_transaction } => {
            locks.try_take(key(locks, values), exclusive, keep(for_transaction)).map(Datum::Bool)
        }
        Action::Unlock { exclusive } => Ok(Datum::Bool(locks.give_up(key(locks, values), exclusive))),
        _ => {
            locks.give_up_all();
            Ok(Datum::Text(String::new()))
        }
    }
}

fn key(locks: &SessionLocks, values: &[DatumRef<'_>]) -> AdvisoryKey {
    let database = locks.database;
    match values {
        [DatumRef::Int32(class), DatumRef::Int32(object)] => {
            AdvisoryKey { database, class: class.cast_unsigned(), object: object.cast_unsigned(), kind: 2 }
        }
        [DatumRef::Int64(key)] => AdvisoryKey { database, class: (key >> 32) as u32, object: *key as u32, kind: 1 },
        _ => AdvisoryKey { database, class: 0, object: 0, kind: 1 },
    }
}

/// A function that waits.
struct Waiting {
    name: String,
    action: Action,
    parameters: Vec<PhysicalType>,
    locks: Arc<SessionLocks>,
    clock: Arc<dyn Clock>,
    signature: Signature,
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Waiting) -> bool {
        self.name == other.name && self.parameters == other.parameters && self.locks.owner == other.locks.owner
    }
}

impl Eq for Waiting {}

impl Hash for Waiting {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Waiting {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> DfResult<DataType> {
        Ok(arrow_type(PhysicalType::Text))
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        Err(DataFusionError::Internal(format!("{} waits and cannot be called in passing", self.name)))
    }
}

#[async_trait]
impl AsyncScalarUDFImpl for Waiting {
    async fn invoke_async_with_args(&self, args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        let rows = args.number_rows;
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let mut results = Vec::with_capacity(rows);
        for row in 0..rows {
            // One value stands for all rows where the arguments are constants.
            let value = |(array, physical): (&arrow_array::ArrayRef, &PhysicalType)| {
                let row = if array.len() == 1 { 0 } else { row };
                datum_at(array, row, *physical).map(|value| value.to_owned())
            };
            let values = arrays.iter().zip(&self.parameters).map(value).collect::<Result<Vec<Datum>>>();
            results.push(self.wait(&values.map_err(to_datafusion)?).await.map_err(to_datafusion)?);
        }
        let array = array_of(PhysicalType::Text, results.iter().map(Datum::as_ref)).map_err(to_datafusion)?;
        Ok(ColumnarValue::Array(array))
    }
}

impl Waiting {
    async fn wait(&self, values: &[Datum]) -> Result<Datum> {
        let values: Vec<DatumRef<'_>> = values.iter().map(Datum::as_ref).collect();
        if values.iter().any(DatumRef::is_null) {
            return Ok(Datum::Null);
        }
        match (self.action, values.as_slice()) {
            (Action::Lock { exclusive, for_transaction }, values) => {
                self.locks.take(key(&self.locks, values), exclusive, keep(for_transaction)).await?;
            }
            (_, [DatumRef::Float64(seconds)]) => {
                let time = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX);
                let cancel = self.locks.cancel_flag();
                tokio::select! {
                    biased;
                    () = cancel.cancelled() => return Err(cancel.error()),
                    () = self.clock.sleep(time) => {}
                }
            }
            _ => {}
        }
        Ok(Datum::Text(String::new()))
    }
}
