//! Other engines' sqllogictest files over the wire: sqlite's, DataFusion's, DuckDB's; `cargo xtask slt`.
//!
//! The files are fetched when they are played ([`corpus`]). Where our answer is not the file's, PostgreSQL plays the file,
//! too, and its answer is the one that counts ([`judge`]). What each file comes to is held to a list ([`outcomes`]).

mod answer;
mod corpus;
mod judge;
mod outcomes;
mod play;
mod read;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use crate::peer::{Postgres, PostgresVersion};
use crate::server::{Server, ServerOptions};

use answer::Answer;
use corpus::{CORPORA, Corpus, CorpusFile};
use judge::{Finding, Judged, Verdict};
use outcomes::Outcome;

/// How a corpus' files are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Sqlite,
    Datafusion,
    Duckdb,
}

impl Dialect {
    /// What the server is called in `skipif` and `onlyif`.
    fn server(self) -> &'static [&'static str] {
        match self {
            Dialect::Sqlite => &["postgresql"],
            Dialect::Datafusion | Dialect::Duckdb => &["postgres"],
        }
    }
}

/// What to play.
pub struct SltOptions {
    /// Only these corpora; none: all.
    pub corpora: Vec<String>,
    /// The corpus' folder, if it is not to be fetched.
    pub dir: Option<PathBuf>,
    /// Only files whose path contains this.
    pub only: String,
    /// All of sqlite's index files, not one a folder.
    pub all: bool,
    /// Write the lists instead of holding against them.
    pub write: bool,
    /// Say every record that is refused or wrong.
    pub verbose: bool,
    /// Where corpora are kept.
    pub cache: PathBuf,
}

/// Plays corpora; an error if an answer is wrong or a file comes to less than is listed.
pub async fn run(options: &SltOptions) -> Result<(), String> {
    let chosen: Vec<&Corpus> = CORPORA
        .iter()
        .filter(|corpus| options.corpora.is_empty() || options.corpora.iter().any(|name| name == corpus.name))
        .collect();
    if chosen.is_empty() || (options.dir.is_some() && chosen.len() > 1) {
        let names: Vec<&str> = CORPORA.iter().map(|corpus| corpus.name).collect();
        return Err(format!("--corpus is one of {}; --dir is the folder of one", names.join(", ")));
    }
    let place = tempfile::tempdir().map_err(|error| error.to_string())?;
    let text = |error: std::io::Error| error.to_string();
    let version = PostgresVersion::find(&options.cache.join("postgres18")).map_err(text)?;
    let theirs =
        Postgres::start(&version, &place.path().join("postgres"), &["fsync=off".into()]).await.map_err(text)?;
    println!("beside PostgreSQL {}", theirs.version);
    let mut failed = Vec::new();
    for corpus in chosen {
        let dir = match &options.dir {
            Some(dir) => dir.clone(),
            None => corpus.fetch(&options.cache)?,
        };
        let ours = Server::start(&ServerOptions::new(place.path().join(corpus.name))).await.map_err(text)?;
        let ports = (ours.pg_port, theirs.port);
        failed.extend(play_corpus(corpus, &corpus.files(&dir, &options.only, options.all), ports, options).await?);
    }
    match failed.len() {
        0 => Ok(()),
        count => {
            Err(format!("{count} files come to less than is listed in crates/testkit/slt:\n{}", failed.join("\n")))
        }
    }
}

