//! The connection is encrypted, and both ends know whom they talk to.

use std::path::Path;

use harness::nats::Server;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::world::{ear, event, hear, open, try_open};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Writes a certificate of `name` and its key into `folder`.
fn issue(authority: &Authority, name: &str, folder: &Path) {
    let key = KeyPair::generate().unwrap();
    let names = vec!["127.0.0.1".to_owned(), name.to_owned()];
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, authority).unwrap();
    std::fs::write(folder.join(format!("{name}.pem")), certificate.pem()).unwrap();
    std::fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
}

/// Authorities and certificates: `ours.ca`, `theirs.ca`, of ours `server`, `client`, of theirs `stranger`.
fn certificates() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (authority(), authority());
    std::fs::write(folder.path().join("ours.ca"), ours.pem()).unwrap();
    std::fs::write(folder.path().join("theirs.ca"), theirs.pem()).unwrap();
    issue(&ours, "server", folder.path());
    issue(&ours, "client", folder.path());
    issue(&theirs, "stranger", folder.path());
    folder
}

fn server(folder: &Path, verify: &str) -> Server {
    let at = folder.display();
    Server::start_with(&format!(
        "tls {{ cert_file: \"{at}/server.pem\", key_file: \"{at}/server.key\", \
         ca_file: \"{at}/ours.ca\", verify: {verify} }}"
    ))
    .unwrap()
}

/// Settings whose files stand in `folder`.
fn files<'a>(folder: &Path, settings: &[(&'a str, &str)]) -> Vec<(&'a str, String)> {
    let at = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    settings.iter().map(|(key, name)| (*key, at(name))).collect()
}

fn all<'a>(url: &'a str, files: &'a [(&'a str, String)]) -> Vec<(&'a str, &'a str)> {
    let files = files.iter().map(|(key, path)| (*key, path.as_str()));
    [("url", url)].into_iter().chain(files).collect()
}

async fn gets_in(url: &str, files: &[(&str, String)]) {
    let bus = open(&all(url, files)).await;
    let mut ear = ear(&bus).await;
    bus.publish(event("tea", 1));
    assert_eq!(hear(&mut ear).await, "tea 1");
}

async fn stays_out(url: &str, files: &[(&str, String)]) {
    let bus = open(&all(url, files)).await;
    bus.settled().await;
    assert_eq!(bus.counts().connections, 0);
}

#[tokio::test]
async fn a_server_of_our_authority_is_believed_and_no_other() {
    let folder = certificates();
    let server = server(folder.path(), "false");
    let url = server.url().replace("nats://", "tls://");
    gets_in(&url, &files(folder.path(), &[("tls_ca_file", "ours.ca")])).await;
    stays_out(&url, &files(folder.path(), &[("tls_ca_file", "theirs.ca")])).await;
    stays_out(&url, &[]).await;
}

#[tokio::test]
async fn a_server_may_ask_for_our_certificate() {
    let folder = certificates();
    let server = server(folder.path(), "true");
    let own = |name: &str| {
        let (certificate, key) = (format!("{name}.pem"), format!("{name}.key"));
        files(
            folder.path(),
            &[("tls_ca_file", "ours.ca"), ("tls_cert_file", &certificate), ("tls_key_file", &key)],
        )
    };
    gets_in(&server.url(), &own("client")).await;
    stays_out(&server.url(), &own("stranger")).await;
    stays_out(&server.url(), &files(folder.path(), &[("tls_ca_file", "ours.ca")])).await;
}

#[tokio::test]
async fn a_server_in_the_clear_is_refused_where_encryption_is_a_must() {
    let server = Server::start().unwrap();
    stays_out(&server.url().replace("nats://", "tls://"), &[]).await;
    stays_out(&server.url(), &[("tls_required", "true".to_owned())]).await;
}

#[tokio::test]
async fn a_key_of_another_certificate_stops_the_start() {
    let folder = certificates();
    let mixed = [("tls_cert_file", "client.pem"), ("tls_key_file", "server.key")];
    let mixed = files(folder.path(), &mixed);
    let error = try_open(&all("nats://127.0.0.1:9", &mixed)).await.unwrap_err().to_string();
    assert!(error.contains("it does not belong to the certificate"), "{error}");
}
