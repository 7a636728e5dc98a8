//! Letters to an SMTP server. Each has a connection of its own: none is kept, so none goes stale.

use std::fs;

use chassis::StartError;
use chassis::secret::Secret;
use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls as Way, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::{self, AsyncSmtpTransport};
use lettre::{AsyncTransport as _, Tokio1Executor};

use super::{Config, Letter, Tls};
use crate::errands::Fault;

/// A server that takes letters.
#[derive(Debug)]
pub(crate) struct Smtp {
    server: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl Smtp {
    pub(super) fn open(config: &Config) -> Result<Self, StartError> {
        let from = config.from.0.clone();
        let mut server = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&config.host)
            .port(config.port)
            .timeout(Some(config.timeout))
            .hello_name(ClientId::Domain(from.email.domain().to_owned()))
            .tls(way(config)?);
        if !config.username.is_empty() {
            let password = password(config)?;
            let credentials = Credentials::new(config.username.clone(), password.expose().clone());
            server = server.credentials(credentials);
        }
        Ok(Self { server: server.build(), from })
    }

    pub(super) async fn send(&self, letter: &Letter) -> Result<(), Fault> {
        let message = letter.message(&self.from)?;
        self.server.send(message).await.map(|_| ()).map_err(|error| fault(&error))
    }
}

fn password(config: &Config) -> Result<Secret<String>, StartError> {
    if config.password.expose().is_empty() && !config.password_file.as_os_str().is_empty() {
        return Secret::from_file(&config.password_file);
    }
    Ok(config.password.clone())
}

fn way(config: &Config) -> Result<Way, StartError> {
    let of_tls = |error: smtp::Error| StartError::Other(error.into());
    let parameters = || {
        let mut parameters = TlsParameters::builder(config.host.clone());
        let path = &config.tls_ca_file;
        if !path.as_os_str().is_empty() {
            let pem = fs::read(path);
            let pem = pem.map_err(|source| StartError::Path { path: path.clone(), source })?;
            parameters =
                parameters.add_root_certificate(Certificate::from_pem(&pem).map_err(of_tls)?);
        }
        parameters.build_rustls().map_err(of_tls)
    };
    Ok(match config.tls {
        Tls::Starttls => Way::Required(parameters()?),
        Tls::Implicit => Way::Wrapper(parameters()?),
        Tls::None | Tls::Unprotected => Way::None,
    })
}

/// A server quotes addresses in what it says, so its number is told and not its words.
fn fault(error: &smtp::Error) -> Fault {
    match error.status() {
        Some(code) if error.is_permanent() => Fault::Lasting(format!("the server says {code}")),
        Some(code) => Fault::Passing(format!("the server says {code}")),
        None if error.is_timeout() => Fault::Passing("the server is too slow".to_owned()),
        None if error.is_tls() => Fault::Passing("no TLS with the server".to_owned()),
        // Such as one without STARTTLS: its operator may be about to change that.
        None if error.is_client() => Fault::Passing("the server lacks what is needed".to_owned()),
        None => Fault::Passing("the server cannot be reached".to_owned()),
    }
}
