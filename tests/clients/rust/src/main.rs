//! A round of tests with the crate `redis` against the nodes named on the command line; ../../README.md tells the story.

mod basics;
mod load;

use anyhow::{Context, Result, ensure};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};

/// A node that is there answers within its own limit of 5 s.
const TIMEOUT: Duration = Duration::from_secs(10);
const TELL_EVERY: Duration = Duration::from_millis(100);

fn main() -> Result<()> {
    let addresses: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(tokio::task::LocalSet::new().run_until(run(&addresses)))
}

async fn run(addresses: &[String]) -> Result<()> {
    for (place, address) in addresses.iter().enumerate() {
        for protocol in ["resp2", "resp3"] {
            let mut one = connect(address, protocol).await?;
            let mut other = connect(&addresses[(place + 1) % addresses.len()], protocol).await?;
            let told = || format!("{address} with {protocol}");
            basics::commands(&mut one, &mut other, &format!("basics/{place}/{protocol}")).await.with_context(told)?;
            basics::together(&mut one, &mut other, &format!("together/{place}/{protocol}")).await.with_context(told)?;
        }
    }
    println!("ready");

    let is_stopped = Rc::new(Cell::new(false));
    let mut workers = load::start(addresses, &is_stopped).await?;
    let tally = workers.tally();
    tokio::task::spawn_local(async move {
        loop {
            println!("acknowledged {}", tally.get());
            tokio::time::sleep(TELL_EVERY).await;
        }
    });
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    tokio::select! {
        line = lines.next_line() => ensure!(line?.as_deref() == Some("stop"), "the word on stdin"),
        failed = workers.failed() => return failed,
    }
    is_stopped.set(true);
    println!("verified {}", workers.verify(addresses).await?);
    Ok(())
}

/// A connection that comes back by itself after it was lost.
async fn connect(address: &str, protocol: &str) -> Result<ConnectionManager> {
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(TIMEOUT))
        .set_response_timeout(Some(TIMEOUT))
        .set_number_of_retries(2)
        .set_max_delay(Duration::from_millis(200));
    let client = redis::Client::open(format!("redis://{address}/?protocol={protocol}"))?;
    Ok(client.get_connection_manager_with_config(config).await?)
}
