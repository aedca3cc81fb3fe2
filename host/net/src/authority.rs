//! The certificate authority of one cluster: whoever holds its key decides who belongs to the cluster.
//!
//! Kept in two files, `ca.pem` and `ca-key.pem`. Nodes and clients get the first only, inside their [`Credentials`].

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use outboard_raft::NodeId;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
};

use crate::credentials::{Credentials, certificate_der};
use crate::files::{CredentialsError, read_text, write_private};
use crate::identity::{self, ClusterId, Principal};
use crate::request::CertificateRequest;
use crate::token::AuthorityPin;

/// How long an authority's certificate lasts.
pub const AUTHORITY_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// How long the certificates of nodes and clients last.
pub const CERTIFICATE_LIFETIME: Duration = Duration::from_secs(90 * 24 * 3600);
/// Certificates are dated back by this much, so that machines whose clocks differ agree that a new one is valid.
pub const CLOCK_SKEW_MAX: Duration = Duration::from_secs(24 * 3600);

const CERTIFICATE_FILE: &str = "ca.pem";
const KEY_FILE: &str = "ca-key.pem";

/// When a certificate is to hold.
#[derive(Copy, Clone, Debug)]
pub struct Validity {
    /// Not before this time.
    pub from: SystemTime,
    /// Not after this time.
    pub until: SystemTime,
}

impl Validity {
    /// As long as certificates of nodes and clients last, from now on.
    pub fn usual() -> Validity {
        Validity::lasting(CERTIFICATE_LIFETIME)
    }

    /// From a day back (clocks differ) until `lifetime` from now.
    pub fn lasting(lifetime: Duration) -> Validity {
        let now = SystemTime::now();
        Validity { from: now - CLOCK_SKEW_MAX, until: now + lifetime }
    }
}

/// The authority of one cluster, able to issue.
pub struct Authority {
    cluster: ClusterId,
    pin: AuthorityPin,
    until: SystemTime,
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
}

impl Authority {
    /// A new authority with a new key.
    pub fn create(cluster: ClusterId) -> Result<Authority, CredentialsError> {
        let key = KeyPair::generate().map_err(not_issued)?;
        let mut params = params(format!("outboard {cluster}"), Validity::lasting(AUTHORITY_LIFETIME));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.subject_alt_names = vec![uri(&identity::authority_uri(cluster))?];
        let certificate = params.self_signed(&key).map_err(not_issued)?;
        let (pin, _) = AuthorityPin::of(certificate.der()).map_err(not_issued)?;
        let (_, until) = identity::validity(certificate.der()).map_err(not_issued)?;
        let certificate_pem = certificate.pem();
        Ok(Authority { cluster, pin, until, issuer: Issuer::new(params, key), certificate_pem })
    }

    /// Writes the authority into `dir`, its key readable by the owner only.
    pub fn save(&self, dir: &Path) -> Result<(), CredentialsError> {
        write_private(dir, KEY_FILE, self.issuer.key().serialize_pem().as_bytes())?;
        write_private(dir, CERTIFICATE_FILE, self.certificate_pem.as_bytes())
    }

    /// Reads what [`Authority::save`] wrote.
    pub fn load(dir: &Path) -> Result<Authority, CredentialsError> {
        let (certificate_path, key_path) = (dir.join(CERTIFICATE_FILE), dir.join(KEY_FILE));
        let texts = [read_text(&certificate_path)?, read_text(&key_path)?];
        Authority::parse([certificate_path, key_path], [&texts[0], &texts[1]])
    }

    /// Whether both files are there; one alone is the rest of a save or of a farewell that was cut off.
    pub fn is_kept_in(dir: &Path) -> bool {
        dir.join(CERTIFICATE_FILE).exists() && dir.join(KEY_FILE).exists()
    }

