//! Sizes as people write them, and how the memory budget is divided.

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
            assert!(memtables + budget.cache_bytes + budget.query_bytes as u64 <= memory, "{memory}");
            assert!(budget.cache_bytes > 0 && budget.query_bytes > 0);
        }
    }
}
