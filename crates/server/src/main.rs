//! The binary `heliosdb`.

fn main() -> std::process::ExitCode {
    heliosdb_server::run(std::env::args_os())
}
