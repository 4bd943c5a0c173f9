//! `riskflow` with failpoints, which `FAILPOINTS` arms: for tests that crash it.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    riskflow_failpoints::main()
}
