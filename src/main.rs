//! The `storegate` program: parses arguments, runs the command, chooses the exit code.

use std::process::ExitCode;

/// Gives memory back and costs less CPU per request than the system's allocator.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    storegate::cli::main()
}
