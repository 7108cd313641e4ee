//! Running a crate over bytes nobody vouches for: its errors and its panics become ours.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

use heliosdb_types::{Error, Result, SqlState};
use parquet::errors::ParquetError;

thread_local! {
    /// Panics of this thread are expected and told otherwise.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

static QUIETED: Once = Once::new();

pub(super) fn damaged(path: &str, what: &str) -> Error {
    Error::invalid(SqlState::BAD_COPY_FILE_FORMAT, format!("{path}: {what}"))
}

/// Runs what may meet damaged bytes. A panic in it means that the reading crate was surprised by them.
pub(super) fn guarded<T>(path: &str, work: impl FnOnce() -> std::result::Result<T, ParquetError>) -> Result<T> {
    // Once for the process: other threads go on panicking aloud.
    QUIETED.call_once(|| {
        let aloud = take_hook();
        set_hook(Box::new(move |panic| {
            if !QUIET.get() {
                aloud(panic);
            }
        }));
    });
    let before = QUIET.replace(true);
    let done = catch_unwind(AssertUnwindSafe(work));
    QUIET.set(before);
    match done {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(ParquetError::External(error))) if error.is::<Error>() => match error.downcast::<Error>() {
            Ok(ours) => Err(*ours),
            Err(other) => Err(damaged(path, &other.to_string())),
        },
        Ok(Err(error)) => {
            let unsupported = matches!(error, ParquetError::NYI(_));
            let text = error.to_string();
            let text = ["Parquet error: ", "EOF: ", "NYI: ", "Arrow: ", "External: "]
                .iter()
                .fold(text.as_str(), |text, prefix| text.strip_prefix(prefix).unwrap_or(text));
            let state = if unsupported { SqlState::FEATURE_NOT_SUPPORTED } else { SqlState::BAD_COPY_FILE_FORMAT };
            Err(Error::invalid(state, format!("{path}: {text}")))
        }
        Err(_) => Err(damaged(path, "damaged, or not as a Parquet file should be")),
    }
}