async fn play_corpus(
    corpus: &Corpus,
    files: &[CorpusFile],
    ports: (u16, u16),
    options: &SltOptions,
) -> Result<Vec<String>, String> {
    if files.is_empty() {
        return Err(format!("no file of {} is called {:?}", corpus.name, options.only));
    }
    let (listed, by_hand) = (outcomes::read(corpus.name)?, outcomes::judged_by_hand());
    let (mut now, mut failed, mut total) = (BTreeMap::new(), Vec::new(), Judged::default());
    let mut out = 0;
    for (at, file) in files.iter().enumerate() {
        let start = Instant::now();
        let outcome = match play_file(corpus, file, at, ports).await? {
            Err(why) => {
                out += 1;
                Outcome::Out(why)
            }
            Ok(mut judged) => {
                excuse(&mut judged, |line| by_hand.get(&format!("{} {}:{line}", corpus.name, file.name)));
                print(&file.name, &judged, start.elapsed().as_secs_f64(), options.verbose);
                if judged.wrong > 0 {
                    failed.push(format!("{} {}: {} wrong", corpus.name, file.name, judged.wrong));
                }
                add(&mut total, &judged);
                Outcome::of(&judged)
            }
        };
        let before = listed.get(&file.name);
        let worse = match (before, &outcome) {
            (Some(before), outcome) => before.worse(outcome),
            (None, outcome) if outcome.clean() => None,
            (None, Outcome::Out(why)) => Some(format!("is not played: {why}")),
            (None, Outcome::Played { reasons, .. }) => Some(format!("is not listed: {reasons}")),
        };
        failed.extend(worse.filter(|_| !options.write).map(|why| format!("{} {}: {why}", corpus.name, file.name)));
        now.insert(file.name.clone(), outcome);
    }
    let clean = now.values().filter(|outcome| outcome.clean()).count();
    println!("{}: {} files, {clean} of them pass as they are, {out} not played", corpus.name, files.len());
    print(corpus.name, &total, 0.0, false);
    if options.write {
        outcomes::write(corpus.name, corpus.version(), &now)?;
    }
    Ok(failed)
}

/// Plays one file on our server and, if anything is not as it says, on PostgreSQL. The inner error: why it is not played.
async fn play_file(
    corpus: &Corpus,
    file: &CorpusFile,
    at: usize,
    ports: (u16, u16),
) -> Result<Result<Judged, String>, String> {
    if let Some(why) = corpus.left_out(&file.name) {
        return Ok(Err(why.to_owned()));
    }
    let script = match read::read(&file.path, corpus.dialect) {
        Ok(script) => script,
        Err(why) => return Ok(Err(why)),
    };
    let records = play::for_server(&script.records, corpus.dialect.server());
    if records.is_empty() {
        return Ok(Err("nothing in it is for PostgreSQL".to_owned()));
    }
    let schema = format!("slt_{}_{at}", corpus.name);
    let named = |error| format!("{}: {error}", file.name);
    let ours: Vec<Answer> = play::play(ports.0, &schema, &records).await.map_err(named)?;
    let judged = judge::judge(&records, &ours, None, corpus.dialect);
    if judged.findings.is_empty() {
        return Ok(Ok(judged));
    }
    let theirs = play::play(ports.1, &schema, &records).await.map_err(named)?;
    Ok(Ok(judge::judge(&records, &ours, Some(&theirs), corpus.dialect)))
}

/// Takes wrong answers that were judged by hand out of the count of the wrong: they pass.
fn excuse<'a>(judged: &mut Judged, why: impl Fn(usize) -> Option<&'a String>) {
    for finding in &mut judged.findings {
        if finding.verdict == Verdict::Wrong
            && let Some(why) = why(finding.line)
        {
            (finding.verdict, finding.reason) = (Verdict::Passed, why.clone());
            judged.wrong -= 1;
            judged.passed += usize::from(finding.query);
        }
    }
}

fn add(total: &mut Judged, one: &Judged) {
    total.queries += one.queries;
    total.passed += one.passed;
    total.postgres += one.postgres;
    total.foreign += one.foreign;
    total.refused += one.refused;
    total.wrong += one.wrong;
    total.after += one.after;
    total.statements += one.statements;
    total.statements_refused += one.statements_refused;
}

fn print(name: &str, judged: &Judged, seconds: f64, verbose: bool) {
    let Judged { queries, passed, postgres, foreign, refused, wrong, after, statements, statements_refused, findings } =
        judged;
    println!(
        "{name}: {queries} queries: {passed} passed, {postgres} as PostgreSQL, {foreign} foreign, {refused} refused, {after} after a refusal, {wrong} wrong; {statements} statements, {statements_refused} refused{}",
        if seconds > 0.0 { format!("; {seconds:.1} s") } else { String::new() }
    );
    let told = |finding: &&Finding| match finding.verdict {
        Verdict::Wrong => true,
        Verdict::Refused | Verdict::After => verbose,
        Verdict::Passed | Verdict::Postgres | Verdict::Foreign => false,
    };
    for finding in findings.iter().filter(told) {
        println!(
            "  {:?} {name}:{}: {}\n    {}",
            finding.verdict,
            finding.line,
            finding.sql.replace('\n', "\n    "),
            finding.why
        );
    }
}
