//! Makes the code of `proto/auth.proto`, with a compiler in Rust: no `protoc` is needed.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

use prost::Message as _;

const SOURCE: &str = "proto/auth.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={SOURCE}");
    let files = protox::compile([SOURCE], ["proto"])?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo names no folder")?);
    fs::write(out.join("auth.bin"), files.encode_to_vec())?;
    // A token is nothing to print.
    tonic_prost_build::configure().build_transport(false).skip_debug(["."]).compile_fds(files)?;
    Ok(())
}
