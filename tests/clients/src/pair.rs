//! Two servers that somebody else started and restarts for us: `tests/interop`.

use std::env;

use anyhow::{Context, Result, ensure};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

use crate::{Homeserver, Person, scenario::failure_of};

/// Where words to `tests/interop` go: one line there, one line back.
const CONTROL: &str = "INTEROP_CONTROL";

/// One of two servers, of whatever kind.
#[derive(Debug)]
pub struct Neighbor {
    /// What `tests/interop` calls it.
    role: &'static str,
    name: String,
    url: String,
}

impl Neighbor {
    /// `INTEROP_HOME` and `INTEROP_AWAY` hold the server's name and where clients reach it.
    fn from_environment(role: &'static str) -> Result<Self> {
        let variable = format!("INTEROP_{}", role.to_uppercase());
        let value =
            env::var(&variable).with_context(|| format!("tests/interop sets {variable}"))?;
        let (name, url) = value.split_once(' ').context("a name and an address")?;
        Ok(Self { role, name: name.to_owned(), url: url.to_owned() })
    }

    /// Ask it to end, and wait until it did.
    ///
    /// # Errors
    /// If nobody does it.
    pub async fn stop(&self) -> Result<()> {
        self.ask("stop").await
    }

    /// SIGKILL.
    ///
    /// # Errors
    /// If nobody does it.
    pub async fn kill(&self) -> Result<()> {
        self.ask("kill").await
    }

    /// A new process with the same data at the same place; it answers when this returns.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn start(&self) -> Result<()> {
        self.ask("start").await
    }

    async fn ask(&self, what: &str) -> Result<()> {
        let address = env::var(CONTROL).with_context(|| format!("tests/interop sets {CONTROL}"))?;
        let mut stream = BufReader::new(TcpStream::connect(address).await?);
        stream.write_all(format!("{what} {}\n", self.role).as_bytes()).await?;
        let mut answer = String::new();
        stream.read_line(&mut answer).await?;
        ensure!(answer.trim() == "done", "{what} {}: {answer:?}", self.role);
        Ok(())
    }
}

impl Homeserver for Neighbor {
    fn url(&self) -> String {
        self.url.clone()
    }

    fn name(&self) -> &str {
        &self.name
    }
}

/// Two servers, and names on them that no other test has.
#[derive(Debug)]
pub struct Pair {
    /// Where rooms are made.
    pub home: Neighbor,
    /// Where people come from.
    pub away: Neighbor,
    suffix: u32,
}

impl Pair {
    fn from_environment() -> Result<Self> {
        let home = Neighbor::from_environment("home")?;
        let away = Neighbor::from_environment("away")?;
        Ok(Self { home, away, suffix: rand::random() })
    }

    /// A name for somebody.
    pub fn called(&self, name: &str) -> String {
        format!("{name}-{:08x}", self.suffix)
    }

    /// Alice at home, Bob away.
    ///
    /// # Errors
    /// If a server refuses.
    pub async fn people(&self) -> Result<(Person, Person)> {
        let (alice, bob) = (self.called("alice"), self.called("bob"));
        Ok((Person::new(&self.home, &alice).await?, Person::new(&self.away, &bob).await?))
    }
}

/// Run a test with the two servers that `tests/interop` started.
///
/// # Panics
/// If the test fails, panics or takes longer than three minutes.
pub async fn between(test: impl AsyncFnOnce(&Pair) -> Result<()>) {
    let pair = Pair::from_environment().expect("started by tests/interop");
    if let Some(failure) = failure_of(test(&pair)).await {
        panic!("{failure:?}");
    }
}
