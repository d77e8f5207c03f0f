//! TLS by rustls with libpq's modes: `prefer` and `require` encrypt without
//! verifying, `verify-ca` checks the chain, `verify-full` the name too.

use crate::error::{Context as _, Error, Kind, Result};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::path::Path;
use std::sync::Arc;

/// libpq's `sslmode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SslMode {
    /// Never.
    Disable,
    /// If the server offers it.
    #[default]
    Prefer,
    /// Always, unverified.
    Require,
    /// Always, signed by a known authority.
    VerifyCa,
    /// Always, signed, and for this host.
    VerifyFull,
}

impl SslMode {
    /// Reads libpq's word.
    pub fn parse(text: &str) -> Result<Self> {
        Ok(match text {
            "disable" => Self::Disable,
            "prefer" | "allow" => Self::Prefer,
            "require" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" => Self::VerifyFull,
            other => {
                return Err(Error::new(Kind::Config, format!("sslmode={other} is unknown"))
                    .at("field", "source.url")
                    .remedy("use disable, prefer, require, verify-ca or verify-full"));
            }
        })
    }
}

/// The client's TLS configuration for a mode and, where given, own roots.
pub fn client(mode: SslMode, root: Option<&Path>) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .or_kind(Kind::Internal, "TLS versions")?;
    // With own roots, libpq verifies the chain under `require` too.
    let verify = matches!(mode, SslMode::VerifyCa | SslMode::VerifyFull) || (mode == SslMode::Require && root.is_some());
    if !verify {
        let verifier = Arc::new(Lenient { inner: None, provider });
        return Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth());
    }
    let roots = Arc::new(roots(root)?);
    if mode == SslMode::VerifyFull {
        return Ok(builder.with_root_certificates(roots).with_no_client_auth());
    }
    let inner = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider))
        .build()
        .or_kind(Kind::Config, "no usable root certificates")?;
    let verifier = Arc::new(Lenient { inner: Some(inner), provider });
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

fn roots(path: Option<&Path>) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let Some(path) = path else {
        let native = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(native.certs);
        return Ok(roots);
    };
    let at = |e: Error| e.at("file", path.display()).at("field", "source.url").remedy("sslrootcert must name a PEM file of certificates");
    let certificates = CertificateDer::pem_file_iter(path).or_kind(Kind::Config, "cannot read sslrootcert").map_err(at)?;
    for certificate in certificates {
        let certificate = certificate.or_kind(Kind::Config, "sslrootcert is not PEM").map_err(at)?;
        roots.add(certificate).or_kind(Kind::Config, "sslrootcert holds an unusable certificate").map_err(at)?;
    }
    if roots.is_empty() {
        return Err(at(Error::new(Kind::Config, "sslrootcert holds no certificate")));
    }
    Ok(roots)
}

/// Checks less than the name: the chain only, or (without `inner`) nothing but
/// that the peer holds its key, as libpq's weaker modes are defined.
#[derive(Debug)]
struct Lenient {
    inner: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<rustls::crypto::CryptoProvider>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(inner) = &self.inner else { return Ok(ServerCertVerified::assertion()) };
        match inner.verify_server_cert(end_entity, intermediates, server_name, ocsp, now) {
            Err(rustls::Error::InvalidCertificate(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. })) => {
                Ok(ServerCertVerified::assertion())
            }
            other => other,
        }
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
