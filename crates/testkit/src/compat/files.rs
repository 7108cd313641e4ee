//! Files of statements on both servers, one rate a file.

use std::path::Path;

use super::verdict::{Verdict, compare};
use super::wire::Wire;
use crate::golden::{scripts, statements};

/// What one file came to.
#[derive(Debug)]
pub struct FileRate {
    pub name: String,
    pub statements: usize,
    pub same: usize,
    pub refused: Vec<String>,
    /// Statement and what differs.
    pub different: Vec<(String, String)>,
}

impl FileRate {
    /// Statements answered as PostgreSQL answers, per thousand, rounded down.
    pub fn per_mille(&self) -> usize {
        (self.same * 1000).checked_div(self.statements).unwrap_or(1000)
    }
}

/// Runs every file, each in a schema of its own.
pub fn run(ours: u16, theirs: u16, filter: &str) -> Result<Vec<FileRate>, String> {
    scripts(filter).iter().map(|path| run_file(ours, theirs, path)).collect()
}

fn run_file(ours: u16, theirs: u16, path: &Path) -> Result<FileRate, String> {
    let text = |error: std::io::Error| format!("{}: {error}", path.display());
    let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let (mut ours, mut theirs) = (Wire::connect(ours).map_err(text)?, Wire::connect(theirs).map_err(text)?);
    let setup = format!("CREATE SCHEMA golden_{name}; SET search_path = golden_{name}; SET TimeZone = 'UTC'");
    for wire in [&mut ours, &mut theirs] {
        wire.query(&setup).map_err(text)?;
    }
    let script = std::fs::read_to_string(path).map_err(text)?;
    let mut rate = FileRate { name, statements: 0, same: 0, refused: Vec::new(), different: Vec::new() };
    for sql in statements(&script) {
        rate.statements += 1;
        let (a, b) = (ours.query(&sql).map_err(text)?, theirs.query(&sql).map_err(text)?);
        // Our own files say ORDER BY where the order matters.
        match compare(&a, &b, sql.to_ascii_lowercase().contains("order by")) {
            Verdict::Same | Verdict::Listed(_) => rate.same += 1,
            Verdict::Refused(_) => rate.refused.push(sql),
            Verdict::Error(said) | Verdict::Silent(said) => rate.different.push((sql, said)),
        }
    }
    Ok(rate)
}
