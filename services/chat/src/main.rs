//! The chat service as a process of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    chassis::process::main(chat::PROGRAM, chat::start)
}
