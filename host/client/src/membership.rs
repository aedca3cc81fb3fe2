//! Who belongs to the cluster: members, tokens, clients, and this client's own certificate.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::call::misplaced;
use crate::client::Client;
use crate::context::Context;
use crate::error::ClientError;
use crate::verdict::Repeat;
use outboard_net::{Credentials, Principal};
use outboard_wire::access::{AccessCommand, AccessLists, MemberChange, MemberInfo, Role, TokenSpec};
use outboard_wire::client::{RequestBody, Response};
use tokio::time::sleep;

/// A renewal that takes longer is left for the next time.
const RENEWAL_TIMEOUT: Duration = Duration::from_secs(5);
/// How often it is looked whether a certificate is to be renewed; a month is left when it is.
const LOOK_EVERY: Duration = Duration::from_secs(3_600);
/// The same when it could not be.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

impl Client {
    /// The members as the leader sees them.
    pub async fn members(&self) -> Result<Vec<MemberInfo>, ClientError> {
        let response = self.question(RequestBody::MemberList, Repeat::Harmless).await?;
        if let Response::Members(members) = response { Ok(members) } else { Err(misplaced("a member list", &response)) }
    }

    /// Changes the members. Returns once the change is committed; a node that is to vote gets its vote when it has caught up.
    /// `forced`: even if voters are silent or a learner lags. `dry_run`: only say whether it would be taken.
    pub async fn change_members(&self, change: MemberChange, forced: bool, dry_run: bool) -> Result<(), ClientError> {
        self.done(RequestBody::MemberChange { change, forced, dry_run }, Repeat::Never).await
    }

    /// Makes a token known to the cluster. Its secret stays with whoever made it.
    pub async fn create_token(&self, spec: TokenSpec) -> Result<(), ClientError> {
        self.done(RequestBody::Access(AccessCommand::TokenCreate(spec)), Repeat::Harmless).await
    }

    /// The token lets nobody in any more.
    pub async fn revoke_token(&self, id: u64) -> Result<(), ClientError> {
        self.done(RequestBody::Access(AccessCommand::TokenRevoke { id }), Repeat::Never).await
    }

    /// Every token and every client.
    pub async fn access_lists(&self) -> Result<AccessLists, ClientError> {
        let response = self.question(RequestBody::AccessLists, Repeat::Harmless).await?;
        if let Response::AccessLists(lists) = response {
            Ok(*lists)
        } else {
            Err(misplaced("a list of tokens and clients", &response))
        }
    }

    /// What a client may do from now on.
    pub async fn set_role(&self, name: &str, role: Role) -> Result<(), ClientError> {
        let command = AccessCommand::ClientRole { name: name.to_owned(), role };
        self.done(RequestBody::Access(command), Repeat::Harmless).await
    }

    /// A client is out at once, and for good. One that revokes itself is cut off before it has its answer, and that is the answer.
    pub async fn revoke_client(&self, name: &str) -> Result<(), ClientError> {
        let command = AccessCommand::ClientRevoke { name: name.to_owned() };
        let answer = self.done(RequestBody::Access(command), Repeat::Harmless).await;
        let credentials = self.inner.dialler.credentials();
        let is_self = matches!(credentials.principal(), Principal::Client { name: own } if own == name);
        match answer {
            Err(ClientError::Auth(_)) if is_self && self.inner.is_revoked() => Ok(()),
            answer => answer,
        }
    }

    /// Whether two thirds of the certificate's time are over.
    pub fn renewal_due(&self) -> bool {
        self.inner.dialler.credentials().renewal_due(SystemTime::now())
    }

    /// Gets a new certificate for the same key and shows it from now on; connections that stand keep standing. The caller keeps the
    /// credentials where they came from.
    pub async fn renew(&self) -> Result<Credentials, ClientError> {
        let present = self.inner.dialler.credentials();
        let request = present.renewal_request().map_err(|error| ClientError::Auth(error.to_string()))?;
        let body = RequestBody::Renew { request: request.der().to_vec().into() };
        let patience = RENEWAL_TIMEOUT.min(self.options().timeout);
        let response = self.inner.ask(body, Repeat::Harmless, patience).await?;
        let Response::Certificate { certificate, authority } = response else {
            return Err(misplaced("a renewal", &response));
        };
        let renewed = present.renewed(&certificate, &authority);
        let renewed = renewed.map_err(|error| ClientError::Protocol(error.to_string()))?;
        self.inner.dialler.set_credentials(&renewed).map_err(|error| ClientError::Auth(error.to_string()))?;
        Ok(renewed)
    }

    /// For programs that run for weeks: a task to be spawned, which renews the certificate when it is due and writes it into the context's
    /// file, until the last clone of this client is dropped. `tell` hears what went wrong; it is tried again for a month.
    pub fn keep_renewed(
        &self,
        path: impl Into<PathBuf>,
        mut tell: impl FnMut(String) + Send + 'static,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (inner, path) = (Arc::downgrade(&self.inner), path.into());
        async move {
            while let Some(inner) = inner.upgrade() {
                let client = Client { inner };
                let renewed = if client.renewal_due() { client.renew_into(&path).await } else { Ok(()) };
                drop(client);
                let pause = if renewed.is_ok() { LOOK_EVERY } else { LOOK_AGAIN };
                if let Err(what) = renewed {
                    tell(what);
                }
                sleep(pause).await;
            }
        }
    }

    async fn renew_into(&self, path: &Path) -> Result<(), String> {
        let renewed = self.renew().await.map_err(|error| format!("the certificate can't be renewed yet: {error}"))?;
        let context = Context::load_file(path);
        let kept = context.and_then(|context| Context { credentials: renewed, ..context }.save(path));
        // It is shown already; whoever starts with the file renews it again.
        kept.map_err(|error| format!("the certificate is renewed and can't be kept: {error}"))
    }

    async fn question(&self, body: RequestBody, repeat: Repeat) -> Result<Response, ClientError> {
        self.inner.ask(body, repeat, self.options().timeout).await
    }

    async fn done(&self, body: RequestBody, repeat: Repeat) -> Result<(), ClientError> {
        let response = self.question(body, repeat).await?;
        if response == Response::Done { Ok(()) } else { Err(misplaced("a change", &response)) }
    }
}
