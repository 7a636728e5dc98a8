//! What runs Hubbub is held against what Hubbub is: the image, the containers, the pods and the
//! workflow name only settings, ports, paths, files and programs that there are.

#![expect(clippy::unwrap_used, reason = "a test ends where it is wrong")]

mod cluster;
mod compose;
mod confined;
mod container;
mod image;
mod kustomize;
mod pods;
mod probes;
mod schemas;
mod secrets;
mod settings;
mod tree;
mod workflow;
