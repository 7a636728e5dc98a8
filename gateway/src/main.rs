//! Runs the gateway as a process of its own.

fn main() -> std::process::ExitCode {
    chassis::process::main(gateway::PROGRAM, gateway::start)
}
