//! `hubbub`: everything in one process.

use std::process::ExitCode;

fn main() -> ExitCode {
    chassis::process::main(embedded::PROGRAM, embedded::start)
}
