//! Time zones by name: the IANA database of chrono-tz, PostgreSQL's common abbreviations, fixed offsets.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use chrono::{DateTime, Datelike as _, LocalResult, NaiveDate, NaiveDateTime, Offset, TimeDelta, TimeZone as _};
use chrono_tz::{TZ_VARIANTS, Tz};
use heliosdb_types::{FixedOffset, TimeZone, TimeZones};

/// Every zone the product knows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Zones;

static BY_NAME: LazyLock<HashMap<String, Tz>> =
    LazyLock::new(|| TZ_VARIANTS.iter().map(|zone| (zone.name().to_ascii_lowercase(), *zone)).collect());

/// Abbreviations of PostgreSQL's default set: name, seconds east of UTC.
const ABBREVIATIONS: &[(&str, i32)] = &[
    ("acdt", 37_800),
    ("acst", 34_200),
    ("adt", -10_800),
    ("aedt", 39_600),
    ("aest", 36_000),
    ("akdt", -28_800),
    ("akst", -32_400),
    ("ast", -14_400),
    ("awst", 28_800),
    ("brt", -10_800),
    ("bst", 3_600),
    ("cdt", -18_000),
    ("cest", 7_200),
    ("cet", 3_600),
    ("cst", -21_600),
    ("eat", 10_800),
    ("edt", -14_400),
    ("eest", 10_800),
    ("eet", 7_200),
    ("est", -18_000),
    ("gmt", 0),
    ("hkt", 28_800),
    ("hst", -36_000),
    ("ist", 7_200),
    ("jst", 32_400),
    ("kst", 32_400),
    ("mdt", -21_600),
    ("msk", 10_800),
    ("mst", -25_200),
    ("ndt", -9_000),
    ("nst", -12_600),
    ("nzdt", 46_800),
    ("nzst", 43_200),
    ("pdt", -25_200),
    ("pkt", 18_000),
    ("pst", -28_800),
    ("sast", 7_200),
    ("sgt", 28_800),
    ("ut", 0),
    ("utc", 0),
    ("wast", 7_200),
    ("wat", 3_600),
    ("west", 3_600),
    ("wet", 0),
    ("z", 0),
    ("zulu", 0),
];

impl TimeZones for Zones {
    fn by_name(&self, name: &str) -> Option<Arc<dyn TimeZone>> {
        let lower = name.to_ascii_lowercase();
        // Abbreviations come first, as in PostgreSQL, but for UTC, which is a name there, too.
        let offset = ABBREVIATIONS.iter().find(|(abbreviation, _)| *abbreviation == lower);
        if let Some(zone) = BY_NAME.get(&lower)
            && (offset.is_none() || matches!(lower.as_str(), "utc" | "gmt" | "z" | "zulu" | "uct"))
        {
            return Some(Arc::new(Iana(*zone)));
        }
        offset.map(|&(_, seconds)| Arc::new(FixedOffset::new(name.to_ascii_uppercase(), seconds)) as Arc<dyn TimeZone>)
    }
}

/// A zone as `SET TimeZone` takes it: a name, or hours east of UTC (`-5`, `'+05:30'` is POSIX: west of UTC).
pub fn session_zone(value: &str) -> Option<Arc<dyn TimeZone>> {
    if let Ok(hours) = value.trim().parse::<f64>() {
        if hours.abs() > 24.0 * 7.0 {
            return None;
        }
        let seconds = (hours * 3_600.0).round() as i32;
        return Some(Arc::new(FixedOffset::new(posix_name(seconds), seconds)));
    }
    Zones.by_name(value).or_else(|| posix(value))
}

/// As PostgreSQL names a zone set by an offset: `<-05>+05`.
fn posix_name(seconds_east: i32) -> String {
    let clock = |sign: char, seconds: i32| {
        let (hours, minutes) = (seconds.abs() / 3_600, seconds.abs() / 60 % 60);
        if minutes == 0 { format!("{sign}{hours:02}") } else { format!("{sign}{hours:02}:{minutes:02}") }
    };
    let (east, west) = if seconds_east < 0 { ('-', '+') } else { ('+', '-') };
    format!("<{}>{}", clock(east, seconds_east), clock(west, seconds_east))
}

