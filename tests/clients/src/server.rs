//! A real `blaupause`, on a free port, with a data folder of its own.

use std::{
    env, fs,
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError},
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::{Homeserver, until};

/// The part after the colon of every user id in the tests.
pub const SERVER_NAME: &str = "blaupause.test";

/// So much of the server's log is shown when a test fails.
const TAIL_LINES: usize = 150;

/// A running server; killed when dropped. Its data folder goes with it.
#[derive(Debug)]
pub struct Server {
    process: Mutex<Child>,
    /// `127.0.0.1:PORT`; the same after a restart.
    address: String,
    folder: TempDir,
}

impl Server {
    /// Start a server with open registration and wait until it is ready.
    ///
    /// # Errors
    /// If there is no program or it does not become ready; the message holds its log.
    pub async fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        write_config(folder.path(), "127.0.0.1:0", "")?;
        let mut process = spawn(folder.path())?;
        let addresses = ready(&mut process, folder.path()).await?;
        let address = first(&addresses, "listen")?;
        Ok(Self { process: Mutex::new(process), address, folder })
    }

    /// SIGKILL, then a new process on the same port with the same data.
    ///
    /// # Errors
    /// If it does not come back.
    pub async fn kill_and_restart(&self) -> Result<()> {
        self.restart_with("").await.map(drop)
    }

    /// A new process with the OAuth server, which clients want to find at an HTTPS address, and
    /// which must know it before it starts. Answers the address; nobody knows its certificate.
    ///
    /// # Errors
    /// If it does not come back.
    pub async fn restart_with_oauth(&self) -> Result<String> {
        let folder = self.folder.path();
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
        fs::write(folder.join("cert.pem"), made.cert.pem())?;
        fs::write(folder.join("key.pem"), made.signing_key.serialize_pem())?;
        let tls = |listen: &str| {
            let folder = folder.display();
            format!(
                "\n[tls]\nlisten = [\"{listen}\"]\ncert_file = \"{folder}/cert.pem\"\n\
                 key_file = \"{folder}/key.pem\"\n"
            )
        };
        let address = first(&self.restart_with(&tls("127.0.0.1:0")).await?, "tls")?;
        let url = format!("https://{address}");
        let more =
            format!("public_base_url = \"{url}\"\n{}\n[oauth]\nenabled = true\n", tls(&address));
        self.restart_with(&more).await?;
        Ok(url)
    }

    /// Answers the addresses it announces.
    async fn restart_with(&self, more: &str) -> Result<Value> {
        {
            let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
            process.kill()?;
            process.wait()?;
        }
        fs::remove_file(self.folder.path().join(READY))?;
        write_config(self.folder.path(), &self.address, more)?;
        let mut process = spawn(self.folder.path())?;
        let addresses = ready(&mut process, self.folder.path()).await?;
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = process;
        Ok(addresses)
    }

    /// The last lines of the log.
    pub fn log_tail(&self) -> String {
        log_tail(self.folder.path())
    }
}

impl Homeserver for Server {
    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn name(&self) -> &str {
        SERVER_NAME
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let process = self.process.get_mut().unwrap_or_else(PoisonError::into_inner);
        // It may have ended already.
        let _ = process.kill();
        let _ = process.wait();
    }
}

const CONFIG: &str = "blaupause.toml";
const READY: &str = "ready.json";
const LOG: &str = "server.log";

/// `BLAUPAUSE_BIN`, else what `cargo build` in the checkout makes: in `$HOME/.cache/blaupause-target`
/// if that folder exists (as xtask does), else in `target`.
fn program() -> Result<PathBuf> {
    if let Some(path) = env::var_os("BLAUPAUSE_BIN") {
        return Ok(PathBuf::from(path));
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).context("the checkout")?;
    let warm = env::home_dir().map(|home| home.join(".cache/blaupause-target"));
    let target = warm.filter(|folder| folder.is_dir()).unwrap_or_else(|| root.join("target"));
    let path = target.join("debug/blaupause");
    ensure!(path.is_file(), "no {}: build it, or set BLAUPAUSE_BIN", path.display());
    Ok(path)
}

/// What `generate-config` prints, opened for everybody and with cheap password checks, and `more`
/// behind the keys of `[server]`. Rate limits stay as in production: a real client has to get along
/// with them.
fn write_config(folder: &Path, listen: &str, more: &str) -> Result<()> {
    let output = Command::new(program()?)
        .args(["generate-config", "--server-name", SERVER_NAME, "--listen", listen, "--data-dir"])
        .arg(folder.join("data"))
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let generated = String::from_utf8(output.stdout)?;
    let closed = "mode = \"closed\"";
    ensure!(generated.contains(closed), "generate-config does not say {closed}:\n{generated}");
    let opened = generated.replace(closed, "mode = \"open\"");
    let opened = opened.replacen("\n[storage]\n", &format!("{more}\n[storage]\n"), 1);
    let cheap = "\n[login.argon2]\nmemory = \"1 MiB\"\npasses = 1\n";
    fs::write(folder.join(CONFIG), opened + cheap)?;
    Ok(())
}

fn spawn(folder: &Path) -> Result<Child> {
    let log = File::options().create(true).append(true).open(folder.join(LOG))?;
    Command::new(program()?)
        .args(["serve", "--config"])
        .arg(folder.join(CONFIG))
        .arg("--ready-file")
        .arg(folder.join(READY))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("the server does not start")
}

/// The first address of a kind.
fn first(addresses: &Value, kind: &str) -> Result<String> {
    let address = addresses[kind][0].as_str();
    Ok(address.with_context(|| format!("no {kind} in {addresses}"))?.to_owned())
}

/// Wait for the ready file; gives what it says.
async fn ready(process: &mut Child, folder: &Path) -> Result<Value> {
    let process = Mutex::new(process);
    let file = folder.join(READY);
    let named = until("the server is ready", async || {
        if let Ok(Some(status)) = process.lock().unwrap_or_else(PoisonError::into_inner).try_wait()
        {
            return Some(Err(anyhow!("the server ended: {status}")));
        }
        let text = fs::read_to_string(&file).ok()?;
        serde_json::from_str(&text).ok().map(Ok)
    });
    match named.await.flatten() {
        Ok(address) => Ok(address),
        Err(error) => {
            let mut process = process.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = process.kill();
            let _ = process.wait();
            bail!("{error:#}\n{}", log_tail(folder))
        }
    }
}

fn log_tail(folder: &Path) -> String {
    let log = fs::read(folder.join(LOG)).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}
