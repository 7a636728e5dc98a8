//! `auth.AuthService` as gRPC has it: the messages, the server's trait, a client, all of it made of
//! `proto/auth.proto`. A crate of its own, so that it is compiled once and nobody's lints meet it.

mod made {
    #![expect(
        unused_qualifications,
        missing_debug_implementations,
        clippy::allow_attributes,
        clippy::allow_attributes_without_reason,
        clippy::default_trait_access,
        clippy::doc_markdown,
        clippy::too_many_lines,
        reason = "written by tonic"
    )]

    tonic::include_proto!("auth");
}

pub use made::{
    GenerateTokenRequest, GenerateTokenResponse, ValidateTokenRequest, ValidateTokenResponse,
    auth_service_client, auth_service_server,
};

/// The same as a `FileDescriptorSet`, for whoever asks the server what it can do.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/auth.bin"));
