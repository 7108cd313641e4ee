//! Time zones, injected: this crate knows fixed offsets; whoever has the zone database implements [`TimeZones`].

use std::fmt;
use std::sync::Arc;

/// A time zone's rules.
pub trait TimeZone: Send + Sync {
    /// As SHOW TimeZone prints it.
    fn name(&self) -> &str;

    /// Seconds east of UTC at a moment (microseconds since 1970-01-01 UTC).
    fn offset_at_utc(&self, micros: i64) -> i32;

    /// Seconds east of UTC for a wall-clock time (microseconds since 1970-01-01 local). In a gap or an overlap: as
    /// PostgreSQL, the offset before the change.
    fn offset_at_local(&self, local_micros: i64) -> i32;
}

impl fmt::Debug for dyn TimeZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Finds zones by name (case-insensitively) or abbreviation.
pub trait TimeZones: Send + Sync {
    fn by_name(&self, name: &str) -> Option<Arc<dyn TimeZone>>;
}

/// A zone with one offset for all time.
#[derive(Clone, Debug)]
pub struct FixedOffset {
    name: String,
    seconds_east: i32,
}

impl FixedOffset {
    pub fn new(name: impl Into<String>, seconds_east: i32) -> FixedOffset {
        FixedOffset { name: name.into(), seconds_east }
    }

    pub fn utc() -> FixedOffset {
        FixedOffset::new("UTC", 0)
    }
}

impl TimeZone for FixedOffset {
    fn name(&self) -> &str {
        &self.name
    }

    fn offset_at_utc(&self, _micros: i64) -> i32 {
        self.seconds_east
    }

    fn offset_at_local(&self, _local_micros: i64) -> i32 {
        self.seconds_east
    }
}

/// Knows UTC (and its aliases) only.
#[derive(Clone, Copy, Debug, Default)]
pub struct OnlyUtc;

impl TimeZones for OnlyUtc {
    fn by_name(&self, name: &str) -> Option<Arc<dyn TimeZone>> {
        let utc = ["utc", "gmt", "z", "zulu", "etc/utc", "uct"].iter().any(|alias| name.eq_ignore_ascii_case(alias));
        utc.then(|| Arc::new(FixedOffset::new(name, 0)) as Arc<dyn TimeZone>)
    }
}
