//! `token`: lets nodes and clients in. The secret is made here and printed once; the cluster gets its public half.

use std::time::Duration;

use crate::args::Global;
use crate::failure::Failure;
use crate::output::Output;
use crate::table::{Align, columns};
use crate::{json, session, units};
use clap::{Args, Subcommand};
use outboard_client::{Client, Context};
use outboard_net::{Role as Word, TOKEN_USES_MAX, Token, TokenId, TokenKind};
use outboard_wire::access::{Enrols, Role, TokenInfo, TokenSpec, Wish};
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
            eprintln!("would revoke {id}");
            Ok(())
        }
        TokenCommand::Revoke { id, dry_run: false } => {
            session::connect(global).await?.revoke_token(id.0).await?;
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
    let what = format!("{enrols}, {uses}, {}", units::age(args.expires.as_millis() as u64));
    if args.dry_run {
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
    eprintln!("{what}; on the new machine:\n  outboard join {seed} {}", token.reveal());
    Ok(())
}

/// Makes a token and has the cluster know it.
pub(crate) async fn create(
    client: &Client,
    context: &Context,
    enrols: Enrols,
    lasts: Duration,
    uses: u32,
) -> Result<Token, Failure> {
    let token = Token::generate(kind(enrols), context.credentials.authority_pin());
    let lasts_ms = u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX);
    let spec = TokenSpec { id: token.id().0, verifier: token.verifier().0, enrols, lasts_ms, uses };
    client.create_token(spec).await?;
    Ok(token)
}

fn kind(enrols: Enrols) -> TokenKind {
    match enrols {
        Enrols::Node(Wish::Voter) => TokenKind::Voter,
        Enrols::Node(Wish::Learner) => TokenKind::Learner,
        Enrols::Client(role) => TokenKind::Client {
            role: match role {
                Role::Reader => Word::Reader,
                Role::Writer => Word::Writer,
                Role::Operator => Word::Operator,
                Role::Deployer => Word::Deployer,
                Role::Admin => Word::Admin,
            },
        },
    }
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
