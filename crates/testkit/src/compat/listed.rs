//! Differences that are documented (`docs/differences.md`): each has a name, a reason, and a test as narrow as can be.

use super::verdict::{FIRST_USER_OID, Verdict};
use super::wire::{Answer, Column};

/// A documented difference.
pub struct Listed {
    pub name: &'static str,
    /// What differs and why, for the page.
    pub why: &'static str,
    /// Whether this difference is of the kind: statement, ours, PostgreSQL's.
    is: fn(&str, &Answer, &Answer) -> bool,
}

/// Found by running the parts of a statement, not by looking at it.
pub const NOT_NEEDED: &str = "an error in what need not be computed";

fn state(answer: &Answer) -> &str {
    answer.error.as_ref().map_or("", |error| error.sqlstate.as_str())
}

/// Whether a year of the first millennium is among the rows.
fn shows_antiquity(answer: &Answer) -> bool {
    answer.rows.iter().flatten().flatten().any(|cell| {
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        matches!(cell.trim_start_matches('"').split_once('-'), Some((year, _)) if year.len() == 4 && year.starts_with('0') && digits(year))
    })
}

/// Whether all that differs is seconds since 1970 or Julian days in the first millennium, by less than a day.
fn differ_within_a_day_of_antiquity(ours: &Answer, theirs: &Answer) -> bool {
    const SECONDS: std::ops::Range<f64> = -62_200_000_000.0..-30_600_000_000.0;
    const JULIAN_DAYS: std::ops::Range<f64> = 1_721_000.0..2_087_000.0;
    let cells = |answer: &Answer| answer.rows.iter().flatten().cloned().collect::<Vec<_>>();
    let (ours, theirs) = (cells(ours), cells(theirs));
    let near = |(a, b): (&Option<String>, &Option<String>)| {
        let seconds = |cell: &Option<String>| cell.as_ref().and_then(|text| text.parse::<f64>().ok());
        match (seconds(a), seconds(b)) {
            _ if a == b => true,
            (Some(a), Some(b)) if SECONDS.contains(&a) => (a - b).abs() < 86_400.0,
            (Some(a), Some(b)) => JULIAN_DAYS.contains(&a) && (a - b).abs() < 1.0,
            _ => false,
        }
    };
    ours.len() == theirs.len() && ours.iter().zip(&theirs).all(near)
}

/// Whether all that differs is times of day, by as much as New York's local mean time is from what is kept there since.
fn differ_by_mean_time(ours: &Answer, theirs: &Answer) -> bool {
    const SECONDS: f64 = 3.0 * 60.0 + 58.0;
    let seconds = |cell: &Option<String>| {
        let cell = cell.as_deref().filter(|cell| cell.as_bytes().get(2) == Some(&b':'))?;
        interval_seconds(cell)
    };
    let cells = |answer: &Answer| answer.rows.iter().flatten().cloned().collect::<Vec<_>>();
    let (ours, theirs) = (cells(ours), cells(theirs));
    let near = |(a, b): (&Option<String>, &Option<String>)| match (seconds(a), seconds(b)) {
        _ if a == b => true,
        (Some(a), Some(b)) => ((a - b).abs() - SECONDS).abs() < 1e-6,
        _ => false,
    };
    ours.len() == theirs.len() && ours.iter().zip(&theirs).all(near)
}

