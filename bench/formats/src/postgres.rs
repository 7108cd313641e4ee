//! PostgreSQL's heap and index, in a cluster of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::tables::Table;

fn postgres_bin() -> Option<PathBuf> {
    let mut versions: Vec<PathBuf> =
        std::fs::read_dir("/usr/lib/postgresql").ok()?.flatten().map(|e| e.path().join("bin")).collect();
    versions.sort();
    versions.into_iter().rev().find(|bin| bin.join("initdb").exists())
}

/// Runs a program as a user that PostgreSQL accepts.
fn command(program: &Path) -> Command {
    // SAFETY: no arguments, cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        return Command::new(program);
    }
    let mut command = Command::new("runuser");
    command.args(["-u", "postgres", "--"]).arg(program);
    command
}

fn sql_type(physical: heliosdb_types::PhysicalType) -> &'static str {
    use heliosdb_types::PhysicalType::*;
    match physical {
        Int16 => "smallint",
        Int32 => "integer",
        Int64 => "bigint",
        Float64 => "double precision",
        Decimal64 { .. } => "numeric(15,2)",
        Date => "date",
        TimestampTz => "timestamptz",
        _ => "text",
    }
}

/// Bytes of heap and primary key in a PostgreSQL of its own, loaded by COPY and vacuumed.
pub fn size(table: &Table, dir: &Path) -> Option<u64> {
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;
    let bin = postgres_bin()?;
    let data = dir.join("pg");
    std::fs::create_dir_all(&data).ok()?;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o777)).ok()?;
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o777)).ok()?;
    let cluster = data.join("cluster");
    let run = |program: &str, arguments: &[&str]| {
        let done = command(&bin.join(program)).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
        done.is_ok_and(|status| status.success())
    };
    let text = cluster.to_string_lossy().into_owned();
    let socket = data.to_string_lossy().into_owned();
    if !run("initdb", &["-D", &text, "-A", "trust", "--no-sync"]) {
        return None;
    }
    let options = format!("-k {socket} -c listen_addresses= -c fsync=off -c max_wal_size=8GB");
    if !run("pg_ctl", &["-D", &text, "-w", "-l", &format!("{socket}/log"), "-o", &options, "start"]) {
        return None;
    }
    let columns: Vec<String> =
        table.columns.iter().map(|(name, physical)| format!("{name} {}", sql_type(*physical))).collect();
    let key: Vec<&str> = table.key.iter().map(|at| table.columns[*at].0).collect();
    let load = || -> Option<u64> {
        let mut psql = command(&bin.join("psql"))
            .args(["-h", &socket, "-d", "postgres", "-qAt", "-v", "ON_ERROR_STOP=1"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        {
            let mut input = std::io::BufWriter::new(psql.stdin.take()?);
            writeln!(input, "create table t ({}, primary key ({}));", columns.join(", "), key.join(", ")).ok()?;
            writeln!(input, "copy t from stdin;").ok()?;
            for batch in &table.batches {
                let columns: Vec<_> = batch.columns().iter().zip(&table.columns).collect();
                for row in 0..batch.num_rows() {
                    let mut line = String::new();
                    for (at, (array, (_, physical))) in columns.iter().enumerate() {
                        if at > 0 {
                            line.push('\t');
                        }
                        let datum = heliosdb_contracts::datum_at(array, row, *physical).ok()?;
                        line.push_str(&copy_text(datum));
                    }
                    writeln!(input, "{line}").ok()?;
                }
            }
            writeln!(input, "\\.\nvacuum analyze t;\nselect pg_total_relation_size('t');").ok()?;
        }
        let output = psql.wait_with_output().ok()?;
        String::from_utf8(output.stdout).ok()?.trim().parse().ok()
    };
    let bytes = load();
    run("pg_ctl", &["-D", &text, "-m", "immediate", "stop"]);
    bytes
}

fn copy_text(datum: heliosdb_types::DatumRef<'_>) -> String {
    use heliosdb_types::DatumRef::*;
    match datum {
        Null => "\\N".into(),
        Int16(v) => v.to_string(),
        Int32(v) => v.to_string(),
        Int64(v) => v.to_string(),
        Float64(v) => v.to_string(),
        Decimal { unscaled, .. } => format!("{}.{:02}", unscaled / 100, unscaled % 100),
        Text(v) => v.to_owned(),
        Date(days) => format!("{}", civil(days)),
        TimestampTz(micros) => format!(
            "{} {:02}:{:02}:{:02}.{:06}+00",
            civil((micros / 86_400_000_000) as i32),
            micros / 3_600_000_000 % 24,
            micros / 60_000_000 % 60,
            micros / 1_000_000 % 60,
            micros % 1_000_000
        ),
        other => panic!("no text for {other:?}"),
    }
}

/// Days since 1970 as a date (Hinnant's algorithm).
fn civil(days: i32) -> String {
    let z = i64::from(days) + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    format!("{:04}-{month:02}-{day:02}", yoe + era * 400 + i64::from(month <= 2))
}
