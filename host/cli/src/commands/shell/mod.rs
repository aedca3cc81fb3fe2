//! The shell: steps typed one after another, or a script of them. The demo's and, without the steps that kill and start
//! nodes, any cluster's.
//!
//! A script stops at the first step that fails, with that step's code; a person's session goes on.

mod lines;
pub(crate) mod script;
mod step;

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use crate::code::Code;
use crate::commands::demo::nodes::Nodes;
use crate::commands::scan::Keys;
use crate::commands::{engine, leader, status};
use crate::encoding::show;
use crate::failure::Failure;
use crate::global::Global;
use crate::output::Output;
use crate::{json, reply, session, units};
use clap::Args;
use lines::Lines;
use outboard_client::{Client, Reply};
use script::Line;
use serde_json::{Value, json};
use step::Step;

/// Keys that a scan shows at most; the command `scan` has no such limit.
const SCAN_KEYS_MAX: usize = 1_000;

/// Flags of `shell`.
#[derive(Args, Debug)]
pub(crate) struct ShellArgs {
    /// Run these steps, separated by ; or line ends, and stop at the first that fails
    #[arg(long, value_name = "SCRIPT")]
    exec: Option<String>,
}

pub(crate) async fn run(global: &Global, args: ShellArgs, out: &mut Output) -> Result<(), Failure> {
    let client = session::connect(global).await?;
    let mut shell = Shell { client, global, nodes: None, prompt: "outboard> " };
    let ended = match args.exec {
        Some(script) => shell.run_script(&script, out).await,
        None => shell.run_input(out).await,
    };
    shell.client.close().await;
    ended
}

/// A session.
pub(crate) struct Shell<'a> {
    pub(crate) client: Client,
    pub(crate) global: &'a Global,
    /// The demo's nodes, which can be killed and started.
    pub(crate) nodes: Option<&'a mut Nodes>,
    pub(crate) prompt: &'static str,
}

/// What a step answers.
struct Answer {
    text: Vec<u8>,
    document: Value,
    /// Whether the time that it took says something.
    timed: bool,
}

