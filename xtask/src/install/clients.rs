//! Drivers, ORMs and the runtimes they need. Kept in the target folder, so that a cached one spares the downloads.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::apt_install;
use crate::step::{Done, output, root, run, target_dir};

/// Installs everything the scripts of `crates/testkit/clients` use; returns the folder it is in.
pub fn clients() -> Result<PathBuf, String> {
    system_packages()?;
    let (scripts, installed) = (root().join("crates/testkit/clients"), target_dir().join("clients"));
    fs::create_dir_all(&installed).map_err(|error| error.to_string())?;
    python(&scripts.join("python/requirements.txt"), &installed.join("python"))?;
    node(&scripts.join("node"), &installed.join("node"))?;
    rust(&scripts.join("rust"), &installed.join("rust"))?;
    Ok(installed)
}

fn system_packages() -> Done {
    let programs = [("java", "default-jdk-headless"), ("go", "golang-go"), ("node", "nodejs"), ("npm", "npm")];
    let files = [
        ("/usr/share/java/postgresql.jar", "libpostgresql-jdbc-java"),
        ("/usr/share/gocode/src/github.com/lib/pq", "golang-github-lib-pq-dev"),
    ];
    let on_path = |name: &str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
    };
    let mut missing: Vec<&str> =
        programs.iter().filter(|(name, _)| !on_path(name)).map(|(_, package)| *package).collect();
    missing.extend(files.iter().filter(|(path, _)| !Path::new(path).exists()).map(|(_, package)| *package));
    let odbc = output("odbcinst", &["-q", "-d"]).is_some_and(|drivers| drivers.contains("PostgreSQL Unicode"));
    if !odbc {
        missing.extend(["unixodbc", "odbc-postgresql"]);
    }
    // venv is a package of its own on Debian.
    if output("python3", &["-c", "import ensurepip"]).is_none() {
        missing.push("python3-venv");
    }
    if missing.is_empty() { Ok(()) } else { apt_install(&missing) }
}

fn python(requirements: &Path, venv: &Path) -> Done {
    once(requirements, &venv.join("installed"), || {
        run(Command::new("python3").args(["-m", "venv"]).arg(venv))?;
        run(Command::new(venv.join("bin/pip")).args(["install", "--quiet", "--requirement"]).arg(requirements))
    })
}

fn node(scripts: &Path, folder: &Path) -> Done {
    fs::create_dir_all(folder).map_err(|error| error.to_string())?;
    for entry in fs::read_dir(scripts).map_err(|error| error.to_string())?.flatten() {
        fs::copy(entry.path(), folder.join(entry.file_name())).map_err(|error| error.to_string())?;
    }
    once(&scripts.join("package.json"), &folder.join("installed"), || {
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"]).arg(folder);
        run(npm.stdout(Stdio::null()))
    })
}

fn rust(manifest: &Path, target: &Path) -> Done {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--locked", "--bins"]).current_dir(manifest).env("CARGO_TARGET_DIR", target);
    // Set by the cargo that runs us, for us.
    run(cargo.env_remove("CARGO_MANIFEST_DIR"))
}

/// Runs `install` unless it was done for the same list before.
fn once(list: &Path, stamp: &Path, install: impl FnOnce() -> Done) -> Done {
    let wanted = fs::read(list).map_err(|error| error.to_string())?;
    if fs::read(stamp).is_ok_and(|done| done == wanted) {
        return Ok(());
    }
    install()?;
    fs::write(stamp, wanted).map_err(|error| error.to_string())
}
