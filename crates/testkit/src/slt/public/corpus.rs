//! Where other engines' files come from, and which of them count. Nothing of them lies in this repository.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::Dialect;

/// A public collection of files.
pub struct Corpus {
    pub name: &'static str,
    pub dialect: Dialect,
    source: Source,
    /// Folders and files below the fetched folder, by their beginnings.
    parts: &'static [&'static str],
    /// Files that are not played, by the beginning of their names, and why.
    left_out: &'static [(&'static str, &'static str)],
    /// Endings of its files' names.
    endings: &'static [&'static str],
}

enum Source {
    /// A public git repository at a commit.
    Git { url: &'static str, commit: &'static str },
    /// A crate's source package and its SHA-256.
    Crate { name: &'static str, version: &'static str, sha256: &'static str },
}

/// The folders of DuckDB's tests that are about SQL the standard or PostgreSQL has; the others are about its own file formats,
/// storage, extensions, pragmas and syntax.
const DUCKDB_PARTS: &[&str] = &[
    "test/sql/aggregate/",
    "test/sql/alter/",
    "test/sql/cast/",
    "test/sql/conjunction/",
    "test/sql/constraints/",
    "test/sql/cte/",
    "test/sql/delete/",
    "test/sql/filter/",
    "test/sql/insert/",
    "test/sql/join/",
    "test/sql/limit/",
    "test/sql/merge/",
    "test/sql/order/",
    "test/sql/overflow/",
    "test/sql/projection/",
    "test/sql/returning/",
    "test/sql/select/",
    "test/sql/setops/",
    "test/sql/subquery/",
    "test/sql/topn/",
    "test/sql/types/date/",
    "test/sql/types/decimal/",
    "test/sql/types/interval/",
    "test/sql/types/numeric/",
    "test/sql/types/null/",
    "test/sql/types/string/",
    "test/sql/types/time/",
    "test/sql/types/timestamp/",
    "test/sql/types/uuid/",
    "test/sql/update/",
    "test/sql/upsert/",
    "test/sql/window/",
];

const DATAFUSION_LEFT_OUT: &[(&str, &str)] = &[
    ("test_files/datetime/interval_mysql", "MySQL's syntax of intervals"),
    ("test_files/information_schema", "what its own catalog contains"),
    ("test_files/metadata", "metadata of Arrow's fields"),
    ("test_files/set_variable", "its own settings"),
    ("test_files/spark/", "Spark's functions"),
];

pub const CORPORA: &[Corpus] = &[
    Corpus {
        name: "sqlite",
        dialect: Dialect::Sqlite,
        source: Source::Git {
            url: "https://github.com/gregrahn/sqllogictest",
            commit: "d8d4f4b9a351102ec63196a920e8052f4f025509",
        },
        parts: &["test/select", "test/evidence/", "test/index/"],
        left_out: &[],
        endings: &["test"],
    },
    Corpus {
        name: "datafusion",
        dialect: Dialect::Datafusion,
        source: Source::Crate {
            name: "datafusion-sqllogictest",
            version: "55.2.0",
            sha256: "b270cea4d8c2b2c42773e60164204386fb97d7936736e5f126ac751b86d7dabe",
        },
        parts: &["test_files/"],
        left_out: DATAFUSION_LEFT_OUT,
        endings: &["slt"],
    },
    Corpus {
        name: "duckdb",
        dialect: Dialect::Duckdb,
        source: Source::Git {
            url: "https://github.com/duckdb/duckdb",
            commit: "044a04a7cd39e6e8235f756597ae42dde084e5e5",
        },
        parts: DUCKDB_PARTS,
        left_out: &[],
        endings: &["test"],
    },
];

/// A file of a corpus: its path there, and where it lies.
pub struct CorpusFile {
    pub name: String,
    pub path: PathBuf,
}

impl Corpus {
    /// Fetches the corpus into a folder below `cache`, unless it lies there already.
    pub fn fetch(&self, cache: &Path) -> Result<PathBuf, String> {
        let dir = cache.join("slt").join(format!("{}-{}", self.name, self.version()));
        if dir.is_dir() {
            return Ok(dir);
        }
        let making = dir.with_extension("part");
        let _ = std::fs::remove_dir_all(&making);
        std::fs::create_dir_all(&making).map_err(|error| format!("{}: {error}", making.display()))?;
        match &self.source {
            Source::Git { url, commit } => self.clone_parts(url, commit, &making)?,
            Source::Crate { name, version, sha256 } => unpack_crate(name, version, sha256, &making)?,
        }
        std::fs::rename(&making, &dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        Ok(dir)
    }

    /// Its commit or version.
    pub fn version(&self) -> &'static str {
        match &self.source {
            Source::Git { commit, .. } => &commit[..12],
            Source::Crate { version, .. } => version,
        }
    }

