//! Workers that write and count through the death of a node, and the look whether all that was acknowledged is there.

use crate::connect;
use anyhow::{Result, bail, ensure};
use redis::aio::ConnectionManager;
use redis::{AsyncCommands, RedisError};
use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const WORKERS: usize = 6;
/// Keys of one MGET.
const KEYS: usize = 500;
/// Longer than any failover: a worker that gets nowhere for so long gives up.
const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(20);

/// The workers under way.
pub(crate) struct Workers {
    tasks: JoinSet<Result<Worker>>,
    acknowledged: Rc<Cell<usize>>,
}

/// Starts them, each at another node, all on the same three connections: the library pipelines what they ask.
pub(crate) async fn start(addresses: &[String], is_stopped: &Rc<Cell<bool>>) -> Result<Workers> {
    let mut connections = Vec::new();
    for (place, address) in addresses.iter().enumerate() {
        connections.push(connect(address, ["resp2", "resp3"][place % 2]).await?);
    }
    let (mut tasks, acknowledged) = (JoinSet::new(), Rc::new(Cell::new(0)));
    for number in 0..WORKERS {
        let worker = Worker {
            number,
            connections: connections.clone(),
            place: number % addresses.len(),
            acknowledged: acknowledged.clone(),
            written: 0,
            counted: 0,
            unknown: 0,
        };
        tasks.spawn_local(worker.run(is_stopped.clone()));
    }
    Ok(Workers { tasks, acknowledged })
}

impl Workers {
    /// How much was acknowledged, as it grows.
    pub(crate) fn tally(&self) -> Rc<Cell<usize>> {
        self.acknowledged.clone()
    }

    /// Ends when one of them does.
    pub(crate) async fn failed(&mut self) -> Result<()> {
        match self.tasks.join_next().await {
            Some(ended) => bail!("a worker ended: {:?}", ended?.err()),
            None => bail!("there are no workers"),
        }
    }

    /// Once they were told to stop: looks through every node that is there.
    pub(crate) async fn verify(mut self, addresses: &[String]) -> Result<String> {
        let mut workers = Vec::new();
        while let Some(ended) = self.tasks.join_next().await {
            workers.push(ended??);
        }
        let mut asked = 0;
        for address in addresses {
            let Ok(mut connection) = connect(address, "resp3").await else { continue };
            asked += 1;
            for worker in &workers {
                worker.verify(&mut connection).await?;
            }
        }
        ensure!(asked >= 2, "two nodes are there");
        let sum = |what: &dyn Fn(&Worker) -> usize| workers.iter().map(what).sum::<usize>();
        let (written, counted) = (sum(&|worker| worker.written), sum(&|worker| worker.counted));
        Ok(format!("{written} writes and {counted} increments ({} unknown)", sum(&|worker| worker.unknown)))
    }
}

struct Worker {
    number: usize,
    connections: Vec<ConnectionManager>,
    place: usize,
    acknowledged: Rc<Cell<usize>>,
    written: usize,
    counted: usize,
    unknown: usize,
}

impl Worker {
    async fn run(mut self, is_stopped: Rc<Cell<bool>>) -> Result<Worker> {
        while !is_stopped.get() {
            self.write().await?;
            self.count().await?;
        }
        Ok(self)
    }

    async fn write(&mut self) -> Result<()> {
        let (key, value) = (self.key(self.written), self.value(self.written));
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = self.connections[self.place].set::<_, _, ()>(&key, &value).await {
            self.move_on(error, deadline).await?;
        }
        self.written += 1;
        self.acknowledged.set(self.acknowledged.get() + 1);
        Ok(())
    }

    async fn count(&mut self) -> Result<()> {
        let counter = self.counter();
        let value: usize = match self.connections[self.place].incr(counter, 1).await {
            Ok(value) => value,
            Err(error) => {
                self.unknown += 1;
                return self.move_on(error, Instant::now() + PATIENCE).await;
            }
        };
        self.counted += 1;
        self.acknowledged.set(self.acknowledged.get() + 1);
        self.check(value)
    }

    fn check(&self, value: usize) -> Result<()> {
        let (least, most) = (self.counted, self.counted + self.unknown);
        ensure!((least..=most).contains(&value), "{} is {value}, not within {least} and {most}", self.counter());
        Ok(())
    }

    /// To the next node, unless the error is none that passes.
    async fn move_on(&mut self, error: RedisError, deadline: Instant) -> Result<()> {
        let passes =
            error.is_io_error() || matches!(error.code(), Some("CLUSTERDOWN" | "TRYAGAIN" | "LOADING" | "UNKNOWN"));
        if !passes || Instant::now() > deadline {
            return Err(error.into());
        }
        self.place = (self.place + 1) % self.connections.len();
        tokio::time::sleep(PAUSE).await;
        Ok(())
    }

    async fn verify(&self, connection: &mut ConnectionManager) -> Result<()> {
        for from in (0..self.written).step_by(KEYS) {
            let numbers = from..self.written.min(from + KEYS);
            let keys: Vec<String> = numbers.clone().map(|number| self.key(number)).collect();
            let values: Vec<Option<String>> = connection.mget(keys).await?;
            for (number, value) in numbers.zip(values) {
                ensure!(value.as_ref() == Some(&self.value(number)), "{} is {value:?}", self.key(number));
            }
        }
        self.check(connection.get::<_, Option<usize>>(self.counter()).await?.unwrap_or(0))
    }

    fn key(&self, number: usize) -> String {
        format!("written/{}/{number}", self.number)
    }

    fn value(&self, number: usize) -> String {
        format!("{} wrote {number}", self.number)
    }

    fn counter(&self) -> String {
        format!("counted/{}", self.number)
    }
}
