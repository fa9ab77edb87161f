//! `health`: does the server on this machine answer? For service managers and containers, where
//! there is no other program to ask with.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    time::Duration,
};

use anyhow::{Context, anyhow, bail, ensure};

use crate::{
    config::{self, Config},
    listen::on_this_machine,
};

/// Each step of the question may take so long; whoever asks gives up after the sum anyway.
const WAIT: Duration = Duration::from_secs(3);

/// Of an answer, the head and a line of text are looked at.
const ANSWER_SIZE_MAX: u64 = 4 * 1024;

/// Ask the server that runs with this configuration, and print what it says.
///
/// With `metrics.listen` that is whether it is ready, without it whether it answers at all.
///
/// # Errors
/// If the configuration is wrong or names no address to ask at, or if the server does not answer
/// with 200.
pub fn ask(config_file: &Path) -> anyhow::Result<()> {
    let loaded = config::load(config_file)?;
    let (address, path) = question(&loaded.config)?;
    let answer = get(address, path).with_context(|| format!("{address} does not answer"))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).unwrap_or_default();
    ensure!(status == "200", "{address}{path} answers {status}: {}", body.trim());
    println!("{address}{path} answers 200");
    Ok(())
}

/// Where to ask, and what.
fn question(config: &Config) -> anyhow::Result<(SocketAddr, &'static str)> {
    let fixed = |listen: &[SocketAddr]| listen.iter().copied().find(|address| address.port() != 0);
    if let Some(address) = fixed(&config.metrics.listen) {
        return Ok((on_this_machine(address), "/health/ready"));
    }
    if let Some(address) = fixed(&config.server.listen) {
        return Ok((on_this_machine(address), "/_matrix/client/versions"));
    }
    bail!(
        "there is nowhere to ask: neither metrics.listen nor server.listen names an address with a \
         fixed port, such as \"127.0.0.1:9100\""
    )
}

/// One request by hand, without starting the threads that the server's own HTTP needs.
fn get(address: SocketAddr, path: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, WAIT)?;
    stream.set_read_timeout(Some(WAIT))?;
    stream.set_write_timeout(Some(WAIT))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(ANSWER_SIZE_MAX).read_to_end(&mut answer).map_err(plainly)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// A wait that has ended is called a resource that is temporarily unavailable by the system.
fn plainly(error: io::Error) -> anyhow::Error {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            anyhow!("nothing within {} seconds", WAIT.as_secs())
        }
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(metrics: &[&str], listen: &[&str]) -> anyhow::Result<(String, &'static str)> {
        let all = |texts: &[&str]| texts.iter().map(|text| text.parse().expect("ok")).collect();
        let mut config = Config::default();
        config.metrics.listen = all(metrics);
        config.server.listen = all(listen);
        question(&config).map(|(address, path)| (address.to_string(), path))
    }

    #[test]
    fn the_operators_listener_is_asked_whether_the_server_is_ready() {
        let (address, path) = asked(&["0.0.0.0:9100"], &["0.0.0.0:8008"]).expect("an address");
        assert_eq!((address.as_str(), path), ("127.0.0.1:9100", "/health/ready"));
    }

    #[test]
    fn without_it_any_answer_to_clients_counts() {
        let (address, path) = asked(&["[::1]:0"], &["[::]:8008"]).expect("an address");
        assert_eq!((address.as_str(), path), ("[::1]:8008", "/_matrix/client/versions"));
    }

    #[test]
    fn a_server_that_is_silent_is_said_to_be() {
        let error = plainly(ErrorKind::WouldBlock.into());
        assert_eq!(error.to_string(), "nothing within 3 seconds");
        assert!(plainly(ErrorKind::ConnectionReset.into()).to_string().contains("reset"));
    }

    #[test]
    fn a_port_that_nobody_knows_cannot_be_asked() {
        assert!(asked(&[], &["127.0.0.1:0"]).is_err());
    }
}
