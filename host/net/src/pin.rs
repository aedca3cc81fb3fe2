//! How a joiner recognizes a node that it has never seen: by the hash of the authority's key in its token, and by nothing else.
//!
//! The node shows its certificate and its authority's. The authority's key must be the pinned one; then that authority is the only one
//! trusted, and rustls verifies the node's certificate under it as on any other connection (time, usage, name).

use std::fmt;
use std::sync::{Arc, Mutex};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use crate::crypto;
use crate::identity::{self, ClusterId};
use crate::token::AuthorityPin;

/// The verifier of one join.
pub(crate) struct Pinned {
    pin: AuthorityPin,
    algorithms: WebPkiSupportedAlgorithms,
    /// TLS only passes an alert on; the joiner wants to know more.
    finding: Mutex<Option<Finding>>,
}

/// What a joiner found out about the node that answered.
#[derive(Clone, Debug)]
pub(crate) enum Finding {
    /// It shows no certificate of the pinned authority.
    OtherAuthority,
    /// It shows that, but its own certificate doesn't hold.
    BadCertificate(String),
    /// It is a node of the cluster.
    Good { cluster: ClusterId, ca: CertificateDer<'static> },
}

impl Pinned {
    pub(crate) fn new(pin: AuthorityPin) -> Arc<Pinned> {
        let algorithms = crypto::provider().signature_verification_algorithms;
        Arc::new(Pinned { pin, algorithms, finding: Mutex::default() })
    }

    pub(crate) fn finding(&self) -> Option<Finding> {
        self.finding.lock().expect("nothing panics while it holds a finding").clone()
    }

    fn look(&self, node: &CertificateDer<'_>, shown: &[CertificateDer<'_>], now: UnixTime) -> (Finding, Option<Error>) {
        let pinned = shown.iter().find_map(|shown| {
            let (pin, cluster) = AuthorityPin::of(shown).ok()?;
            (pin == self.pin).then(|| (shown.clone().into_owned(), cluster))
        });
        let Some((ca, cluster)) = pinned else {
            return (Finding::OtherAuthority, Some(CertificateError::UnknownIssuer.into()));
        };
        match verify(node, ca.clone(), cluster, now) {
            Ok(()) => (Finding::Good { cluster, ca }, None),
            Err(error) => {
                let out_of_time = matches!(
                    &error,
                    Error::InvalidCertificate(
                        CertificateError::Expired
                            | CertificateError::ExpiredContext { .. }
                            | CertificateError::NotValidYet
                            | CertificateError::NotValidYetContext { .. }
                    )
                );
                let what = match out_of_time {
                    true => "it has expired or is not valid yet, or a clock is wrong".to_string(),
                    false => error.to_string(),
                };
                (Finding::BadCertificate(what), Some(error))
            }
        }
    }
}

fn verify(
    node: &CertificateDer<'_>,
    ca: CertificateDer<'static>,
    cluster: ClusterId,
    now: UnixTime,
) -> Result<(), Error> {
    let mut roots = RootCertStore::empty();
    roots.add(ca)?;
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), crypto::provider())
        .build()
        .map_err(|error| Error::General(error.to_string()))?;
    let name = ServerName::try_from(identity::cluster_server_name(cluster)).expect("a cluster's name is a DNS name");
    verifier.verify_server_cert(node, &[], &name, &[], now).map(drop)
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let (finding, error) = self.look(end_entity, intermediates, now);
        *self.finding.lock().expect("nothing panics while it holds a finding") = Some(finding);
        error.map_or_else(|| Ok(ServerCertVerified::assertion()), Err)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl fmt::Debug for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pinned").field("pin", &self.pin).finish_non_exhaustive()
    }
}
