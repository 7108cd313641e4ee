//! `heliosdb check`: of a stopped database by its directory, of a running one by connecting to it.

use std::path::PathBuf;

use clap::Args;
use heliosdb_client::{ConnectArgs, Format};
use heliosdb_contracts::Finding;
use heliosdb_storage::check_dir;
use heliosdb_types::Error;

use crate::data_dir;
use crate::exit::{ExitCode, Failure};
use crate::memory::show;
use crate::offline::{Offline, shard_files};
use crate::table::{Table, print};

#[derive(Args, Clone, Debug)]
pub(crate) struct CheckArgs {
    /// Data directory of a stopped server; without it, the running server that the connection flags name is checked
    data_dir: Option<PathBuf>,

    /// Of a running server: these tables only, may be given several times
    #[arg(long, short, value_name = "NAME", conflicts_with = "data_dir")]
    table: Vec<String>,

    /// An array of objects instead of a table
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    connect: ConnectArgs,
}

const COLUMNS: [&str; 6] = ["severity", "relation", "rule", "file", "place", "problem"];

/// 5 if anything is damaged.
pub(crate) fn check(args: &CheckArgs) -> Result<ExitCode, Failure> {
    let errors = match &args.data_dir {
        None => {
            let format = if args.json { Format::Json } else { Format::Table };
            heliosdb_client::check(&args.connect, &args.table, format)
                .map_err(|failure| Failure { code: ExitCode::Failed, error: Error::internal(failure.to_string()) })?
        }
        Some(data_dir) => stopped(data_dir, args.json)?,
    };
    eprintln!("{}", if errors == 0 { "sound".to_owned() } else { format!("{errors} errors found") });
    Ok(if errors == 0 { ExitCode::Clean } else { ExitCode::Damaged })
}

fn stopped(data_dir: &std::path::Path, json: bool) -> Result<usize, Failure> {
    let (_disk, _lock) = data_dir::open_existing(data_dir)?;
    let files = shard_files(data_dir)?;
    let checked = check_dir(&files, &|| Ok(())).map_err(Failure::data)?;
    eprintln!("{} files, {}, {} row versions read", checked.files, show(checked.bytes), checked.rows);
    let mut rows: Vec<Vec<Option<String>>> = checked.findings.iter().map(row_of).collect();
    let damaged = checked.findings.iter().any(|finding| !finding.harmless);
    if damaged {
        eprintln!("catalog, indexes and constraints are not checked while files are damaged");
    } else {
        let offline = Offline::open(files).map_err(Failure::data)?;
        for database in offline.databases().map_err(Failure::data)? {
            rows.extend(offline.rows(&database, "CHECK CATALOG").map_err(Failure::data)?.into_iter().map(|mut row| {
                // Full names of several databases: which one it is must be said.
                if let Some(Some(relation)) = row.get_mut(1)
                    && !relation.is_empty()
                {
                    *relation = format!("{database}.{relation}");
                }
                row
            }));
        }
    }
    let errors = rows.iter().filter(|row| row.first().and_then(Option::as_deref) == Some("error")).count();
    if !rows.is_empty() || json {
        print(&Table { columns: COLUMNS.map(str::to_owned).to_vec(), rows }, json);
    }
    Ok(errors)
}

fn row_of(finding: &Finding) -> Vec<Option<String>> {
    let severity = if finding.harmless { "note" } else { "error" };
    vec![
        Some(severity.to_owned()),
        finding.tree.map(|tree| format!("tree {tree}")),
        Some(finding.rule.clone()),
        finding.file.clone(),
        finding.offset.map(|offset| offset.to_string()),
        Some(finding.problem.clone()),
    ]
}