/// `UTC+3`, `+05:30`, `<-05>+05`: POSIX, where positive is west of Greenwich.
fn posix(value: &str) -> Option<Arc<dyn TimeZone>> {
    let offset = match value.strip_prefix('<') {
        Some(rest) => rest.split_once('>')?.1,
        None => value.trim_start_matches(|c: char| c.is_ascii_alphabetic()),
    };
    let (west, digits) = match offset.split_at_checked(1)? {
        ("-", digits) => (-1, digits),
        ("+", digits) => (1, digits),
        _ => (1, offset),
    };
    let (hours, minutes) = digits.split_once(':').unwrap_or((digits, "0"));
    let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !all_digits(hours) || !all_digits(minutes) {
        return None;
    }
    let (hours, minutes) = (hours.parse::<i32>().ok()?, minutes.parse::<i32>().ok()?);
    if hours > 24 * 7 || minutes > 59 {
        return None;
    }
    Some(Arc::new(FixedOffset::new(value, -west * (hours * 3_600 + minutes * 60))))
}

struct Iana(Tz);

/// Rules are known around the present; far moments use those of the nearest year chrono can express.
const FAR_MICROS: i64 = 8_000_000_000_000_000_000;

/// The database lists changes up to here; what its last rules say goes on for ever.
const LAST_LISTED_YEAR: i32 = 2098;

/// The moment, or for a year after the listed ones the same moment of a listed year with the same calendar.
fn civil(micros: i64) -> NaiveDateTime {
    let moment = DateTime::from_timestamp_micros(micros.clamp(-FAR_MICROS, FAR_MICROS)).unwrap_or_default().naive_utc();
    if moment.year() <= LAST_LISTED_YEAR {
        return moment;
    }
    let calendar = |year: i32| NaiveDate::from_ymd_opt(year, 1, 1).map(|first| (first.weekday(), first.leap_year()));
    // 28 years without a century between them have every calendar there is.
    let like = (LAST_LISTED_YEAR - 27..=LAST_LISTED_YEAR).find(|year| calendar(*year) == calendar(moment.year()));
    like.and_then(|year| moment.with_year(year)).unwrap_or(moment)
}

impl TimeZone for Iana {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn offset_at_utc(&self, micros: i64) -> i32 {
        self.0.offset_from_utc_datetime(&civil(micros)).fix().local_minus_utc()
    }

    fn offset_at_local(&self, local_micros: i64) -> i32 {
        let local = civil(local_micros);
        match self.0.offset_from_local_datetime(&local) {
            LocalResult::Single(offset) => offset.fix().local_minus_utc(),
            // As PostgreSQL: an ambiguous time is standard time, the later of the two.
            LocalResult::Ambiguous(_, latest) => latest.fix().local_minus_utc(),
            // A time that was skipped is read with the offset before the change.
            LocalResult::None => {
                let before = local.checked_sub_signed(TimeDelta::hours(4)).unwrap_or(local);
                match self.0.offset_from_local_datetime(&before) {
                    LocalResult::Single(offset) | LocalResult::Ambiguous(offset, _) => offset.fix().local_minus_utc(),
                    LocalResult::None => 0,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_follow_their_rules() {
        let berlin = Zones.by_name("europe/BERLIN").unwrap();
        assert_eq!(berlin.name(), "Europe/Berlin");
        // 2024-01-01 and 2024-07-01, noon UTC.
        assert_eq!(berlin.offset_at_utc(1_704_110_400_000_000), 3_600);
        assert_eq!(berlin.offset_at_utc(1_719_835_200_000_000), 7_200);
        // 2024-03-31 02:30 was skipped, 2024-10-27 02:30 came twice.
        assert_eq!(berlin.offset_at_local(1_711_852_200_000_000), 3_600);
        assert_eq!(berlin.offset_at_local(1_729_996_200_000_000), 3_600);
        assert!(Zones.by_name("Mars/Olympus").is_none());
        // 2100-07-01 and 2399-01-01: the rules go on.
        assert_eq!(berlin.offset_at_utc(4_118_083_200_000_000), 7_200);
        assert_eq!(berlin.offset_at_local(13_537_929_600_000_000), 3_600);
    }

    #[test]
    fn offsets_are_posix_in_names_and_east_as_numbers() {
        assert_eq!(session_zone("-5").unwrap().offset_at_utc(0), -18_000);
        assert_eq!(session_zone("-5").unwrap().name(), "<-05>+05");
        assert_eq!(session_zone("UTC+3").unwrap().offset_at_utc(0), -10_800);
        assert_eq!(session_zone("<-05>+05").unwrap().offset_at_utc(0), -18_000);
        assert_eq!(session_zone("PST").unwrap().offset_at_utc(0), -28_800);
        assert!(session_zone("nonsense").is_none());
    }
}
