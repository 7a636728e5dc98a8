//! Runs the user service as a process of its own.

fn main() -> std::process::ExitCode {
    chassis::process::main(user::PROGRAM, user::start)
}
