//! What `packaging/` says is so: paths, flags, variables, ports and exit codes are the program's; its commands are run.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use heliosdb_testkit::server::{binary, free_port};
use heliosdb_testkit::tidy::root;

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn heliosdb(args: &[&str]) -> String {
    let output = Command::new(binary()).args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Whether a program is installed.
fn there_is(program: &str) -> bool {
    Command::new("sh").args(["-c", &format!("command -v {program}")]).stdout(Stdio::null()).status().unwrap().success()
}

/// `a = "b"` or `a=b` of a document without its quotes.
fn after<'t>(text: &'t str, name: &str) -> &'t str {
    let found = text.lines().find_map(|line| line.trim().strip_prefix(name));
    found.unwrap_or_else(|| panic!("{name} in\n{text}")).trim().trim_matches('"')
}

/// Arguments of `start` that the program takes as they stand.
fn check_start(args: &[&str]) {
    assert_eq!(args.first(), Some(&"start"), "{args:?}");
    heliosdb(&[&["config", "print"], &args[1..]].concat());
}

#[test]
fn the_dockerfile_builds_and_starts_what_there_is() {
    let file = read("packaging/Dockerfile");
    let toolchain = read("rust-toolchain.toml");
    let channel = after(&toolchain, "channel =");
    let minor: Vec<&str> = channel.split('.').take(2).collect();
    assert!(file.contains(&format!("FROM rust:{}-", minor.join("."))), "the pinned toolchain is {channel}");
    // The command builds the package whose binary is copied.
    let build = after(&file, "RUN cargo");
    assert_eq!(build, "build --profile dist --locked -p heliosdb-server");
    assert!(read("crates/server/Cargo.toml").contains("name = \"heliosdb\""), "its binary");
    let stages: Vec<&str> = file.lines().filter_map(|line| line.strip_prefix("FROM ")?.split(" AS ").nth(1)).collect();
    let mut copies = 0;
    for copy in file.lines().filter_map(|line| line.strip_prefix("COPY ")) {
        copies += 1;
        match copy.strip_prefix("--from=") {
            Some(copy) => {
                let (stage, paths) = copy.split_once(' ').unwrap();
                assert!(stages.contains(&stage), "{copy}");
                assert_eq!(paths, "/src/target/dist/heliosdb /usr/local/bin/heliosdb");
            }
            None => {
                let source = copy.split(' ').next().unwrap();
                assert!(root().join(source).exists(), "{copy}");
            }
        }
    }
    assert_eq!(copies, 2);
    // What the build needs is not left out of its context.
    let ignored = read(".dockerignore");
    for needed in ["Cargo.lock", "Cargo.toml", "rust-toolchain.toml", "crates", "xtask"] {
        assert!(
            root().join(needed).exists() && !ignored.lines().any(|line| line.trim_matches('/') == needed),
            "{needed}"
        );
    }
    let command = after(&file, "CMD ").trim_matches(['[', ']']).replace(['"', ','], "");
    check_start(&command.split(' ').collect::<Vec<_>>());
    assert!(file.contains("ENTRYPOINT [\"heliosdb\"]") && after(&file, "STOPSIGNAL") == "SIGTERM");
    let settings = read("docs/configuration.md");
    let variable = after(&file, "ENV ").split('=').next().unwrap();
    assert!(settings.contains(&format!("`{variable}`")), "{variable}");
    let volume = after(&file, "VOLUME");
    assert!(
        after(&file, "ENV ").ends_with(&format!("={volume}/data")) && file.contains(&format!("--home-dir {volume}"))
    );
    let defaults = heliosdb(&["config", "print"]);
    for port in after(&file, "EXPOSE").split(' ') {
        assert!(defaults.contains(&format!("port = {port} ")), "{port}\n{defaults}");
    }
}

