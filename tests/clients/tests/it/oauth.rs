//! Signing in with OAuth 2.0, as Element X does. What the person does in the browser is done here
//! with the library's own HTTP client.

use std::{collections::BTreeMap, sync::Mutex, sync::PoisonError};

use anyhow::{Context, Result, ensure};
use blaupause_clients::{PASSWORD, Person, scenario, until};
use matrix_sdk::{
    Client,
    authentication::oauth::registration::{
        ApplicationType, ClientMetadata, Localized, OAuthGrantType,
    },
    encryption::CrossSigningResetAuthType,
    reqwest::{self, Url, header, redirect::Policy},
    ruma::serde::Raw,
};

const REDIRECT: &str = "org.example.client:/callback";

/// Keeps cookies, follows redirects on the server, sends forms as they stand on a page.
struct Browser {
    http: reqwest::Client,
    cookies: Mutex<BTreeMap<String, String>>,
}

struct Page {
    url: Url,
    html: String,
}

impl Browser {
    fn new() -> Result<Self> {
        let http = reqwest::Client::builder().redirect(Policy::none());
        let http = http.tls_danger_accept_invalid_certs(true).build()?;
        Ok(Self { http, cookies: Mutex::default() })
    }

    /// Open an address or send a form; a redirect to elsewhere is not followed but answered.
    async fn open(&self, url: &Url, form: Option<String>) -> Result<Page> {
        let (mut url, mut form) = (url.clone(), form);
        for _ in 0..10 {
            let mut request = match form.take() {
                Some(form) => self
                    .http
                    .post(url.clone())
                    .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                    .body(form),
                None => self.http.get(url.clone()),
            };
            let cookies: Vec<_> =
                self.jar().iter().map(|(name, value)| format!("{name}={value}")).collect();
            request = request.header(header::COOKIE, cookies.join("; "));
            let answer = request.header(header::ACCEPT_LANGUAGE, "en").send().await?;
            for line in answer.headers().get_all(header::SET_COOKIE) {
                let pair = line.to_str()?.split(';').next().and_then(|pair| pair.split_once('='));
                let (name, value) = pair.context("a cookie")?;
                self.jar().insert(name.to_owned(), value.to_owned());
            }
            let Some(location) = answer.headers().get(header::LOCATION) else {
                return Ok(Page { url, html: answer.text().await? });
            };
            let next = url.join(location.to_str()?)?;
            if next.scheme() != "https" {
                return Ok(Page { url: next, html: String::new() });
            }
            url = next;
        }
        anyhow::bail!("redirected in circles")
    }

    fn jar(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, String>> {
        self.cookies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Send the first form of a page.
    async fn send(&self, page: &Page, fields: &[(&str, &str)]) -> Result<Page> {
        let action = between(&page.html, "<form method=\"post\" action=\"", "\"")?;
        let word = between(&page.html, "name=\"word\" value=\"", "\"")?;
        let fields = fields.iter().copied().chain([("word", word)]);
        let encoded = Url::parse_with_params("http://localhost/", fields)?;
        let form = encoded.query().unwrap_or_default().to_owned();
        self.open(&page.url.join(&action.replace("&amp;", "&"))?, Some(form)).await
    }

    async fn sign_in(&self, page: &Page, name: &str) -> Result<Page> {
        ensure!(page.url.path() == "/account/login", "{}", page.url);
        self.send(page, &[("name", name), ("password", PASSWORD)]).await
    }
}

fn between<'t>(text: &'t str, start: &str, end: &str) -> Result<&'t str> {
    let (_, rest) = text.split_once(start).with_context(|| format!("no {start} in {text}"))?;
    Ok(rest.split(end).next().unwrap_or_default())
}

/// A client that knows no password.
async fn client(url: &str) -> Result<Client> {
    let client = Client::builder().homeserver_url(url).disable_ssl_verification();
    Ok(client.handle_refresh_tokens().build().await?)
}

fn metadata() -> Result<Raw<ClientMetadata>> {
    let redirect_uris = vec![Url::parse(REDIRECT)?];
    let mut metadata = ClientMetadata::new(
        ApplicationType::Native,
        vec![OAuthGrantType::AuthorizationCode { redirect_uris }, OAuthGrantType::DeviceCode],
        Localized::new(Url::parse("https://client.example.org/")?, []),
    );
    metadata.client_name = Some(Localized::new("Element X".to_owned(), []));
    Ok(Raw::new(&metadata)?)
}

/// Sign in, with somebody at the browser.
async fn sign_in(client: &Client, browser: &Browser, name: &str) -> Result<()> {
    let oauth = client.oauth();
    let login = oauth.login(Url::parse(REDIRECT)?, None, Some(metadata()?.into()), None);
    let authorization = login.build().await?;
    let login = browser.open(&authorization.url, None).await?;
    let consent = browser.sign_in(&login, name).await?;
    ensure!(consent.html.contains("Element X"), "{}", consent.html);
    let back = browser.send(&consent, &[("decision", "allow")]).await?;
    ensure!(back.url.as_str().starts_with(REDIRECT), "{}", back.url);
    oauth.finish_login(back.url.into()).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_signs_in_refreshes_and_signs_out() {
    scenario(async |server| {
        let url = server.restart_with_oauth().await?;
        let alice = Person::new(server, "alice").await?;
        let client = client(&url).await?;
        sign_in(&client, &Browser::new()?, "alice").await?;
        let who = client.whoami().await?;
        assert_eq!(who.user_id, alice.id());
        assert_eq!(who.device_id.as_deref(), client.device_id());
        let devices = alice.client.devices().await?.devices;
        let names: Vec<_> =
            devices.iter().filter_map(|device| device.display_name.as_deref()).collect();
        assert!(names.contains(&"Element X"), "{names:?}");
        let before = client.session_tokens().context("signed in")?;
        client.refresh_access_token().await?;
        let after = client.session_tokens().context("signed in")?;
        assert_ne!(before.access_token, after.access_token);
        assert_eq!(client.whoami().await?.user_id, alice.id());
        client.logout().await?;
        // The library tries to refresh first, so its error is not the server's.
        ensure!(client.whoami().await.is_err(), "the access token lives");
        let devices = alice.client.devices().await?.devices;
        ensure!(devices.len() == 1, "{devices:?}");
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_identity_is_reset_after_the_person_allowed_it() {
    scenario(async |server| {
        let url = server.restart_with_oauth().await?;
        // The identity that is reset: this device makes it.
        let alice = Person::new(server, "alice").await?;
        until("alice has an identity", async || {
            let id = alice.id();
            alice.client.encryption().request_user_identity(&id).await.ok()?.map(drop)
        })
        .await?;
        let (client, browser) = (client(&url).await?, Browser::new()?);
        sign_in(&client, &browser, "alice").await?;
        let encryption = client.encryption();
        encryption.wait_for_e2ee_initialization_tasks().await;
        let handle = encryption.reset_cross_signing().await?.context("it must be allowed first")?;
        let CrossSigningResetAuthType::OAuth(info) = handle.auth_type() else {
            anyhow::bail!("the server asks for something else than the page");
        };
        let page = browser.open(&info.approval_url, None).await?;
        ensure!(page.url.path() == "/account/cross-signing", "{}", page.url);
        let done = browser.send(&page, &[("password", PASSWORD)]).await?;
        ensure!(done.html.contains("Reset allowed"), "{}", done.html);
        handle.auth(None).await?;
        Ok(())
    })
    .await;
}
