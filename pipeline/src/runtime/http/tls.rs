//! Certificate and key.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use riskflow_config::TlsSettings;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// Reads certificate and key: TLS 1.2 and 1.3 with rustls' own choice of ciphers. They are read once more when the configuration is.
pub(super) fn load(files: &TlsSettings) -> Result<TlsAcceptor> {
    let (certificate, key) = (files.certificate.display(), files.key.display());
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("could not read certificates from `{certificate}`"))?;
    let private = PrivateKeyDer::from_pem_file(&files.key)
        .with_context(|| format!("could not read a private key from `{key}`"))?;
    // Named, not looked up: with two providers in a build the look-up panics.
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("TLS has no protocol version")?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .with_context(|| format!("`{certificate}` and `{key}` are no certificate with its key"))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config).into())
}
