//! The listener before a node that keeps a map in memory and answers from another thread: what the listener itself costs.
//!
//! ```console
//! $ cargo run --release -p outboard-redis --example echo_backend -- 127.0.0.1:7777
//! $ redis-benchmark -p 7777 -t set,get -n 1000000 -c 50 -q
//! ```

#[path = "../tests/redis/fake.rs"]
#[allow(dead_code, clippy::unwrap_used, clippy::print_stdout, clippy::wildcard_enum_match_arm)]
mod fake;

use outboard_redis::{Options, serve};

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7777".into());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(address).await?;
        let never = serve(listener, Options::default(), fake::Fake::start(fake::Order::AsTheyCome).forgetful()).await;
        match never {}
    })
}
