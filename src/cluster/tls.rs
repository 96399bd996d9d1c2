//! Encryption: what the settings say, as rustls takes it.

use crate::settings::endpoint::{Tls, TlsMode};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why encryption can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file isn't what it should be.
    #[error("failed to read {what} from {}: {why}", path.display())]
    File {
        /// What was looked for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The settings contradict each other.
    #[error("{0}")]
    Setting(String),
}

/// What the driver takes, or `None` for plaintext.
pub(super) fn config(tls: &Tls) -> Result<Option<Arc<ClientConfig>>, TlsError> {
    if tls.mode == TlsMode::Off {
        return Ok(None);
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let setting = |error: &dyn std::fmt::Display| TlsError::Setting(error.to_string());
    let verifier = verifier(tls, &provider)?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| setting(&error))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let config = match (&tls.cert, &tls.key) {
        (Some(cert), Some(key)) => {
            let chain = certificates(cert, "the client certificate")?;
            let key = PrivateKeyDer::from_pem_file(key).map_err(|error| TlsError::File {
                what: "the client key",
                path: key.clone(),
                why: error.to_string(),
            })?;
            builder.with_client_auth_cert(chain, key).map_err(|error| setting(&error))?
        }
        _ => builder.with_no_client_auth(),
    };
    Ok(Some(Arc::new(config)))
}

fn verifier(tls: &Tls, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
    if tls.mode == TlsMode::Insecure {
        return Ok(Arc::new(Anything { provider: Arc::clone(provider) }));
    }
    let mut roots = RootCertStore::empty();
    if let Some(path) = &tls.ca {
        for certificate in certificates(path, "a certificate authority")? {
            roots.add(certificate).map_err(|error| TlsError::File {
                what: "a certificate authority",
                path: path.clone(),
                why: error.to_string(),
            })?;
        }
    } else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build().map_err(
        |error| TlsError::Setting(format!("no certificate authority to trust ({error}): name one with `ca=FILE`")),
    )?;
    match &tls.name {
        None => Ok(inner),
        Some(name) => {
            let name = ServerName::try_from(name.clone())
                .map_err(|_| TlsError::Setting(format!("tls-name={} isn't a name", name.escape_debug())))?;
            Ok(Arc::new(Named { inner, name }))
        }
    }
}

fn certificates(path: &Path, what: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let fail = |why| TlsError::File { what, path: path.to_owned(), why };
    let found = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| fail(error.to_string()))?;
    if found.is_empty() { Err(fail("there is none in it".to_owned())) } else { Ok(found) }
}

/// Since when a certificate has expired, or until when it isn't valid, where that is the error. rustls tells it in seconds.
pub(super) fn out_of_date(error: &rustls::Error) -> Option<String> {
    let rustls::Error::InvalidCertificate(error) = error else { return None };
    let at = |time: &UnixTime| {
        let at = i64::try_from(time.as_secs()).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
        at.map_or_else(|| "?".to_owned(), |at| at.to_string())
    };
    match error {
        CertificateError::Expired => Some("a certificate has expired".to_owned()),
        CertificateError::ExpiredContext { not_after, .. } => {
            Some(format!("a certificate has expired: it was valid until {}", at(not_after)))
        }
        CertificateError::NotValidYet => Some("a certificate isn't valid yet".to_owned()),
        CertificateError::NotValidYetContext { not_before, .. } => {
            Some(format!("a certificate isn't valid yet: it will be from {} on", at(not_before)))
        }
        _ => None,
    }
}

/// Checks the certificate against a given name: the driver knows nodes by their addresses, which many certificates don't
/// carry.
#[derive(Debug)]
struct Named {
    inner: Arc<WebPkiServerVerifier>,
    name: ServerName<'static>,
}

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.inner.verify_server_cert(end_entity, intermediates, &self.name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Takes any certificate, for `tls=insecure`; the signatures of the handshake are still checked.
#[derive(Debug)]
struct Anything {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
