//! Making an account through the running server, with the registration secret.

use std::net::SocketAddr;

use anyhow::{Context, bail};
use bytes::Bytes;
use hmac::{Hmac, Mac};
use http::{Method, Request, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use sha1::Sha1;
use tokio::net::TcpStream;

use super::Account;
use crate::{
    config::{Config, Loaded},
    listen::on_this_machine,
};

/// Synapse's path, which provisioning scripts know.
const PATH: &str = "/_synapse/admin/v1/register";

/// An answer of this path is a few hundred bytes.
const ANSWER_SIZE_MAX: usize = 64 * 1024;

/// Ask the running server to make the account.
///
/// # Errors
/// If no secret is configured, the server cannot be reached over plain HTTP, or it refuses.
pub async fn create(loaded: &Loaded, account: &Account<'_>) -> anyhow::Result<String> {
    let Some(secret) = &loaded.secrets.registration_shared else {
        bail!(
            "the server is running on this database. Either stop it and try again, or set \
             registration.shared_secret_file in its configuration and restart it: then this \
             command asks the running server"
        );
    };
    let address = plain_address(&loaded.config)?;
    let nonce = ask(address, Method::GET, &Value::Null).await?;
    let nonce = nonce["nonce"].as_str().context("the server gave no nonce")?;
    let mac = mac(secret.reveal(), nonce, account);
    let body = json!({
        "nonce": nonce,
        "username": account.name,
        "password": account.password.as_str(),
        "admin": account.admin,
        "mac": mac,
    });
    let answer = ask(address, Method::POST, &body).await?;
    let user_id = answer["user_id"].as_str().context("the server named no user id")?;
    Ok(user_id.to_owned())
}

/// The proof that we know the secret: HMAC-SHA1 over the fields with zero bytes between them, hex.
fn mac(secret: &str, nonce: &str, account: &Account<'_>) -> String {
    let mut mac =
        Hmac::<Sha1>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    let admin = if account.admin { "admin" } else { "notadmin" };
    let fields = [nonce, account.name, account.password.as_str(), admin];
    mac.update(fields.join("\0").as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

/// Where the running server answers plain HTTP on this machine.
fn plain_address(config: &Config) -> anyhow::Result<SocketAddr> {
    let Some(address) = config.server.listen.iter().find(|address| address.port() != 0) else {
        bail!(
            "the server is running, and server.listen names no address with a fixed port to ask it \
             on: stop the server and try again"
        );
    };
    Ok(on_this_machine(*address))
}

async fn ask(address: SocketAddr, method: Method, body: &Value) -> anyhow::Result<Value> {
    let stream = TcpStream::connect(address)
        .await
        .with_context(|| format!("cannot reach the running server at {address}"))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let body = if body.is_null() { Bytes::new() } else { Bytes::from(serde_json::to_vec(body)?) };
    let request = Request::builder()
        .method(method)
        .uri(PATH)
        .header(header::HOST, address.to_string())
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(body))?;
    // Both at once: the connection carries the exchange while the exchange waits for it.
    let exchange = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_SIZE_MAX)
            .collect()
            .await
            .map_err(|error| anyhow::anyhow!("the server's answer broke off: {error}"))?;
        anyhow::Ok((status, body.to_bytes()))
    };
    tokio::pin!(connection);
    let (status, body) = tokio::select! {
        answer = exchange => answer?,
        ended = &mut connection => {
            ended?;
            bail!("the server closed the connection without an answer");
        }
    };
    let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
    if status.is_success() {
        return Ok(answer);
    }
    let code = answer["errcode"].as_str().unwrap_or("no error code");
    let text = answer["error"].as_str().unwrap_or("no explanation");
    bail!("the server refuses ({status}): {text} ({code})")
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;

    #[test]
    fn the_proof_is_what_other_tools_compute() {
        let password = Zeroizing::new("pass".to_owned());
        let account = Account { name: "alice", password: &password, admin: true };
        // Python: hmac.new(b"complement", b"n\0alice\0pass\0admin", "sha1").hexdigest()
        assert_eq!(mac("complement", "n", &account), EXPECTED);
    }

    const EXPECTED: &str = "88930d92430ec1f7199d23770d1f263cbd8ed629";

    #[test]
    fn a_server_on_every_address_is_asked_on_this_machine() {
        let mut config = Config::default();
        config.server.listen =
            vec!["0.0.0.0:0".parse().expect("ok"), "0.0.0.0:8008".parse().expect("ok")];
        assert_eq!(plain_address(&config).expect("one").to_string(), "127.0.0.1:8008");
        config.server.listen.truncate(1);
        assert!(plain_address(&config).is_err());
    }
}
