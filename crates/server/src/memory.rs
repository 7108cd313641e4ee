//! Sizes as people write them, and how the memory budget is divided.

use std::sync::Arc;
use std::time::Duration;

use heliosdb_runtime::{Clock, Spawner, release_memory, resident_bytes};
use heliosdb_types::{Error, Result, SqlState};

/// A memory setting before it is known how much there is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Size {
    Bytes(u64),
    /// Of the machine's memory, or the container's.
    Percent(f64),
}

/// Least memory the server runs with.
const BYTES_MIN: u64 = 128 << 20;

impl Size {
    /// Reads `512MB`, `8GB`, `1.5g`, `75%`, or plain bytes. Units are powers of 1024, as in PostgreSQL.
    pub(crate) fn parse(text: &str) -> Result<Size> {
        let wrong = || {
            Error::invalid(SqlState::INVALID_PARAMETER_VALUE, format!("invalid memory size \"{text}\""))
                .with_hint("Write a number with a unit (512MB, 8GB) or a share of the machine's memory (50%).")
        };
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let number: f64 = number.parse().map_err(|_| wrong())?;
        let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
            "%" if number > 0.0 && number <= 100.0 => return Ok(Size::Percent(number)),
            "" | "b" => 1,
            "k" | "kb" | "kib" => 1 << 10,
            "m" | "mb" | "mib" => 1 << 20,
            "g" | "gb" | "gib" => 1 << 30,
            "t" | "tb" | "tib" => 1 << 40,
            _ => return Err(wrong()),
        };
        Ok(Size::Bytes((number * factor as f64) as u64))
    }

    pub(crate) fn bytes(self, machine_bytes: u64) -> Result<u64> {
        let bytes = match self {
            Size::Bytes(bytes) => bytes,
            Size::Percent(percent) => (machine_bytes as f64 * percent / 100.0) as u64,
        };
        if bytes < BYTES_MIN {
            let wrong = format!("a memory budget of {} is less than {}", show(bytes), show(BYTES_MIN));
            return Err(Error::invalid(SqlState::INVALID_PARAMETER_VALUE, wrong)
                .with_hint("Set --memory, for example --memory 512MB."));
        }
        Ok(bytes)
    }
}

/// What each consumer may use. The rest, about a tenth, is for connections and everything not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Budget {
    /// One memtable; the active one and those being frozen are there at the same time.
    pub(crate) memtable_bytes: usize,
    pub(crate) cache_bytes: u64,
    pub(crate) query_bytes: usize,
    /// Rows of one transaction; as many again while those are written out. Of the tenth that is kept free, for few transactions are
    /// large.
    pub(crate) txn_spill_bytes: usize,
}

/// The active memtable, and those frozen and not yet in segments.
pub(crate) const MEMTABLES: u64 = 4;

impl Budget {
    pub(crate) fn of(memory_bytes: u64) -> Budget {
        // Larger memtables no longer help writes, and make recovery longer.
        let memtable_bytes = (memory_bytes / 5 / MEMTABLES).clamp(4 << 20, 256 << 20);
        let rest = memory_bytes.saturating_sub(memory_bytes / 10 + memtable_bytes * MEMTABLES);
        Budget {
            memtable_bytes: memtable_bytes as usize,
            cache_bytes: rest / 2,
            query_bytes: usize::try_from(rest / 2).unwrap_or(usize::MAX),
            txn_spill_bytes: (memory_bytes / 32).clamp(4 << 20, 64 << 20) as usize,
        }
    }
}

/// How often somebody looks whether the process holds more than it may.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// When what was freed should go back to the system: the allocator keeps it, in a heap for each thread, so that what one query had
/// is not there for the next thing that needs memory.
#[derive(Debug, Default)]
struct Tide {
    /// What the process still had after the last time.
    left: u64,
}

impl Tide {
    /// Whether to give memory back at `resident` bytes. Above the budget, but not again and again for what is truly in use.
    fn is_high(&mut self, resident: u64, budget: u64) -> bool {
        // Less than last time: what was in use then is free by now.
        self.left = self.left.min(resident);
        resident > budget - budget / 20 && resident > self.left + budget / 32
    }
}

/// Gives freed memory back to the system while the process holds about as much as it may, or more. Never ends.
pub(crate) async fn stay_within(budget: u64, clock: Arc<dyn Clock>, spawner: Spawner) {
    let mut tide = Tide::default();
    loop {
        clock.sleep(LOOK_AGAIN).await;
        if tide.is_high(resident_bytes(), budget) {
            let _ = spawner.blocking(release_memory).await;
            tide.left = resident_bytes();
        }
    }
}

/// A size for people.
pub(crate) fn show(bytes: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GB", 1 << 30), ("MB", 1 << 20), ("kB", 1 << 10)];
    match UNITS.iter().find(|(_, unit)| bytes >= *unit) {
        Some((name, unit)) => format!("{:.1} {name}", bytes as f64 / *unit as f64),
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_nonsense_refused() {
        assert_eq!(Size::parse("512MB").unwrap(), Size::Bytes(512 << 20));
        assert_eq!(Size::parse("1.5 g").unwrap(), Size::Bytes(3 << 29));
        assert_eq!(Size::parse("200000000").unwrap(), Size::Bytes(200_000_000));
        assert_eq!(Size::parse("75%").unwrap().bytes(1 << 30).unwrap(), 805_306_368);
        for wrong in ["", "MB", "-1MB", "1XB", "0%", "101%", "1.2.3GB", "many"] {
            assert!(Size::parse(wrong).is_err(), "{wrong}");
        }
        assert!(Size::parse("1MB").unwrap().bytes(0).is_err());
    }

    #[test]
    fn the_parts_fit_into_the_whole() {
        for memory in [BYTES_MIN, 1 << 30, 8 << 30, 1 << 40] {
            let budget = Budget::of(memory);
            let memtables = budget.memtable_bytes as u64 * MEMTABLES;
            let spilling = budget.txn_spill_bytes as u64 * 2;
            assert!(memtables + budget.cache_bytes + budget.query_bytes as u64 + spilling <= memory, "{memory}");
            assert!(budget.cache_bytes > 0 && budget.query_bytes > 0);
        }
    }

    #[test]
    fn memory_is_given_back_when_there_is_much_and_not_for_nothing() {
        let (budget, mut tide) = (1000, Tide::default());
        assert!(!tide.is_high(900, budget), "below the budget");
        assert!(tide.is_high(1300, budget));
        tide.left = 1200;
        assert!(!tide.is_high(1210, budget), "it is in use");
        assert!(tide.is_high(1300, budget), "more came");
        tide.left = 1290;
        assert!(!tide.is_high(960, budget), "much was freed since");
        assert!(tide.is_high(1100, budget), "and came back");
    }
}