    fn clone_parts(&self, url: &str, commit: &str, into: &Path) -> Result<(), String> {
        let git = |words: &[&str]| run(Command::new("git").arg("-C").arg(into).args(words));
        git(&["init", "--quiet"])?;
        git(&["remote", "add", "origin", url])?;
        let patterns: Vec<String> = self.parts.iter().map(|part| format!("/{part}*")).collect();
        let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
        git(&[&["sparse-checkout", "set", "--no-cone"], patterns.as_slice()].concat())?;
        git(&["fetch", "--quiet", "--depth=1", "--filter=blob:none", "origin", commit])?;
        git(&["checkout", "--quiet", "FETCH_HEAD"])
    }

    /// Why a file is not played, if it is not.
    pub fn left_out(&self, name: &str) -> Option<&'static str> {
        self.left_out.iter().find(|(beginning, _)| name.starts_with(beginning)).map(|(_, why)| *why)
    }

    /// Its files below a folder, sorted. Of sqlite's index files one a folder, unless `all` are wanted: they are alike.
    pub fn files(&self, dir: &Path, filter: &str, all: bool) -> Vec<CorpusFile> {
        let mut found = Vec::new();
        let mut folders = vec![dir.to_owned()];
        while let Some(folder) = folders.pop() {
            for path in std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|e| self.endings.iter().any(|ending| e == *ending)) {
                    let name = path.strip_prefix(dir).unwrap_or(&path).to_string_lossy().into_owned();
                    found.push(CorpusFile { name, path });
                }
            }
        }
        found.retain(|file| self.parts.iter().any(|part| file.name.starts_with(part)) && file.name.contains(filter));
        found.sort_by(|a, b| a.name.cmp(&b.name));
        if !all {
            let mut last = None;
            found.retain(|file| {
                let folder = file.name.starts_with("test/index/").then(|| file.path.parent().map(Path::to_owned));
                let again = folder.is_some() && folder == last;
                last = folder;
                !again
            });
        }
        found
    }
}

/// Lets cargo fetch a crate, which checks it against the registry's checksum, and unpacks it if it is the one we know.
fn unpack_crate(name: &str, version: &str, sha256: &str, into: &Path) -> Result<(), String> {
    // Outside a workspace `cargo info` reads no manifest; it downloads the package it tells of.
    run(Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["info", "--quiet", &format!("{name}@{version}")])
        .stdout(std::process::Stdio::null())
        .current_dir(into))?;
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo"))).ok_or("no CARGO_HOME")?;
    let registries = std::fs::read_dir(home.join("registry/cache")).map_err(|error| error.to_string())?;
    let package = registries.flatten().map(|entry| entry.path().join(format!("{name}-{version}.crate")));
    let package = package.into_iter().find(|path| path.is_file()).ok_or("cargo left no package")?;
    let sum = Command::new("sha256sum").arg(&package).output().map_err(|error| format!("sha256sum: {error}"))?;
    if !sum.stdout.starts_with(sha256.as_bytes()) {
        return Err(format!("{} is not the package with the SHA-256 {sha256}", package.display()));
    }
    run(Command::new("tar").arg("xzf").arg(&package).arg("-C").arg(into).arg("--strip-components=1"))
}

fn run(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|error| format!("{command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} ended with {status}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_index_file_a_folder_unless_all_are_wanted() {
        let place = tempfile::tempdir().unwrap();
        for name in [
            "test/select1.test",
            "test/select2.test",
            "test/index/a/1/x.test",
            "test/index/a/1/y.test",
            "test/other/x.test",
        ] {
            let path = place.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let names = |all| CORPORA[0].files(place.path(), "", all).into_iter().map(|file| file.name).collect::<Vec<_>>();
        assert_eq!(names(false), ["test/index/a/1/x.test", "test/select1.test", "test/select2.test"]);
        assert_eq!(names(true).len(), 4);
        assert_eq!(CORPORA[0].files(place.path(), "select2", false).len(), 1);
    }
}