/// Whether all that differs is numbers below one, by less than a hundredth, or others in their last digits; in whatever order rows come.
fn differ_in_tiny_numbers(ours: &Answer, theirs: &Answer) -> bool {
    let number = |cell: &Option<String>| cell.as_ref().and_then(|text| text.parse::<f64>().ok());
    let coarse = |cell: &Option<String>| match number(cell) {
        Some(number) if number.abs() < 1.0 => Some(String::from("0")),
        Some(number) => Some(format!("{number:.6e}")),
        None => cell.clone(),
    };
    let cells = |answer: &Answer| {
        let mut rows = answer.rows.clone();
        rows.sort_by_cached_key(|row| row.iter().map(coarse).collect::<Vec<_>>());
        rows.into_iter().flatten().collect::<Vec<_>>()
    };
    let (mine, other) = (cells(ours), cells(theirs));
    let near = |(a, b): (&Option<String>, &Option<String>)| match (number(a), number(b)) {
        _ if a == b => true,
        (Some(a), Some(b)) if a.abs() < 1.0 && b.abs() < 1.0 => (a - b).abs() < 0.01,
        (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * a.abs().max(b.abs()),
        _ => false,
    };
    same_columns(ours, theirs) && mine.len() == other.len() && mine.iter().zip(&other).all(near)
}

/// Types of users have OIDs of their own on each server.
fn same_columns(ours: &Answer, theirs: &Answer) -> bool {
    let same =
        |(a, b): (&Column, &Column)| a.name == b.name && (a.type_oid == b.type_oid || a.type_oid >= FIRST_USER_OID);
    ours.columns.len() == theirs.columns.len() && ours.columns.iter().zip(&theirs.columns).all(same)
}

/// An interval's length with months of thirty days, which is what equality of intervals looks at; `None` for what is none.
fn interval_seconds(text: &str) -> Option<f64> {
    let mut seconds = 0.0;
    let mut words = text.split(' ');
    while let Some(word) = words.next() {
        if let Some((hours, rest)) = word.split_once(':') {
            let (minutes, rest) = rest.split_once(':')?;
            let of = |text: &str| text.parse::<f64>().ok();
            let length = of(hours.trim_start_matches(['-', '+']))? * 3600.0 + of(minutes)? * 60.0 + of(rest)?;
            seconds += if hours.starts_with('-') { -length } else { length };
            continue;
        }
        const DAY: f64 = 86_400.0;
        let unit = match words.next()?.trim_end_matches('s') {
            "year" => 360.0 * DAY,
            "mon" => 30.0 * DAY,
            "day" => DAY,
            _ => return None,
        };
        seconds += word.parse::<f64>().ok()? * unit;
    }
    Some(seconds)
}

/// Whether two answers are the same but for how equal values are written: zeros at the end of numerics, intervals of one
/// length, zeros with a sign, the last digits of floats.
fn same_but_spelling(ours: &Answer, theirs: &Answer) -> bool {
    const NUMERIC: u32 = 1700;
    const NUMERICS: u32 = 1231;
    const INTERVAL: u32 = 1186;
    const FLOAT8: u32 = 701;
    let without_zeros = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    // An element and the brackets around it.
    let bare = |element: &str| {
        let number = element.trim_end_matches('}');
        without_zeros(number) + &element[number.len()..]
    };
    let plain = |cell: &Option<String>, oid: u32| match cell {
        Some(text) if oid == NUMERIC => Some(without_zeros(text)),
        Some(text) if oid == NUMERICS => Some(text.split(',').map(bare).collect::<Vec<_>>().join(",")),
        // A sum in another order, and no sign of zero.
        Some(text) if oid == FLOAT8 => {
            Some(text.parse().map_or_else(|_| text.clone(), |x: f64| format!("{:.12e}", x + 0.0)))
        }
        Some(text) if text == "-0" => Some("0".to_owned()),
        Some(text) if oid == INTERVAL => Some(interval_seconds(text).map_or_else(|| text.clone(), |s| s.to_string())),
        other => other.clone(),
    };
    let rows = |answer: &Answer| {
        let row = |row: &Vec<Option<String>>| {
            row.iter().zip(&answer.columns).map(|(cell, column)| plain(cell, column.type_oid)).collect::<Vec<_>>()
        };
        let mut rows: Vec<_> = answer.rows.iter().map(row).collect();
        rows.sort();
        rows
    };
    same_columns(ours, theirs) && ours.tag == theirs.tag && rows(ours) == rows(theirs)
}

pub const LISTED: &[Listed] = &[
    Listed {
        name: "to_char of NaN and infinity",
        why: "prints `#` where PostgreSQL prints the word, or the other way round",
        is: |sql, ours, theirs| {
            let endless = ["NaN", "nan", "Infinity", "infinity", "-inf"].iter().any(|word| sql.contains(word));
            endless && sql.contains("to_char(") && state(ours).is_empty() && state(theirs).is_empty()
        },
    },
    Listed {
        name: "zones long ago",
        why: "local mean time counts as far back as there are dates and in every zone that is another's name today; PostgreSQL \
          forgets it in antiquity, and may have older rules of such zones",
        is: |sql, ours, theirs| {
            let antique = sql.contains(" BC'") || shows_antiquity(ours) && shows_antiquity(theirs);
            (antique || differ_within_a_day_of_antiquity(ours, theirs) || differ_by_mean_time(ours, theirs))
                && state(ours).is_empty()
                && state(theirs).is_empty()
                && same_columns(ours, theirs)
                && ["New_York", "EST5EDT", "Berlin", "Kolkata", "Paris"].iter().any(|zone| sql.contains(zone))
        },
    },
    Listed {
        name: "one scale for several numerics",
        why: "where CASE, coalesce and the like choose among numerics of different scales and sums or windows go over them, `1` \
          beside `2.5` prints as `1.0`; of equal numerics, intervals or zeros in a group, any shows",
        is: |sql, ours, theirs| {
            let chooses = [
                "CASE",
                "coalesce(",
                "greatest(",
                "least(",
                "nullif(",
                "lag(",
                "lead(",
                "UNION",
                "VALUES",
                "GROUP BY",
                "DISTINCT",
                "INTERSECT",
                "EXCEPT",
            ];
            state(ours).is_empty()
                && state(theirs).is_empty()
                && chooses.iter().any(|word| sql.contains(word))
                && same_but_spelling(ours, theirs)
        },
    },
    Listed {
        name: "parts of equal intervals",
        why: "of equal intervals in a group, as a month and thirty days, any shows, and days or hours extracted from it are those of \
          the one that does",
        is: |sql, ours, theirs| {
            let looks_inside =
                ["extract(", "date_part(", "to_char(", "date_trunc("].iter().any(|call| sql.contains(call));
            let in_groups = sql.split("GROUP BY").skip(1).any(|groups| groups.contains(".iv"));
            looks_inside
                && in_groups
                && state(ours).is_empty()
                && state(theirs).is_empty()
                && same_columns(ours, theirs)
                && ours.rows.len() == theirs.rows.len()
        },
    },
    Listed {
        name: "patterns nobody matches",
        why: "PostgreSQL's planner looks into constant patterns of conditions, so that a wrong one fails before any row is there",
        is: |sql, ours, theirs| {
            state(theirs) == "2201B" && state(ours).is_empty() && ["~ '('", "~* '('"].iter().any(|op| sql.contains(op))
        },
    },
    Listed {
        name: "age of infinity",
        why: "fails with 22008; PostgreSQL 15 counts the years to the end of its calendar",
        is: |sql, ours, _| {
            let infinite = sql.contains("infinity") || sql.contains('$');
            state(ours) == "22008" && sql.contains("age(") && infinite
        },
    },
    Listed {
        name: "collation of convert_from",
        why: "text from convert_from() has the database's collation; PostgreSQL gives it that of its second argument, C, where letters \
          are those of ASCII",
        is: |sql, ours, theirs| {
            let looks_at_letters = ["\\w", "[[:", "upper(", "lower(", "initcap(", "~*", "ILIKE"];
            state(ours).is_empty()
                && state(theirs).is_empty()
                && sql.contains("convert_from(")
                && looks_at_letters.iter().any(|what| sql.contains(what))
        },
    },
    Listed {
        name: "types of parameters",
        why: "a parameter whose type no place decides is text, and one place may leave it open and another decide it; PostgreSQL \
          refuses the first and takes the first place's word, so that a later one may find no operator or function",
        is: |sql, ours, theirs| {
            if state(ours).is_empty() && sql.contains('$') && ["42P08", "42P18"].contains(&state(theirs)) {
                return true;
            }
            let unknown = theirs.error.as_ref().is_some_and(|error| error.message.contains("input has type unknown"));
            if state(ours).is_empty() && sql.contains('$') && state(theirs) == "42804" && unknown {
                return true;
            }
            state(ours).is_empty()
                && ["42883", "42725", "42804"].contains(&state(theirs))
                && (1..10).any(|n| {
                    sql.split(&format!("${n}"))
                        .skip(1)
                        .filter(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
                        .count()
                        > 1
                })
        },
    },
    Listed {
        name: "what is left of large numbers",
        why: "sums of floats depend on the order of rows, and where large ones cancel each other out so does all of what is left",
        is: |sql, ours, theirs| {
            let of_products = [
                "regr_s",
                "regr_slope(",
                "regr_intercept(",
                "regr_r2(",
                "covar_",
                "corr(",
                "stddev",
                "var_",
                "variance(",
            ];
            let of_waves = ["sin(", "cos(", "tan(", "cot("];
            let of_sums = ["sum(", "avg("].iter().any(|call| sql.contains(call));
            of_products.iter().any(|call| sql.contains(call)) && differ_in_tiny_numbers(ours, theirs)
                || of_sums && of_waves.iter().any(|call| sql.contains(call)) && same_columns(ours, theirs)
        },
    },
    Listed {
        name: "letters in the collation of names",
        why: "there is one collation; PostgreSQL derives `C`, in which only letters of ASCII have cases, where an argument is a \
          `name` such as the encoding of `convert_from`",
        is: |sql, ours, theirs| {
            let by_case =
                ["upper(", "lower(", "initcap(", " ILIKE ", " ~* ", "'i'"].iter().any(|word| sql.contains(word));
            by_case
                && sql.contains("convert_from(")
                && !sql.is_ascii()
                && state(ours).is_empty()
                && state(theirs).is_empty()
                && same_columns(ours, theirs)
        },
    },
    Listed {
        name: "constants of conflicts that do not happen",
        why: "PostgreSQL computes what ON CONFLICT DO UPDATE would set when it plans, so that a constant that does not fit its column fails",
        is: |sql, ours, theirs| {
            state(ours).is_empty() && state(theirs).starts_with("22") && sql.contains(" DO UPDATE SET ")
        },
    },
    Listed {
        name: "what PostgreSQL did not finish",
        why: "its statement_timeout came first",
        is: |_, ours, theirs| state(theirs) == "57014" && state(ours).is_empty(),
    },
    Listed {
        name: NOT_NEEDED,
        why: "one server computed an expression the other had no need of (constants of a query without rows, unused columns, \
          the rest of a decided condition) or met another error first; each raises the other's error for the same part of \
          the statement on its own",
        is: |_, _, _| false,
    },
];

/// A verdict with documented differences told apart.
pub fn told_apart(verdict: Verdict, sql: &str, ours: &Answer, theirs: &Answer) -> Verdict {
    if verdict == Verdict::Same {
        return verdict;
    }
    match LISTED.iter().find(|listed| (listed.is)(sql, ours, theirs)) {
        Some(listed) => Verdict::Listed(listed.name),
        None => verdict,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_of_one_length_are_equal() {
        let same = |a: &str, b: &str| interval_seconds(a).is_some() && interval_seconds(a) == interval_seconds(b);
        assert!(same("1 mon", "30 days"));
        assert!(same("1 year 2 mons -3 days +04:05:06.789", "417 days 04:05:06.789"));
        assert!(same("-1 days -02:00:00", "-26:00:00"));
        assert!(!same("1 mon", "31 days"));
        assert_eq!(interval_seconds("soon"), None);
    }

    #[test]
    fn equal_values_may_be_written_in_several_ways() {
        let answer = |type_oid: u32, cell: &str| Answer {
            columns: vec![Column { name: "x".into(), type_oid }],
            rows: vec![vec![Some(cell.into())]],
            tag: "SELECT 1".into(),
            error: None,
        };
        let same = |oid: u32, a: &str, b: &str| same_but_spelling(&answer(oid, a), &answer(oid, b));
        assert!(same(1700, "42", "42.0") && same(1700, "-1.50", "-1.5") && !same(1700, "420", "42"));
        assert!(same(1231, "{{2026,42},{1.50,0}}", "{{2026,42.0},{1.5,0.00}}") && !same(1231, "{420}", "{42}"));
        assert!(same(701, "-0", "0") && same(700, "-0", "0") && same(701, "0.30000000000000004", "0.3"));
        assert!(same(1186, "1 mon", "30 days") && !same(25, "42", "42.0"));
    }

    #[test]
    fn only_times_apart_by_mean_time_are_zones_long_ago() {
        let answer = |cell: &str| Answer {
            columns: vec![Column { name: "t".into(), type_oid: 1083 }],
            rows: vec![vec![Some("6".into()), Some(cell.into())]],
            tag: "SELECT 1".into(),
            error: None,
        };
        let differ = |ours, theirs| differ_by_mean_time(&answer(ours), &answer(theirs));
        assert!(differ("14:56:02", "15:00:00") && differ("15:03:58.5", "15:00:00.5"));
        assert!(!differ("14:56:03", "15:00:00") && !differ("2", "240") && !differ("1 mon", "30 days"));
    }
}
