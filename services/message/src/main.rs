//! The message service as a process of its own.

fn main() -> std::process::ExitCode {
    chassis::process::main(message::PROGRAM, message::start)
}
