//! The files a pattern means: `*` any characters of a name, `?` one, `[ab0-9]` one of these, `**` directories of any depth.

use heliosdb_runtime::{HostFiles, HostKind};
use heliosdb_types::{Error, Result, SqlState};

/// More files than this are no table.
pub const FILES_MAX: usize = 10_000;
/// Names looked at before a pattern is given up.
const NAMES_MAX: usize = 1_000_000;
const DEPTH_MAX: usize = 64;

/// Whether a path is to be matched rather than opened.
pub fn is_pattern(path: &str) -> bool {
    path.contains(['*', '?', '['])
}

/// The files that match, as canonical paths, in order; `stop` is asked now and then. No match is an error.
pub fn find_files(pattern: &str, stop: &dyn Fn() -> Result<()>) -> Result<Vec<String>> {
    if pattern.is_empty() {
        return Err(Error::invalid(SqlState::INVALID_NAME, "a file's name is empty"));
    }
    if !is_pattern(pattern) {
        return Ok(vec![HostFiles.canonical(pattern)?]);
    }
    let (root, rest) = match pattern.strip_prefix('/') {
        Some(rest) => ("/", rest),
        None => (".", pattern),
    };
    let parts: Vec<&str> = rest.split('/').filter(|part| !part.is_empty()).collect();
    let mut walk = Walk { stop, looked: 0, found: Vec::new() };
    walk.step(root, &parts, 0)?;
    let mut found = walk.found;
    found.sort();
    found.dedup();
    match found.is_empty() {
        true => Err(Error::invalid(SqlState::UNDEFINED_FILE, format!("no file matches \"{pattern}\""))),
        false => Ok(found),
    }
}

struct Walk<'a> {
    stop: &'a dyn Fn() -> Result<()>,
    looked: usize,
    found: Vec<String>,
}

impl Walk<'_> {
    fn step(&mut self, dir: &str, parts: &[&str], depth: usize) -> Result<()> {
        (self.stop)()?;
        let limit = |what: &str| Err(Error::invalid(SqlState::PROGRAM_LIMIT_EXCEEDED, what));
        if depth > DEPTH_MAX {
            return limit("directories are nested too deep for this pattern");
        }
        let Some((first, rest)) = parts.split_first() else { return Ok(()) };
        if !is_pattern(first) {
            return self.enter(&below(dir, first), rest, depth);
        }
        if *first == "**" {
            self.step(dir, rest, depth + 1)?;
        }
        // A directory nobody may look into matches nothing.
        let Ok(names) = HostFiles.names(dir) else { return Ok(()) };
        for name in names {
            self.looked += 1;
            if self.looked > NAMES_MAX || self.found.len() > FILES_MAX {
                return limit(&format!("more than {FILES_MAX} files, or too many directories, match the pattern"));
            }
            let path = below(dir, &name);
            if *first == "**" {
                // Hidden ones must be named; links could go in circles.
                let real = HostFiles.canonical(&path).is_ok_and(|found| found.ends_with(&format!("/{name}")));
                if !name.starts_with('.') && real && matches!(HostFiles.kind(&path), Ok(HostKind::Directory)) {
                    self.step(&path, parts, depth + 1)?;
                }
            } else if matches(first, &name) {
                self.enter(&path, rest, depth)?;
            }
        }
        Ok(())
    }

    fn enter(&mut self, path: &str, rest: &[&str], depth: usize) -> Result<()> {
        match HostFiles.kind(path) {
            Ok(HostKind::File { .. }) if rest.is_empty() => self.found.push(HostFiles.canonical(path)?),
            Ok(HostKind::Directory) if !rest.is_empty() => self.step(path, rest, depth + 1)?,
            _ => {}
        }
        Ok(())
    }
}

fn below(dir: &str, name: &str) -> String {
    if dir.ends_with('/') { format!("{dir}{name}") } else { format!("{dir}/{name}") }
}

/// Whether a name is what a pattern says; one that begins with a point has to be named with it.
fn matches(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    // Where to go on after the last star when a guess was too short.
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(_) => match one(&pattern, p, name[n]) {
                Some(next) => (p, n) = (next, n + 1),
                None => match star {
                    Some((at, from)) => {
                        (p, n) = (at + 1, from + 1);
                        star = Some((at, from + 1));
                    }
                    None => return false,
                },
            },
            None => match star {
                Some((at, from)) => {
                    (p, n) = (at + 1, from + 1);
                    star = Some((at, from + 1));
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|c| *c == '*')
}

/// The place behind the pattern's element at `at`, if that element is `c`.
fn one(pattern: &[char], at: usize, c: char) -> Option<usize> {
    match pattern.get(at)? {
        '?' => Some(at + 1),
        '[' => {
            let Some(length) = pattern.iter().skip(at + 2).position(|c| *c == ']') else {
                return (c == '[').then_some(at + 1);
            };
            let set = pattern.get(at + 1..at + 2 + length)?;
            let (negated, set) = match set.split_first() {
                Some(('!' | '^', rest)) => (true, rest),
                _ => (false, set),
            };
            let mut found = false;
            let mut rest = set;
            while let [first, tail @ ..] = rest {
                match tail {
                    ['-', last, more @ ..] => {
                        found |= (*first..=*last).contains(&c);
                        rest = more;
                    }
                    more => {
                        found |= *first == c;
                        rest = more;
                    }
                }
            }
            (found != negated).then_some(at + length + 3)
        }
        literal => (*literal == c).then_some(at + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_patterns() {
        for (pattern, name, expected) in [
            ("*.parquet", "a.parquet", true),
            ("*.parquet", ".a.parquet", false),
            ("*.parquet", "a.parquet.tmp", false),
            ("a?c*", "abcdef", true),
            ("a?c*", "ac", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b", "xxbxxa", false),
            ("t-[0-9][!x].csv", "t-7y.csv", true),
            ("t-[0-9][!x].csv", "t-7x.csv", false),
            ("[abc]", "b", true),
            ("[", "[", true),
            ("größe?", "größe1", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
        // Stars that could take for ever.
        assert!(!matches(&"*a".repeat(30), &"a".repeat(29)));
    }

    #[test]
    #[allow(clippy::disallowed_methods)]
    fn files_of_directories() {
        let dir = tempfile::tempdir().unwrap();
        let root = HostFiles.canonical(dir.path().to_str().unwrap()).unwrap();
        for name in ["y=1/a.csv", "y=1/b.csv", "y=2/c.csv", "y=2/d.txt", "top.csv", "y=2/deep/e.csv"] {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"x\n1\n").unwrap();
        }
        std::os::unix::fs::symlink(dir.path(), dir.path().join("y=2/circle")).unwrap();
        let find = |pattern: &str| {
            let found = find_files(&format!("{root}/{pattern}"), &|| Ok(()))?;
            Ok::<_, Error>(found.iter().map(|path| path[root.len() + 1..].to_owned()).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(find("y=*/*.csv").unwrap(), "y=1/a.csv y=1/b.csv y=2/c.csv");
        assert_eq!(find("**/*.csv").unwrap(), "top.csv y=1/a.csv y=1/b.csv y=2/c.csv y=2/deep/e.csv");
        assert_eq!(find("y=1/../top.csv").unwrap(), "top.csv");
        assert_eq!(find("*.json").unwrap_err().state(), SqlState::UNDEFINED_FILE);
        assert_eq!(find("none.csv").unwrap_err().state(), SqlState::UNDEFINED_FILE);
    }
}