    /// Removes what [`Authority::save`] wrote, the key first. What is not there is no error.
    pub fn forget(dir: &Path) -> Result<(), CredentialsError> {
        for name in [KEY_FILE, CERTIFICATE_FILE] {
            let path = dir.join(name);
            match std::fs::remove_file(&path) {
                Err(source) if source.kind() != ErrorKind::NotFound => {
                    return Err(CredentialsError::Write { path, source });
                }
                Ok(()) | Err(_) => {}
            }
        }
        match std::fs::remove_dir(dir) {
            // What somebody else put there stays.
            Err(source) if !matches!(source.kind(), ErrorKind::NotFound | ErrorKind::DirectoryNotEmpty) => {
                Err(CredentialsError::Write { path: dir.to_owned(), source })
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// From texts that another authority gave out: [`Authority::certificate_pem`] and [`Authority::key_pem`].
    pub fn from_pem(certificate: &str, key: &str) -> Result<Authority, CredentialsError> {
        Authority::parse([CERTIFICATE_FILE, KEY_FILE].map(PathBuf::from), [certificate, key])
    }

    fn parse(paths: [PathBuf; 2], texts: [&str; 2]) -> Result<Authority, CredentialsError> {
        let [certificate_path, key_path] = paths;
        let damaged = |path: &Path, what: String| CredentialsError::Damaged { path: path.to_path_buf(), what };
        let unfit = |error: identity::IdentityError| damaged(&certificate_path, error.to_string());
        let der = certificate_der(&certificate_path, texts[0])?;
        let (pin, cluster) = AuthorityPin::of(&der).map_err(unfit)?;
        let (_, until) = identity::validity(&der).map_err(unfit)?;
        // The parser's own error might quote what it read.
        let key = KeyPair::from_pem(texts[1])
            .map_err(|_| damaged(&key_path, "no private key that can be used".to_string()))?;
        if key.subject_public_key_info() != identity::public_key(&der).map_err(unfit)? {
            return Err(damaged(&key_path, "this key doesn't belong to the certificate".to_string()));
        }
        let issuer =
            Issuer::from_ca_cert_der(&der, key).map_err(|error| damaged(&certificate_path, error.to_string()))?;
        Ok(Authority { cluster, pin, until, issuer, certificate_pem: texts[0].to_string() })
    }

    /// The cluster that this authority speaks for.
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// Its mark in tokens.
    pub fn pin(&self) -> AuthorityPin {
        self.pin
    }

    /// When it ceases to hold, and everything that it signed with it.
    pub fn valid_until(&self) -> SystemTime {
        self.until
    }

    /// The certificate that everybody in the cluster trusts.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The private key, as text: the secret that the whole cluster stands on.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// The identity of a node: it may be dialled, dial its peers, and act as a client.
    pub fn issue_node(&self, node: NodeId) -> Result<Credentials, CredentialsError> {
        self.issue(Principal::Node(node), Validity::usual())
    }

    /// The identity of a client.
    pub fn issue_client(&self, name: &str) -> Result<Credentials, CredentialsError> {
        self.issue(Principal::Client { name: name.to_string() }, Validity::usual())
    }

    /// Issues for any principal and time; a new key each time.
    pub fn issue(&self, principal: Principal, validity: Validity) -> Result<Credentials, CredentialsError> {
        let key = KeyPair::generate().map_err(not_issued)?;
        let certificate_pem = self.certify(&key, &principal, validity)?;
        Credentials::from_pem(&certificate_pem, &key.serialize_pem(), &self.certificate_pem)
    }

    /// Signs a certificate for the key of a request: for a new member, or to renew one. Who the holder is and for how long
    /// is the caller's decision alone. Returns PEM.
    pub fn sign(
        &self,
        request: &CertificateRequest,
        principal: &Principal,
        validity: Validity,
    ) -> Result<String, CredentialsError> {
        self.certify(request.key(), principal, validity)
    }

    fn certify(
        &self,
        key: &impl PublicKeyData,
        principal: &Principal,
        validity: Validity,
    ) -> Result<String, CredentialsError> {
        // Nothing that it signs outlives the authority: it would fail one day and nobody would be told to renew it.
        let validity = Validity { until: validity.until.min(self.until), ..validity };
        let mut params = params(principal.to_string(), validity);
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.subject_alt_names = vec![uri(&principal.uri(self.cluster))?];
        match principal {
            Principal::Node(node) => {
                params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
                params.subject_alt_names.push(dns(&identity::node_server_name(self.cluster, *node))?);
                params.subject_alt_names.push(dns(&identity::cluster_server_name(self.cluster))?);
            }
            Principal::Client { name } if !identity::is_client_name(name) => {
                let what = format!("{name:?} can't be the name of a client (1 to 64 letters, digits, '.', '_', '-')");
                return Err(CredentialsError::Issue { what });
            }
            Principal::Client { .. } => {}
        }
        Ok(params.signed_by(key, &self.issuer).map_err(not_issued)?.pem())
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

fn params(common_name: String, validity: Validity) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = validity.from.into();
    params.not_after = validity.until.into();
    let mut serial: [u8; 16] = crate::crypto::random_bytes();
    // A serial number is a positive integer without leading zeros.
    serial[0] = serial[0] & 0x7f | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params
}

fn uri(text: &str) -> Result<SanType, CredentialsError> {
    Ok(SanType::URI(text.try_into().map_err(not_issued)?))
}

fn dns(text: &str) -> Result<SanType, CredentialsError> {
    Ok(SanType::DnsName(text.try_into().map_err(not_issued)?))
}

fn not_issued(error: impl fmt::Display) -> CredentialsError {
    CredentialsError::Issue { what: error.to_string() }
}
