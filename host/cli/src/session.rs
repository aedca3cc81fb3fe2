//! From the global flags to a client.

use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::code::Code;
use crate::failure::Failure;
use crate::global::{Global, Reads};
use crate::units;
use outboard_client::{Client, ClientError, Consistency, Context, Options};

/// Where a node listens unless it is told otherwise.
pub(crate) const PORT: u16 = 4410;
/// The context that is taken when none is named.
pub(crate) const DEFAULT_CONTEXT: &str = "default";
/// The admin's context in the new cluster's folder.
pub(crate) const ADMIN_CONTEXT: &str = "admin.toml";

/// The context that the flags choose, with their endpoints.
pub(crate) fn context(global: &Global) -> Result<Context, Failure> {
    let mut context = match &global.context {
        Some(name) => Context::load(name)?,
        None => Context::load(&unnamed(&Context::list())?)?,
    };
    if !global.endpoint.is_empty() {
        context.endpoints = global.endpoint.iter().map(|endpoint| with_port(endpoint)).collect();
    }
    Ok(context)
}

/// A client that connects when it is first asked something; for a renewal at once.
pub(crate) async fn client(global: &Global) -> Result<Client, Failure> {
    let context = context(global)?;
    let client = Client::new(&context, options(global))?;
    maybe_renew(global, context, &client).await;
    Ok(client)
}

/// A client that has reached a node.
pub(crate) async fn connect(global: &Global) -> Result<Client, Failure> {
    let options = options(global);
    let timeout = options.timeout;
    let context = context(global)?;
    let client = Client::connect_with(&context, options).await.map_err(|error| {
        let is_away = matches!(error, ClientError::Unavailable(_) | ClientError::Timeout(_));
        let failure = Failure::from(error);
        if is_away { failure.help(unreached(timeout)) } else { failure }
    })?;
    maybe_renew(global, context, &client).await;
    Ok(client)
}

/// A context whose certificate has come to two thirds of its time gets a new one. What fails is tried again the next time.
async fn maybe_renew(global: &Global, context: Context, client: &Client) {
    if !client.renewal_due() {
        return;
    }
    let renewed = match client.renew().await {
        Ok(renewed) => renewed,
        Err(error) => {
            if !global.quiet {
                eprintln!("{}", not_renewed(context.credentials.valid_until(), &error));
            }
            return;
        }
    };
    let saved = path_of(global).and_then(|path| {
        // The endpoints of the file, not those of a flag.
        let endpoints = Context::load_file(&path).map_or(context.endpoints, |file| file.endpoints);
        Ok(Context::new(endpoints, renewed).save(&path)?)
    });
    if let Err(failure) = saved {
        tracing::warn!("the renewed certificate can't be kept: {}", failure.message);
    }
}

/// What is tried again with each command is told with each one, as long as there is time to do something about it.
fn not_renewed(until: SystemTime, why: &ClientError) -> String {
    let left = until.duration_since(SystemTime::now()).unwrap_or_default();
    let left = units::age(u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
    format!("this context's certificate holds for {left} and can't be renewed yet: {why}")
}

/// The context follows the members, so that it still leads to the cluster when those that it was made with are gone.
pub(crate) fn keep_endpoints(global: &Global, endpoints: Vec<String>) {
    if !global.endpoint.is_empty() || endpoints.is_empty() {
        return;
    }
    let saved = path_of(global).and_then(|path| {
        let context = Context::load_file(&path)?;
        if context.endpoints != endpoints {
            Context { endpoints, ..context }.save(&path)?;
        }
        Ok(())
    });
    if let Err(failure) = saved {
        tracing::warn!("the context does not follow the members: {}", failure.message);
    }
}

/// The file of the context that the flags choose.
fn path_of(global: &Global) -> Result<PathBuf, Failure> {
    match &global.context {
        Some(name) if name.contains(std::path::is_separator) || name.ends_with(".toml") => Ok(PathBuf::from(name)),
        Some(name) => Ok(Context::path_of(name)?),
        None => Ok(Context::path_of(&unnamed(&Context::list())?)?),
    }
}

/// How a client of these flags behaves. Who wants one node to read wants that node's answer.
pub(crate) fn options(global: &Global) -> Options {
    let (consistency, by_the_asked) = match global.consistency {
        Reads::Linearizable => (Consistency::Linearizable, false),
        Reads::Stale => (Consistency::Stale, true),
        Reads::Follower => (Consistency::Follower, true),
    };
    Options { timeout: global.timeout, consistency, pinned: by_the_asked && global.endpoint.len() == 1, sessions: true }
}

fn unnamed(known: &[String]) -> Result<String, Failure> {
    let only = if let [only] = known { Some(only.as_str()) } else { None };
    let default = known.iter().any(|name| name == DEFAULT_CONTEXT).then_some(DEFAULT_CONTEXT);
    match default.or(only) {
        Some(name) => Ok(name.to_owned()),
        None if known.is_empty() => Err(Failure::new(Code::NoContext, "no cluster is known here")
            .help("outboard demo, or -c DIR/admin.toml after outboard cluster init")),
        None => Err(Failure::new(Code::NoContext, "several clusters are known here and none is chosen")
            .help(format!("-c {}", known.join(" or -c ")))),
    }
}

pub(crate) fn with_port(endpoint: &str) -> String {
    let has_port = match endpoint.rsplit_once(':') {
        // An IPv6 address stands in brackets when a port follows.
        Some((host, port)) => port.parse::<u16>().is_ok() && (!host.contains(':') || host.ends_with(']')),
        None => false,
    };
    if has_port {
        endpoint.to_owned()
    } else if endpoint.parse::<Ipv6Addr>().is_ok() {
        format!("[{endpoint}]:{PORT}")
    } else if endpoint.contains(':') && !endpoint.ends_with(']') {
        // Its port is none; whoever looks it up says so.
        endpoint.to_owned()
    } else {
        format!("{endpoint}:{PORT}")
    }
}

fn unreached(timeout: Duration) -> String {
    format!("check that the nodes run and that UDP passes; --timeout was {}", crate::units::short(timeout))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_get_the_usual_port() {
        assert_eq!(with_port("db1"), "db1:4410");
        assert_eq!(with_port("db1:99"), "db1:99");
        assert_eq!(with_port("10.0.0.5"), "10.0.0.5:4410");
        assert_eq!(with_port("::1"), "[::1]:4410");
        assert_eq!(with_port("[::1]:99"), "[::1]:99");
        assert_eq!(with_port("[::1]"), "[::1]:4410");
        assert_eq!(with_port("db1:x"), "db1:x");
        assert_eq!(with_port("db1:99999"), "db1:99999");
    }

    #[test]
    fn a_renewal_that_fails_says_how_much_time_there_is() {
        let until = SystemTime::now() + Duration::from_secs(12 * 24 * 3_600 + 60);
        let told = not_renewed(until, &ClientError::Conflict("nobody signs".into()));
        assert_eq!(told, "this context's certificate holds for 12d and can't be renewed yet: nobody signs");
    }

    #[test]
    fn no_context_says_what_to_type() {
        let failure = unnamed(&[]).expect_err("nothing known");
        assert_eq!(failure.code.exit(), 2);
        let several = unnamed(&["a".into(), "b".into()]).expect_err("several known");
        assert_eq!(several.help.as_deref(), Some("-c a or -c b"));
    }
}
