//! `token`: lets nodes and clients in. The secret is made here and printed once; the cluster gets its public half.

use std::time::Duration;

use crate::code::Code;
use crate::failure::Failure;
use crate::global::Global;
use crate::hint::hint;
use crate::output::Output;
use crate::table::{Align, columns};
use crate::{json, session, units};
use clap::{Args, Subcommand};
use outboard_client::{Client, ClientError, Context};
use outboard_net::{TOKEN_USES_MAX, Token, TokenId};
use outboard_wire::access::{Enrols, Role, TokenInfo, TokenSpec, Wish};
use outboard_wire::limits::TOKEN_LASTS_MS_MAX;
use serde_json::json;

/// Flags of `token`.
#[derive(Subcommand, Debug)]
pub(crate) enum TokenCommand {
    /// Make a token: a voter's, one use, one hour, unless something else is said
    Create(CreateArgs),
    /// Every token that the cluster knows; no secrets
    List,
    /// Let nobody in by this token any more
    Revoke {
        /// t- and 13 characters
        #[arg(value_parser = parse_id)]
        id: TokenId,
        /// Change nothing
        #[arg(long)]
        dry_run: bool,
    },
}

/// Flags of `token create`.
#[derive(Args, Debug)]
pub(crate) struct CreateArgs {
    /// For a node that only follows
    #[arg(long, conflicts_with = "client")]
    learner: bool,
    /// For a client: reader, writer, operator, deployer or admin
    #[arg(long, value_name = "ROLE")]
    client: Option<Role>,
    /// How long it lets new ones in (10m, 1h, 2d)
    #[arg(long, value_parser = units::parse_duration, default_value = "1h", value_name = "TIME")]
    expires: Duration,
    /// How many may come in by it
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(TOKEN_USES_MAX)))]
    uses: u32,
    /// Make nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) async fn run(global: &Global, command: TokenCommand, out: &mut Output) -> Result<(), Failure> {
    match command {
        TokenCommand::Create(args) => run_create(global, &args, out).await,
        TokenCommand::List => list(global, out).await,
        TokenCommand::Revoke { id, dry_run: true } => {
            let known = session::connect(global).await?.access_lists().await?.tokens;
            if !known.iter().any(|token| token.id == id.0) {
                return Err(refused(ClientError::Conflict(format!("there is no token {id}"))));
            }
            eprintln!("would revoke {id}");
            Ok(())
        }
        TokenCommand::Revoke { id, dry_run: false } => {
            session::connect(global).await?.revoke_token(id.0).await.map_err(refused)?;
            if out.format().is_json() {
                return out.document(&json!({ "$type": "token_revoked", "id": id.to_string() }));
            }
            out.line(format!("{id} is revoked"))
        }
    }
}

async fn run_create(global: &Global, args: &CreateArgs, out: &mut Output) -> Result<(), Failure> {
    let enrols = match (args.client, args.learner) {
        (Some(role), _) => Enrols::Client(role),
        (None, true) => Enrols::Node(Wish::Learner),
        (None, false) => Enrols::Node(Wish::Voter),
    };
    let uses = if args.uses == 1 { "one use".to_owned() } else { format!("{} uses", args.uses) };
    let lasts_ms = u64::try_from(args.expires.as_millis()).unwrap_or(u64::MAX);
    if !(1..=TOKEN_LASTS_MS_MAX).contains(&lasts_ms) {
        return Err(Failure::new(Code::Usage, "a token lasts for 1 ms to 30 days").help("--expires 1h"));
    }
    let what = format!("{enrols}, {uses}, {}", exactly(lasts_ms));
    if args.dry_run {
        // Whoever may see them may make them.
        session::connect(global).await?.access_lists().await?;
        eprintln!("would make a token: {what}");
        return Ok(());
    }
    let context = session::context(global)?;
    let token = create(&session::connect(global).await?, &context, enrols, args.expires, args.uses).await?;
    let seed = context.endpoints.first().map_or("HOST:PORT", String::as_str);
    if out.format().is_json() {
        return out.document(&json!({
            "$type": "token",
            "token": token.reveal(),
            "id": token.id().to_string(),
            "enrols": enrols.to_string(),
            "uses": args.uses,
            "expires_in_ms": json::id(args.expires.as_millis() as u64),
            "join": seed,
        }));
    }
    out.line(token.reveal())?;
    out.flush()?;
    hint!("{what}; on the new machine:\n  outboard join {seed} {}", token.reveal());
    Ok(())
}

