//! DataFusion's errors as ours.
//!
//! Our own errors travel through DataFusion as `External`; whatever DataFusion or Arrow raise themselves is mapped to the
//! SQLSTATE PostgreSQL would use, or is an internal error.

use std::error::Error as StdError;
use std::sync::Arc;

use arrow_schema::ArrowError;
use datafusion::error::DataFusionError;
use heliosdb_types::{Error, SqlState};

/// Wraps one of our errors for its way through DataFusion.
pub(crate) fn to_datafusion(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// Finds our error inside DataFusion's wrappers, or maps what DataFusion says.
pub(crate) fn from_datafusion(error: DataFusionError) -> Error {
    match error {
        DataFusionError::External(inner) => match inner.downcast::<Error>() {
            Ok(ours) => *ours,
            Err(inner) => match inner.downcast::<DataFusionError>() {
                Ok(nested) => from_datafusion(*nested),
                Err(inner) => from_dyn(inner.as_ref()),
            },
        },
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => from_datafusion(*inner),
        DataFusionError::Shared(shared) => match Arc::try_unwrap(shared) {
            Ok(inner) => from_datafusion(inner),
            Err(shared) => from_ref(&shared),
        },
        DataFusionError::Collection(mut errors) if !errors.is_empty() => from_datafusion(errors.swap_remove(0)),
        DataFusionError::ArrowError(inner, _) => from_arrow(*inner),
        other => from_ref(&other),
    }
}

/// Arrow's errors: arithmetic and casts are the user's, the rest ours.
pub(crate) fn from_arrow(error: ArrowError) -> Error {
    match error {
        ArrowError::ExternalError(inner) => match inner.downcast::<Error>() {
            Ok(ours) => *ours,
            Err(inner) => match inner.downcast::<DataFusionError>() {
                Ok(nested) => from_datafusion(*nested),
                Err(inner) => from_dyn(inner.as_ref()),
            },
        },
        other => from_arrow_ref(&other),
    }
}

fn from_arrow_ref(error: &ArrowError) -> Error {
    match error {
        ArrowError::ExternalError(inner) => from_dyn(inner.as_ref()),
        ArrowError::DivideByZero => Error::invalid(SqlState::DIVISION_BY_ZERO, "division by zero"),
        ArrowError::ArithmeticOverflow(_) => Error::invalid(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range"),
        ArrowError::CastError(message) | ArrowError::ParseError(message) => {
            Error::invalid(SqlState::INVALID_TEXT_REPRESENTATION, message.clone())
        }
        ArrowError::IoError(message, _) => Error::unavailable(SqlState::IO_ERROR, message.clone()),
        other => Error::internal(other.to_string()),
    }
}

/// The same for an error that is shared, so that it can only be copied.
fn from_ref(error: &DataFusionError) -> Error {
    match error {
        DataFusionError::External(inner) => from_dyn(inner.as_ref()),
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => from_ref(inner),
        DataFusionError::Shared(inner) => from_ref(inner),
        DataFusionError::Collection(errors) if !errors.is_empty() => errors.first().map_or_else(empty, from_ref),
        DataFusionError::ArrowError(inner, _) => from_arrow_ref(inner),
        DataFusionError::ResourcesExhausted(message) => {
            Error::unavailable(SqlState::OUT_OF_MEMORY, "out of memory").with_detail(message.clone())
        }
        DataFusionError::NotImplemented(message) => {
            Error::invalid(SqlState::FEATURE_NOT_SUPPORTED, format!("not supported yet: {message}"))
        }
        DataFusionError::IoError(inner) => {
            Error::unavailable(SqlState::IO_ERROR, format!("could not use the spill directory: {inner}"))
        }
        // Subqueries in places it cannot take apart: refused by its planner, by their kind.
        DataFusionError::Plan(message) if message.starts_with("Correlated ") => {
            Error::invalid(SqlState::FEATURE_NOT_SUPPORTED, format!("not supported yet: {message}"))
        }
        other => Error::internal(strip_notice(&other.to_string())),
    }
}

fn empty() -> Error {
    Error::internal("an empty collection of errors")
}

/// DataFusion asks the reader to file a report with its project; the defect is as likely ours.
fn strip_notice(message: &str) -> String {
    message.split(".\nThis issue was likely caused by").next().unwrap_or(message).trim().to_owned()
}

fn from_dyn(error: &(dyn StdError + 'static)) -> Error {
    if let Some(ours) = error.downcast_ref::<Error>() {
        return copy(ours);
    }
    if let Some(inner) = error.downcast_ref::<DataFusionError>() {
        return from_ref(inner);
    }
    if let Some(inner) = error.downcast_ref::<ArrowError>() {
        return from_arrow_ref(inner);
    }
    match error.source() {
        Some(source) => from_dyn(source),
        None => Error::internal(error.to_string()),
    }
}

/// Everything a client sees of an error; the source stays with the original.
fn copy(error: &Error) -> Error {
    let mut copy = Error::new(error.kind(), error.state(), error.message());
    if let Some(position) = error.position() {
        copy = copy.with_position(position);
    }
    type With = fn(Error, String) -> Error;
    let fields: [(Option<&str>, With); 7] = [
        (error.detail(), |e, v| e.with_detail(v)),
        (error.hint(), |e, v| e.with_hint(v)),
        (error.schema(), |e, v| e.with_schema(v)),
        (error.table(), |e, v| e.with_table(v)),
        (error.column(), |e, v| e.with_column(v)),
        (error.data_type(), |e, v| e.with_data_type(v)),
        (error.constraint(), |e, v| e.with_constraint(v)),
    ];
    fields.into_iter().fold(copy, |copy, (value, with)| match value {
        Some(value) => with(copy, value.to_owned()),
        None => copy,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_errors_come_back_whole_through_every_wrapper() {
        let ours = || Error::conflict(SqlState::UNIQUE_VIOLATION, "duplicate").with_detail("Key").with_constraint("p");
        let external = || to_datafusion(ours());
        let wrapped = [
            external(),
            external().context("while joining"),
            DataFusionError::Shared(Arc::new(external())),
            DataFusionError::Collection(vec![external()]),
            DataFusionError::ArrowError(Box::new(ArrowError::ExternalError(Box::new(external()))), None),
        ];
        for error in wrapped {
            let back = from_datafusion(error);
            assert_eq!((back.state(), back.detail()), (SqlState::UNIQUE_VIOLATION, Some("Key")));
            assert_eq!(back.constraint(), Some("p"));
        }
        // Held by somebody else too: only a copy can be had.
        let shared = Arc::new(external());
        let back = from_datafusion(DataFusionError::Shared(Arc::clone(&shared)));
        assert_eq!((back.message(), back.detail()), ("duplicate", Some("Key")));
    }

    #[test]
    fn foreign_errors_get_the_state_postgres_would_use() {
        let state = |e| from_datafusion(e).state();
        assert_eq!(state(DataFusionError::ResourcesExhausted("x".into())), SqlState::OUT_OF_MEMORY);
        assert_eq!(
            state(DataFusionError::ArrowError(Box::new(ArrowError::DivideByZero), None)),
            SqlState::DIVISION_BY_ZERO
        );
        assert_eq!(state(DataFusionError::NotImplemented("x".into())), SqlState::FEATURE_NOT_SUPPORTED);
        assert_eq!(state(DataFusionError::Internal("x".into())), SqlState::INTERNAL_ERROR);
    }
}