#[test]
fn the_compose_file_s_first_command_sets_a_password() {
    let file = read("packaging/compose.yaml");
    assert!(root().join("packaging").join(after(&file, "context:")).join(after(&file, "dockerfile:")).is_file());
    // What runs inside the container, as the shell outside would hand it over.
    let comment: String = file.lines().map_while(|line| line.strip_prefix("# ")).collect::<Vec<_>>().join("\n");
    let start = comment.find("sh db -c \\\n").expect("the command") + "sh db -c \\\n".len();
    let quoted = comment[start..].lines().next().unwrap().trim();
    let place = tempfile::tempdir().unwrap();
    let (pg_port, http_port) = (free_port().to_string(), free_port().to_string());
    let run = |command: &mut Command| -> Output {
        let path = format!("{}:{}", binary().parent().unwrap().display(), std::env::var("PATH").unwrap());
        command.current_dir(place.path()).env("PATH", path).env("HELIOSDB_DATA_DIR", place.path().join("data"));
        command.env("HELIOSDB_PG_PORT", &pg_port).env("HELIOSDB_HTTP_PORT", &http_port).env("PGPORT", &pg_port);
        command.env("HELIOSDB_MEMORY", "512MB").stdin(Stdio::null()).output().unwrap()
    };
    let done = run(Command::new("sh").args(["-c", &format!("exec sh -c {quoted}")]));
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(String::from_utf8_lossy(&done.stdout).contains("ALTER ROLE"), "{said}");
    // Now a public address is taken.
    let mut server = Command::new(binary());
    server.args([
        "start",
        "--listen",
        "0.0.0.0",
        "--pg-port",
        &pg_port,
        "--http-port",
        &http_port,
        "--memory",
        "512MB",
    ]);
    server.arg("--data-dir").arg(place.path().join("data")).stdout(Stdio::null()).stderr(Stdio::null());
    let mut server = server.spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let answered = loop {
        let asked = run(Command::new("heliosdb").args(["sql", "-c", "SELECT 41 + 1"]).env("PGPASSWORD", "choose one"));
        let text = String::from_utf8_lossy(&asked.stdout).into_owned();
        if text.contains("42") || Instant::now() > deadline || server.try_wait().unwrap().is_some() {
            break text;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let _ = server.kill();
    let _ = server.wait();
    assert!(answered.contains("42"), "{answered}");
}

#[test]
fn the_systemd_unit_is_sound() {
    let file = read("packaging/heliosdb.service");
    let started = after(&file, "ExecStart=/usr/local/bin/heliosdb ");
    check_start(&started.split(' ').collect::<Vec<_>>());
    let settings = read("docs/configuration.md");
    for line in file.lines().filter_map(|line| line.trim_start_matches("# ").strip_prefix("Environment=")) {
        let name = line.split('=').next().unwrap();
        assert!(settings.contains(&format!("`{name}`")), "{name}");
    }
    // Codes after which another start would fail in the same way, as documented.
    for code in after(&file, "RestartPreventExitStatus=").split(' ') {
        assert!(settings.contains(&format!("\n| {code} | ")), "{code}");
    }
    if !there_is("systemd-analyze") {
        eprintln!("skipped: systemd-analyze is not installed");
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let unit = place.path().join("heliosdb.service");
    // It looks for the program, which is not installed here.
    std::fs::write(&unit, file.replace("/usr/local/bin/heliosdb", &binary().display().to_string())).unwrap();
    let output = Command::new("systemd-analyze").arg("verify").arg("--man=no").arg(&unit).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let ours: Vec<&str> = said.lines().filter(|line| line.contains("heliosdb")).collect();
    assert!(ours.is_empty(), "{said}");
}

#[test]
fn shells_complete_commands() {
    let place = tempfile::tempdir().unwrap();
    let in_shell = |shell: &str, script: &str| -> Option<String> {
        if !there_is(shell) {
            eprintln!("skipped: {shell} is not installed");
            return None;
        }
        let path = format!("{}:{}", binary().parent().unwrap().display(), std::env::var("PATH").unwrap());
        let mut command = Command::new(shell);
        // No start-up files of whoever runs this.
        command.args(if shell == "zsh" { vec!["-f", "-c", script] } else { vec!["-c", script] });
        let output = command.env("PATH", path).env("HOME", place.path()).output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && err.is_empty(), "{shell}: {out}{err}");
        Some(out.into_owned())
    };
    let completed = "source <(heliosdb completions bash); complete -p heliosdb > /dev/null; COMP_WORDS=(heliosdb st); \
                     COMP_CWORD=1; _heliosdb heliosdb st heliosdb; echo \"${COMPREPLY[@]}\"; \
                     COMP_WORDS=(heliosdb start --pg-); COMP_CWORD=2; _heliosdb heliosdb --pg- start; echo \"${COMPREPLY[@]}\"";
    let bash = in_shell("bash", completed).expect("bash is everywhere");
    assert_eq!(bash, "start\n--pg-port\n");
    if let Some(fish) = in_shell("fish", "heliosdb completions fish | source; complete -C 'heliosdb im'") {
        assert!(fish.starts_with("import"), "{fish}");
    }
    let defined = "autoload -U compinit; compinit -D -u; source <(heliosdb completions zsh); whence -w _heliosdb; \
                   echo $_comps[heliosdb]";
    if let Some(zsh) = in_shell("zsh", defined) {
        assert_eq!(zsh, "_heliosdb: function\n_heliosdb\n");
    }
}

/// The release build is what getting-started, the README and the Dockerfile say; cargo is asked whether it would start.
#[test]
fn the_documented_build_commands_are_cargo_s() {
    for (document, command) in [
        ("docs/getting-started.md", "cargo build --release"),
        ("README.md", "cargo run --release -- start"),
        ("docs/building.md", "cargo run --release -- start"),
    ] {
        assert!(read(document).contains(command), "{document}: {command}");
    }
    let manifest = read("Cargo.toml");
    let members = manifest.split("default-members").nth(1).expect("`cargo run` finds one binary by default-members");
    assert!(members.lines().next().unwrap().contains("crates/server"), "{members}");
    assert!(Path::new(&root().join("crates/server/src/main.rs")).is_file());
}