impl Shell<'_> {
    /// Runs all steps; stops at the first that fails.
    pub(crate) async fn run_script(&mut self, script: &str, out: &mut Output) -> Result<(), Failure> {
        let lines = script::split(script).map_err(|what| Failure::new(Code::Usage, format!("the script: {what}")))?;
        for line in lines {
            if !self
                .run_line(&line, true, out)
                .await
                .map_err(|failure| failure.during(&format!("step `{}`", line.text)))?
            {
                break;
            }
        }
        Ok(())
    }

    /// Runs what is typed, or what comes in on stdin, which is a script that arrives line by line.
    pub(crate) async fn run_input(&mut self, out: &mut Output) -> Result<(), Failure> {
        if !std::io::stdin().is_terminal() {
            let mut lines = Lines::plain();
            while let Some(text) = lines.next().await? {
                for line in script::split(&text).map_err(|what| Failure::new(Code::Usage, what))? {
                    if !self.run_line(&line, true, out).await? {
                        return Ok(());
                    }
                }
            }
            return Ok(());
        }
        let mut lines = Lines::terminal(self.prompt);
        while let Some(text) = lines.next().await? {
            let failure = match script::split(&text) {
                Ok(steps) => match self.run_steps(&steps, out).await {
                    Ok(true) => continue,
                    Ok(false) => return Ok(()),
                    Err(failure) => failure,
                },
                Err(what) => Failure::new(Code::Usage, what),
            };
            failure.print(out.format(), self.global.quiet);
        }
        Ok(())
    }

    async fn run_steps(&mut self, steps: &[Line], out: &mut Output) -> Result<bool, Failure> {
        for line in steps {
            if !self.run_line(line, false, out).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Runs one step and shows it; false when it was the last.
    async fn run_line(&mut self, line: &Line, is_script: bool, out: &mut Output) -> Result<bool, Failure> {
        let is_json = out.format().is_json();
        if is_script && !is_json {
            out.line(format!("{}{}", self.prompt, line.text))?;
            out.flush()?;
        }
        let step = Step::parse(&line.words)?;
        if step == Step::Quit {
            return Ok(false);
        }
        let began = Instant::now();
        let answer = self.run_step(&step, is_script).await?;
        let took = began.elapsed();
        if is_json {
            let us = took.as_micros() as u64;
            out.item(&json!({ "$type": "step", "step": line.text, "elapsed_us": us, "answer": answer.document }))?;
        } else {
            out.line(timed(answer.text, answer.timed.then_some(took)))?;
        }
        out.flush()?;
        Ok(true)
    }

    async fn run_step(&mut self, step: &Step, is_script: bool) -> Result<Answer, Failure> {
        match step {
            Step::Help => Ok(Answer::plain(step::HELP.trim_end(), Value::Null)),
            Step::Quit => Ok(Answer::plain("", Value::Null)),
            Step::Status => {
                let status = self.client.status().await?;
                Ok(Answer::plain(&status::text(&status).join("\n"), status::document(&status)))
            }
            Step::Kill(node) => {
                let client = self.client.clone();
                let killed = self.nodes()?.kill(&client, node).await?;
                Ok(Answer::plain(&killed.text(), killed.document()))
            }
            Step::Start(node) => {
                let client = self.client.clone();
                let started = self.nodes()?.start_again(&client, node).await?;
                Ok(Answer::plain(&started.text(), started.document()))
            }
            Step::Upgrade(target) => {
                // A switch needs every voter, and the demo can bring back those that it killed.
                let client = self.client.clone();
                if let Some(nodes) = self.nodes.as_deref_mut() {
                    for name in nodes.stopped() {
                        eprintln!("an upgrade needs every voter: {}", nodes.start_again(&client, &name).await?.text());
                    }
                }
                let switch = engine::upgrade::switch(&self.client, self.global, target).await?;
                switch.check()?;
                Ok(Answer::plain(&switch.text(), switch.document()))
            }
            Step::Transfer(to) => {
                let moved = leader::transfer(&self.client, to.as_deref()).await?;
                Ok(Answer::plain(&moved.text(), json!({ "leader": moved.name, "term": json::id(moved.term) })))
            }
            Step::Scan(prefix) => self.scan(prefix).await,
            Step::Get(key) => {
                let reply = self.client.command([b"GET", key.as_slice()]).idempotent(true).await?;
                if is_script && reply.is_nil() {
                    return Err(Failure::new(Code::KeyNotFound, format!("there is no key {}", show(key))));
                }
                Ok(Answer::of(&reply))
            }
            Step::Call(command) => Ok(Answer::of(&self.client.command(command).await?)),
        }
    }

    async fn scan(&self, prefix: &[u8]) -> Result<Answer, Failure> {
        let mut walk = Keys::new(self.client.clone(), prefix);
        let mut keys = Vec::new();
        while keys.len() < SCAN_KEYS_MAX
            && let Some(page) = walk.page().await?
        {
            keys.extend(page);
        }
        keys.truncate(SCAN_KEYS_MAX);
        let text = if keys.is_empty() { b"(no keys)".to_vec() } else { keys.join(&b'\n') };
        let document = keys.iter().map(|key| json::bytes(key)).collect();
        Ok(Answer { text, document, timed: true })
    }

    fn nodes(&mut self) -> Result<&mut Nodes, Failure> {
        let none =
            || Failure::new(Code::Usage, "this shell has no nodes of its own to kill or start").help("outboard demo");
        self.nodes.as_deref_mut().ok_or_else(none)
    }
}

impl Answer {
    fn plain(text: &str, document: Value) -> Answer {
        Answer { text: text.as_bytes().to_vec(), document, timed: false }
    }

    fn of(reply: &Reply) -> Answer {
        Answer { text: reply::text(reply), document: reply::value(reply), timed: true }
    }
}

/// `OK  0.9 ms`, or the time below what has several lines.
fn timed(mut text: Vec<u8>, took: Option<Duration>) -> Vec<u8> {
    if let Some(took) = took {
        let took = units::short(took);
        let is_long = text.contains(&b'\n');
        text.extend_from_slice(if is_long { format!("\n({took})") } else { format!("  {took}") }.as_bytes());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_stands_behind_a_short_answer_and_below_a_long_one() {
        let took = Some(Duration::from_micros(900));
        assert_eq!(timed(b"OK".to_vec(), took), b"OK  0.9 ms");
        assert_eq!(timed(b"a\nb".to_vec(), took), b"a\nb\n(0.9 ms)");
        assert_eq!(timed(b"n1".to_vec(), None), b"n1");
    }
}
