//! Operators, casts and functions give what PostgreSQL 15 gives: `statement, result` a line of the golden file, rows joined by
//! ` / `, errors as `ERR sqlstate: message`.

use super::queries::sql;

#[test]
fn functions_agree_with_postgres() {
    let sql = sql();
    let golden = include_str!("functions.tsv");
    let mut wrong = Vec::new();
    for line in golden.lines() {
        let (statement, expected) = line.split_once('\t').expect("statement and result");
        let got = match sql.run(statement, Vec::new()) {
            Ok(rows) => {
                let rows: Vec<String> = rows.iter().map(|row| row.join("|")).filter(|row| !row.is_empty()).collect();
                rows.join(" / ")
            }
            Err(error) => format!("ERR {}: {}", error.state(), error.message()),
        };
        if got != expected {
            wrong.push(format!("{statement}\n  {got}\n  PostgreSQL: {expected}"));
        }
    }
    assert!(golden.lines().count() > 500, "the golden file is nearly empty");
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}