/// A time in the largest unit that loses nothing.
fn exactly(milliseconds: u64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")];
    let fits = units.into_iter().find(|(unit, _)| milliseconds.is_multiple_of(*unit));
    let (unit, name) = fits.expect("every number is a multiple of 1");
    format!("{}{name}", milliseconds / unit)
}

/// Makes a token and has the cluster know it.
pub(crate) async fn create(
    client: &Client,
    context: &Context,
    enrols: Enrols,
    lasts: Duration,
    uses: u32,
) -> Result<Token, Failure> {
    let token = Token::generate(enrols, context.credentials.authority_pin());
    let lasts_ms = u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX);
    let spec = TokenSpec { id: token.id().0, verifier: token.verifier().0, enrols, lasts_ms, uses };
    client.create_token(spec).await.map_err(refused)?;
    Ok(token)
}

/// A change that can't be as things stand; the tokens tell why.
fn refused(error: ClientError) -> Failure {
    let is_conflict = matches!(error, ClientError::Conflict(_));
    let failure = Failure::from(error);
    if is_conflict { failure.help("outboard token list") } else { failure }
}

async fn list(global: &Global, out: &mut Output) -> Result<(), Failure> {
    let tokens = session::connect(global).await?.access_lists().await?.tokens;
    if out.format().is_json() {
        let document = |token: &TokenInfo| {
            json!({
                "id": TokenId(token.id).to_string(),
                "enrols": token.enrols.to_string(),
                "uses_left": token.uses_left,
                "expires_in_ms": json::id(token.left_ms),
                "used_by": token.used_by,
            })
        };
        let tokens: Vec<_> = tokens.iter().map(document).collect();
        return out.document(&json!({ "$type": "tokens", "tokens": tokens }));
    }
    let head = ["TOKEN", "FOR", "USES LEFT", "EXPIRES IN", "USED BY"].map(str::to_owned).to_vec();
    let row = |token: &TokenInfo| {
        let left = if token.left_ms == 0 { "expired".to_owned() } else { units::age(token.left_ms) };
        let used = if token.used_by.is_empty() { "-".to_owned() } else { token.used_by.join(", ") };
        vec![TokenId(token.id).to_string(), token.enrols.to_string(), token.uses_left.to_string(), left, used]
    };
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(tokens.iter().map(row)).collect();
    use Align::{Left, Right};
    columns(&[Left, Left, Right, Left, Left], &rows).iter().try_for_each(|line| out.line(line))
}

fn parse_id(text: &str) -> Result<TokenId, String> {
    text.parse::<TokenId>().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_token_is_told_as_it_is() {
        let told = |text: &str| exactly(units::parse_duration(text).expect("a duration").as_millis() as u64);
        for (typed, shown) in
            [("1h", "1h"), ("90m", "90m"), ("36h", "36h"), ("2d", "2d"), ("500ms", "500ms"), ("60s", "1m")]
        {
            assert_eq!(told(typed), shown);
        }
    }

    #[test]
    fn a_refusal_leads_to_the_tokens_and_only_a_conflict_does() {
        let help = |error| refused(error).help.unwrap_or_default();
        assert_eq!(help(ClientError::Conflict("there is no token".into())), "outboard token list");
        assert!(help(ClientError::Forbidden("a reader".into())).contains("client role"));
    }
}
