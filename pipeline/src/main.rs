//! `riskflow`: see `riskflow --help`.

use std::process::ExitCode;

/// State is many small allocations that live long, made and freed on different threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    riskflow::main()
}
