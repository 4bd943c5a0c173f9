//! Whom a client of a job's HTTPS trusts: whoever shows a certificate that it was given, and nobody else.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};

/// The certificates in a PEM file: one at least.
///
/// # Errors
///
/// When it cannot be read, or has none.
pub fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let known = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("could not read certificates from `{}`", file.display()))?;
    ensure!(!known.is_empty(), "`{}` has no certificate", file.display());
    Ok(known)
}

/// TLS with whoever shows one of these certificates and proves that it is its own: nobody else has to have signed it, and names do not
/// count. With none, with nobody.
///
/// # Errors
///
/// Where TLS has no protocol version, which no build has.
pub fn only(known: Vec<CertificateDer<'static>>) -> Result<ClientConfig> {
    config(Some(known))
}

/// TLS with whoever answers, and proves that what it shows is its own: for whoever asks the own machine.
///
/// # Errors
///
/// As [`only`].
pub fn anybody() -> Result<ClientConfig> {
    config(None)
}

fn config(known: Option<Vec<CertificateDer<'static>>>) -> Result<ClientConfig> {
    // Named, not looked up: with two providers in a build the look-up panics.
    let provider = Arc::new(aws_lc_rs::default_provider());
    let same = Same {
        known,
        provider: Arc::clone(&provider),
    };
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("TLS has no protocol version")?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(same))
        .with_no_client_auth())
}

/// Trusts whoever shows one of these certificates, or any where none is named, and proves that it is its own.
#[derive(Debug)]
struct Same {
    known: Option<Vec<CertificateDer<'static>>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Same {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let is_shown = |known: &CertificateDer<'_>| known.as_ref() == shown.as_ref();
        if self.known.as_ref().is_none_or(|known| known.iter().any(is_shown)) {
            return Ok(ServerCertVerified::assertion());
        }
        Err(CertificateError::UnknownIssuer.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
