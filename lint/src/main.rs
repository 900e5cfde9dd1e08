//! The `coalmine` command: reads files, calls the library, prints. All judgement is in the library.
#![allow(clippy::disallowed_methods)]

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
