//! Who may read which file of the server, and who may write.
//!
//! Reading: superusers and those with the privileges of pg_read_server_files everything, everybody what lies in a directory of
//! `file_directories`. Writing: superusers and those with the privileges of pg_write_server_files. A path counts by what it leads to, never
//! by how it is written; and who may not read somewhere does not learn what is there.

use heliosdb_runtime::HostFiles;
use heliosdb_types::{Error, Result, SqlState};

/// What a role may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileRights {
    /// Everything.
    pub all: bool,
    /// Else what lies below these.
    pub directories: Vec<String>,
}

impl FileRights {
    /// The directories of the setting: separated by commas.
    pub fn directories(setting: &str) -> Vec<String> {
        setting.split(',').map(str::trim).filter(|dir| !dir.is_empty()).map(str::to_owned).collect()
    }

    /// Before anything is looked for: whether the path could lead to something that may be read.
    pub fn check_written(&self, path: &str) -> Result<()> {
        if self.all {
            return Ok(());
        }
        let below = |dir: &String| {
            let canonical = HostFiles.canonical(dir).ok();
            is_below(path, dir) || canonical.is_some_and(|dir| is_below(path, &dir))
        };
        let plain = path.starts_with('/') && !path.split('/').any(|part| matches!(part, ".." | "."));
        match plain && self.directories.iter().any(below) {
            true => Ok(()),
            false => Err(self.denied(path)),
        }
    }

    /// Whether what a path turned out to lead to may be read.
    pub fn check_found(&self, canonical: &str, path: &str) -> Result<()> {
        let below = |dir: &String| HostFiles.canonical(dir).is_ok_and(|dir| is_below(canonical, &dir));
        match self.all || self.directories.iter().any(below) {
            true => Ok(()),
            false => Err(self.denied(path)),
        }
    }

    fn denied(&self, path: &str) -> Error {
        let message = format!("permission denied to read file \"{path}\"");
        Error::invalid(SqlState::INSUFFICIENT_PRIVILEGE, message)
            .with_detail(
                "Only roles with privileges of the \"pg_read_server_files\" role may read any file of the server; \
                 others those in the directories of \"file_directories\".",
            )
            .with_hint(
                "Name the file with its whole path, or load it with \"heliosdb import\" or psql's \\copy command.",
            )
    }
}

fn is_below(path: &str, dir: &str) -> bool {
    let dir = dir.trim_end_matches('/');
    path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods)]
    fn neither_dots_nor_links_lead_out() {
        let dir = tempfile::tempdir().unwrap();
        let root = HostFiles.canonical(dir.path().to_str().unwrap()).unwrap();
        std::fs::create_dir(dir.path().join("open")).unwrap();
        std::fs::create_dir(dir.path().join("open-not")).unwrap();
        std::fs::write(dir.path().join("secret.csv"), b"x").unwrap();
        std::fs::write(dir.path().join("open/a.csv"), b"x").unwrap();
        std::os::unix::fs::symlink(dir.path().join("secret.csv"), dir.path().join("open/link.csv")).unwrap();
        let rights =
            FileRights { all: false, directories: FileRights::directories(&format!(" {root}/open/ , /nowhere")) };
        let may = |path: &str| {
            rights.check_written(path)?;
            rights.check_found(&HostFiles.canonical(path)?, path)
        };
        assert!(may(&format!("{root}/open/a.csv")).is_ok());
        for path in ["open/link.csv", "open/../secret.csv", "secret.csv", "open-not/x", "open/none/../a.csv"] {
            let error = may(&format!("{root}/{path}")).unwrap_err();
            assert_eq!(error.state(), SqlState::INSUFFICIENT_PRIVILEGE, "{path}");
        }
        assert!(may("relative.csv").is_err());
        assert!(may("/etc/passwd").is_err());
        assert!(FileRights { all: true, directories: Vec::new() }.check_written("anything").is_ok());
    }
}
