//! What reading and writing values as text depends on besides the value: the session.

use std::fmt;
use std::sync::Arc;

use crate::timezone::{FixedOffset, OnlyUtc, TimeZone, TimeZones};

/// Session facts that text input and output need. Cheap to clone; immutable once shared.
#[derive(Clone)]
pub struct TextContext {
    pub time_zone: Arc<dyn TimeZone>,
    pub zones: Arc<dyn TimeZones>,
    /// The statement's time for 'now', 'today': microseconds since 1970-01-01 UTC.
    pub now_micros: i64,
    /// An explicit cast cuts strings to varchar(n) silently; an assignment fails.
    pub explicit_cast: bool,
}

impl Default for TextContext {
    fn default() -> TextContext {
        TextContext {
            time_zone: Arc::new(FixedOffset::utc()),
            zones: Arc::new(OnlyUtc),
            now_micros: 0,
            explicit_cast: false,
        }
    }
}

impl fmt::Debug for TextContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TextContext")
            .field("time_zone", &self.time_zone)
            .field("now_micros", &self.now_micros)
            .field("explicit_cast", &self.explicit_cast)
            .finish_non_exhaustive()
    }
}
