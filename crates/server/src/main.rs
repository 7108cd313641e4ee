//! The binary `heliosdb`.

use std::io::Write;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: heliosdb_runtime::Allocator = heliosdb_runtime::Allocator;

fn main() -> ExitCode {
    if !heliosdb_server::processor::is_suitable() {
        let _ = std::io::stderr().write_all(heliosdb_server::processor::UNSUITABLE.as_bytes());
        return ExitCode::FAILURE;
    }
    heliosdb_server::run(std::env::args_os())
}
