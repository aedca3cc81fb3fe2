//! From the global flags to a client.

use std::time::Duration;

use crate::args::{Global, Reads};
use crate::code::Code;
use crate::failure::Failure;
use outboard_client::{Client, ClientError, Consistency, Context, Options};

/// Where a node listens unless it is told otherwise.
pub(crate) const PORT: u16 = 4410;
/// The context that is taken when none is named.
const DEFAULT_CONTEXT: &str = "default";

/// The context that the flags choose, with their endpoints.
pub(crate) fn context(global: &Global) -> Result<Context, Failure> {
    let mut context = match &global.context {
        Some(name) => Context::load(name)?,
        None => unnamed_context(&Context::list())?,
    };
    if !global.endpoint.is_empty() {
        context.endpoints = global.endpoint.iter().map(|endpoint| with_port(endpoint)).collect();
    }
    Ok(context)
}

/// A client that connects when it is first asked something.
pub(crate) fn client(global: &Global) -> Result<Client, Failure> {
    Ok(Client::new(&context(global)?, options(global))?)
}

/// A client that has reached a node.
pub(crate) async fn connect(global: &Global) -> Result<Client, Failure> {
    let options = options(global);
    let timeout = options.timeout;
    Client::connect_with(&context(global)?, options).await.map_err(|error| {
        let is_away = matches!(error, ClientError::Unavailable(_) | ClientError::Timeout(_));
        let failure = Failure::from(error);
        if is_away { failure.help(unreached(timeout)) } else { failure }
    })
}

/// How a client of these flags behaves. Who asks one node for what it has wants that node's answer.
pub(crate) fn options(global: &Global) -> Options {
    let stale = global.consistency == Reads::Stale;
    Options {
        timeout: global.timeout,
        consistency: if stale { Consistency::Stale } else { Consistency::Linearizable },
        pinned: stale && global.endpoint.len() == 1,
        sessions: true,
    }
}

fn unnamed_context(known: &[String]) -> Result<Context, Failure> {
    let only = if let [only] = known { Some(only.as_str()) } else { None };
    let default = known.iter().any(|name| name == DEFAULT_CONTEXT).then_some(DEFAULT_CONTEXT);
    match default.or(only) {
        Some(name) => Ok(Context::load(name)?),
        None if known.is_empty() => Err(Failure::new(Code::NoContext, "no cluster is known here")
            .help("outboard demo, or -c DIR/admin.toml after outboard cluster init")),
        None => Err(Failure::new(Code::NoContext, "several clusters are known here and none is chosen")
            .help(format!("-c {}", known.join(" or -c ")))),
    }
}

fn with_port(endpoint: &str) -> String {
    let has_port = match endpoint.rsplit_once(':') {
        // An IPv6 address stands in brackets when a port follows.
        Some((host, port)) => port.parse::<u16>().is_ok() && (!host.contains(':') || host.ends_with(']')),
        None => false,
    };
    if has_port {
        endpoint.to_owned()
    } else if endpoint.contains(':') && !endpoint.starts_with('[') {
        format!("[{endpoint}]:{PORT}")
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
    }

    #[test]
    fn no_context_says_what_to_type() {
        let failure = unnamed_context(&[]).expect_err("nothing known");
        assert_eq!(failure.code.exit(), 2);
        let several = unnamed_context(&["a".into(), "b".into()]).expect_err("several known");
        assert_eq!(several.help.as_deref(), Some("-c a or -c b"));
    }
}
