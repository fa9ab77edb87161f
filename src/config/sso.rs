//! `[[login.oidc]]` and `[login.jwt]`: people who sign in elsewhere.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use blaupause_accounts::Secret;
use blaupause_sso::{
    self as sso, Algorithm, AlgorithmFamily, Condition, Keys, PUBLIC_ALGORITHMS, SigningKey,
    Template, VerifyingKey,
};
use serde::{Deserialize, Serialize};
use url::Url;

use super::{Findings, Maybe, secrets::read_file};

const OIDC: &str = "login.oidc";
const JWT: &str = "login.jwt";
/// Bytes of an issuer: it is a part of keys in the database.
const ISSUER_BYTES_MAX: usize = 500;
/// Bytes of a provider's id.
const ID_BYTES_MAX: usize = 32;

/// An identity provider (OpenID Connect).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Oidc {
    pub id: String,
    pub name: String,
    pub issuer: String,
    pub client_id: String,
    #[serde(default)]
    pub client_auth: ClientAuth,
    #[serde(default)]
    pub client_secret_file: Maybe<PathBuf>,
    /// PEM, PKCS#8; RSA or P-256.
    #[serde(default)]
    pub private_key_file: Maybe<PathBuf>,
    #[serde(default)]
    pub private_key_id: Maybe<String>,
    #[serde(default = "scopes")]
    pub scopes: Vec<String>,
    #[serde(default = "algorithms")]
    pub algorithms: Vec<String>,
    #[serde(default)]
    pub userinfo: bool,
    #[serde(default = "localpart")]
    pub localpart: String,
    #[serde(default = "display_name")]
    pub display_name: String,
    #[serde(default = "yes")]
    pub renew_display_name: bool,
    #[serde(default)]
    pub email: Maybe<String>,
    #[serde(default)]
    pub allow_claim: Maybe<String>,
    #[serde(default)]
    pub allow_values: Vec<String>,
    #[serde(default = "yes")]
    pub register: bool,
    #[serde(default)]
    pub link: bool,
    #[serde(default)]
    pub backchannel_logout: BackchannelLogout,
}

/// How the server says to the provider who it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    #[default]
    ClientSecretBasic,
    ClientSecretPost,
    PrivateKeyJwt,
    None,
}

/// What ends when the provider says that somebody signed out there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackchannelLogout {
    #[default]
    Sessions,
    Browsers,
}

fn scopes() -> Vec<String> {
    vec!["profile".to_owned(), "email".to_owned()]
}

fn algorithms() -> Vec<String> {
    ["RS256", "PS256", "ES256", "ES384", "EdDSA"].map(ToOwned::to_owned).to_vec()
}

fn localpart() -> String {
    "{preferred_username}".to_owned()
}

fn display_name() -> String {
    "{name}".to_owned()
}

fn yes() -> bool {
    true
}

/// Tokens that another system of the operator signs (`org.matrix.login.jwt`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Jwt {
    pub enabled: bool,
    pub algorithm: String,
    /// The secret (HS…), a public key (PEM), or a JWK set.
    pub key_file: Maybe<PathBuf>,
    pub issuer: Maybe<String>,
    pub audiences: Vec<String>,
    pub localpart: String,
    pub display_name: Maybe<String>,
    pub register: bool,
}

impl Default for Jwt {
    fn default() -> Self {
        Self {
            enabled: false,
            algorithm: "RS256".to_owned(),
            key_file: Maybe::none(),
            issuer: Maybe::none(),
            audiences: Vec::new(),
            localpart: "{sub}".to_owned(),
            display_name: Maybe::none(),
            register: true,
        }
    }
}

/// Read what the sections name and make the domain's settings of it.
pub(super) fn read(
    oidc: &[Oidc],
    jwt: &Jwt,
    base_url: Option<&str>,
    found: &mut Findings,
) -> sso::Settings {
    let mut ids = BTreeSet::new();
    let mut issuers = BTreeSet::new();
    for provider in oidc {
        if !ids.insert(&provider.id) {
            found.error(OIDC, format!("two providers have the id \"{}\"", provider.id));
        }
        if !issuers.insert(&provider.issuer) {
            found.error(OIDC, format!("two providers have the issuer \"{}\"", provider.issuer));
        }
    }
    check_base_url(oidc, base_url, found);
    sso::Settings {
        base_url: base_url.unwrap_or_default().trim_end_matches('/').to_owned(),
        providers: oidc.iter().filter_map(|provider| provider.read(found)).collect(),
        jwt: jwt.read(found),
    }
}

fn check_base_url(oidc: &[Oidc], base_url: Option<&str>, found: &mut Findings) {
    if oidc.is_empty() {
        return;
    }
    let Some(base_url) = base_url else {
        return found.error(OIDC, "needs server.public_base_url: people come back there");
    };
    let rest = base_url.split_once("://").map_or("", |(_, rest)| rest);
    if rest.trim_end_matches('/').contains(['/', '?', '#']) {
        let text = "must not have a path, because login.oidc puts pages at /account/";
        found.error("server.public_base_url", text);
    }
}

impl Oidc {
    fn read(&self, found: &mut Findings) -> Option<sso::Provider> {
        let before = found.errors.len();
        let id = &self.id;
        let mut bad = |text: String| found.error(OIDC, format!("\"{id}\": {text}"));
        self.check_names(&mut bad);
        let algorithms = self.algorithms(&mut bad);
        let localpart = template("localpart", &self.localpart, &mut bad);
        let display_name = match self.display_name.as_str() {
            "" => None,
            text => template("display_name", text, &mut bad),
        };
        let email = self.email.text().and_then(|text| template("email", text, &mut bad));
        let allow = self
            .allow_claim
            .text()
            .map(|claim| Condition { claim: claim.to_owned(), one_of: self.allow_values.clone() });
        if allow.is_some() == self.allow_values.is_empty() {
            bad("allow_claim and allow_values go together".to_owned());
        }
        let client_auth = self.client_auth(found);
        if found.errors.len() > before {
            return None;
        }
        Some(sso::Provider {
            id: self.id.clone(),
            name: self.name.clone(),
            issuer: self.issuer.clone(),
            client_id: self.client_id.clone(),
            client_auth: client_auth?,
            scopes: self.scopes.clone(),
            algorithms,
            userinfo: self.userinfo,
            mapping: sso::Mapping {
                localpart: localpart?,
                display_name,
                renew_display_name: self.renew_display_name,
                email,
            },
            allow,
            newcomers: sso::Newcomers { register: self.register, link: self.link },
            on_logout: match self.backchannel_logout {
                BackchannelLogout::Sessions => sso::OnLogout::Everything,
                BackchannelLogout::Browsers => sso::OnLogout::Browsers,
            },
        })
    }

    fn check_names(&self, bad: &mut impl FnMut(String)) {
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
        if self.id.is_empty() || self.id.len() > ID_BYTES_MAX || !self.id.bytes().all(is_plain) {
            bad(format!("id must have 1 to {ID_BYTES_MAX} of A-Z a-z 0-9 - _"));
        }
        if self.name.trim().is_empty() {
            bad("name must not be empty: people read it".to_owned());
        }
        if self.client_id.is_empty() {
            bad("client_id must not be empty".to_owned());
        }
        let issuer = Url::parse(&self.issuer).ok();
        let is_ok = issuer.as_ref().is_some_and(|issuer| {
            matches!(issuer.scheme(), "https" | "http")
                && issuer.query().is_none()
                && issuer.fragment().is_none()
        });
        if !is_ok || self.issuer.len() > ISSUER_BYTES_MAX {
            bad("issuer must be an address such as \"https://sso.example.org/realms/amt\""
                .to_owned());
        } else if self.issuer.starts_with("http:") {
            let is_here = issuer.as_ref().and_then(Url::host_str);
            if !matches!(is_here, Some("localhost" | "127.0.0.1" | "[::1]")) {
                bad("issuer must be on HTTPS: whoever is between could be anybody".to_owned());
            }
        }
        if self.scopes.iter().any(|scope| scope.is_empty() || scope.contains(char::is_whitespace)) {
            bad("scopes must be words".to_owned());
        }
    }

    fn algorithms(&self, bad: &mut impl FnMut(String)) -> Vec<Algorithm> {
        let parsed: Vec<Algorithm> =
            self.algorithms.iter().filter_map(|name| name.parse().ok()).collect();
        let is_public = parsed.iter().all(|algorithm| PUBLIC_ALGORITHMS.contains(algorithm));
        if parsed.is_empty() || parsed.len() != self.algorithms.len() || !is_public {
            bad(format!("algorithms must be some of {PUBLIC_ALGORITHMS:?}"));
        }
        parsed
    }

    fn client_auth(&self, found: &mut Findings) -> Option<sso::ClientAuth> {
        let mut file = |name: &str, path: Option<&Path>| {
            let Some(path) = path else {
                found.error(OIDC, format!("\"{}\": {name} must be set", self.id));
                return None;
            };
            read_file(OIDC, path, found)
        };
        let secret = |text: super::Secret| Secret::new(text.reveal().to_owned());
        match self.client_auth {
            ClientAuth::None => Some(sso::ClientAuth::None),
            ClientAuth::ClientSecretBasic => {
                let text = file("client_secret_file", self.client_secret_file.path())?;
                Some(sso::ClientAuth::Basic(secret(text)))
            }
            ClientAuth::ClientSecretPost => {
                let text = file("client_secret_file", self.client_secret_file.path())?;
                Some(sso::ClientAuth::Post(secret(text)))
            }
            ClientAuth::PrivateKeyJwt => {
                let text = file("private_key_file", self.private_key_file.path())?;
                let id = self.private_key_id.text().map(ToOwned::to_owned);
                match SigningKey::from_pem(text.reveal(), id) {
                    Ok(key) => Some(sso::ClientAuth::PrivateKey(key)),
                    Err(error) => {
                        found.error(OIDC, format!("\"{}\": private_key_file {error}", self.id));
                        None
                    }
                }
            }
        }
    }
}

impl Jwt {
    fn read(&self, found: &mut Findings) -> Option<sso::JwtLogin> {
        if !self.enabled {
            return None;
        }
        let Ok(algorithm) = self.algorithm.parse::<Algorithm>() else {
            let text = format!("`{}` is not an algorithm such as RS256 or HS256", self.algorithm);
            found.error("login.jwt.algorithm", text);
            return None;
        };
        let Some(file) = self.key_file.path() else {
            found.error("login.jwt.key_file", "must be set, because login.jwt.enabled is true");
            return None;
        };
        let keys = if algorithm.family() == AlgorithmFamily::Hmac {
            let text = read_file("login.jwt.key_file", file, found)?;
            Keys::one(VerifyingKey::secret(text.reveal().as_bytes()))
        } else {
            match public_keys(file) {
                Ok(keys) => keys,
                Err(text) => {
                    found.error("login.jwt.key_file", text);
                    return None;
                }
            }
        };
        if self.issuer.text().is_none() || self.audiences.is_empty() {
            let text = "takes every token that the key signed: set issuer and audiences, too";
            found.warn(JWT, text);
        }
        let mut bad = |text: String| found.error(JWT, text);
        let localpart = template("localpart", &self.localpart, &mut bad)?;
        let display_name = match self.display_name.text() {
            Some(text) => Some(template("display_name", text, &mut bad)?),
            None => None,
        };
        Some(sso::JwtLogin {
            algorithm,
            keys: Arc::new(keys),
            issuer: self.issuer.text().map(ToOwned::to_owned),
            audiences: self.audiences.clone(),
            localpart,
            display_name,
            register: self.register,
        })
    }
}

/// A PEM file or a JWK set.
fn public_keys(file: &Path) -> Result<Keys, String> {
    let text = fs::read_to_string(file)
        .map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    let wrong = |error: &dyn std::fmt::Display| format!("{} {error}", file.display());
    let keys = match serde_json::from_str(&text) {
        Ok(document) => Keys::from_jwks(&document).map_err(|error| wrong(&error))?,
        Err(_) => Keys::one(VerifyingKey::from_pem(&text).map_err(|error| wrong(&error))?),
    };
    if keys.is_empty() { Err(wrong(&"holds no key for signatures")) } else { Ok(keys) }
}

fn template(key: &str, text: &str, bad: &mut impl FnMut(String)) -> Option<Template> {
    match text.parse() {
        Ok(template) => Some(template),
        Err(why) => {
            bad(format!("{key}: {why}"));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Loaded, Source, parse};

    const BASE: &str = "[server]\nname = \"a.org\"\npublic_base_url = \"https://matrix.a.org/\"\n";

    fn load(text: &str) -> Result<Loaded, String> {
        let text = format!("{BASE}{text}");
        parse(&Source { file: Path::new("b.toml"), text: &text }).map_err(|error| error.to_string())
    }

    fn provider(folder: &Path, more: &str) -> String {
        let secret = folder.join("secret");
        std::fs::write(&secret, "of some length, surely\n").expect("written");
        format!(
            "[[login.oidc]]\nid = \"kc\"\nname = \"Amt\"\nissuer = \"https://sso.a.org/realms/x\"\n\
             client_id = \"matrix\"\nclient_secret_file = \"{}\"\n{more}\n",
            secret.display()
        )
    }

    #[test]
    fn a_provider_needs_five_keys_and_has_good_defaults() {
        let folder = tempfile::tempdir().expect("a folder");
        let loaded = load(&provider(folder.path(), "")).expect("it is right");
        assert_eq!(loaded.sso.base_url, "https://matrix.a.org");
        let one = &loaded.sso.providers[0];
        assert_eq!((one.id.as_str(), one.scopes.join(" ").as_str()), ("kc", "profile email"));
        assert!(one.newcomers.register && !one.newcomers.link && one.allow.is_none());
        assert!(matches!(&one.client_auth, blaupause_sso::ClientAuth::Basic(secret)
            if secret.reveal() == "of some length, surely"));
    }

    #[test]
    fn each_wrong_key_of_a_provider_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let good = provider(folder.path(), "");
        for (from, to, said) in [
            ("id = \"kc\"", "id = \"k c\"", "id must have"),
            ("https://sso", "http://sso", "issuer must be on HTTPS"),
            ("https://sso.a.org", "sso.a.org", "issuer must be an address"),
            ("client_secret_file", "private_key_file", "client_secret_file must be set"),
            ("/secret\"", "/nothing\"", "cannot read"),
            ("name = \"Amt\"", "name = \"Amt\"\nlocalpart = \"{\"", "localpart"),
            ("name = \"Amt\"", "name = \"Amt\"\nalgorithms = [\"none\"]", "algorithms must be"),
            ("name = \"Amt\"", "name = \"Amt\"\nalgorithms = [\"HS256\"]", "algorithms must be"),
            ("name = \"Amt\"", "name = \"Amt\"\nallow_claim = \"x\"", "go together"),
            ("name = \"Amt\"", "name = \"Amt\"\nscopes = [\"a b\"]", "scopes must be words"),
            (
                "name = \"Amt\"",
                "name = \"Amt\"\nclient_auth = \"private_key_jwt\"",
                "private_key_file",
            ),
            ("client_id", "client", "client"),
        ] {
            let error = load(&good.replacen(from, to, 1)).expect_err(to);
            assert!(error.contains(said) && error.contains("login.oidc"), "{to}: {error}");
        }
        let error = load(&format!("{good}{good}")).expect_err("twice");
        assert!(error.contains("two providers have the id"), "{error}");
        let text = good.replacen("[[login", "[login]\nx = 1\n[[login", 1);
        assert!(load(&text).is_err());
    }

    #[test]
    fn tokens_of_another_system_need_a_key_of_their_kind() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("key");
        let text = |algorithm: &str| {
            let file = file.display();
            format!(
                "[login.jwt]\nenabled = true\nalgorithm = \"{algorithm}\"\nkey_file = \"{file}\"\n\
                 issuer = \"x\"\naudiences = [\"y\"]\n"
            )
        };
        assert!(load(&text("RS256")).expect_err("no file").contains("login.jwt.key_file"));
        std::fs::write(&file, "a secret of some length").expect("written");
        assert!(load(&text("RS256")).expect_err("no public key").contains("login.jwt.key_file"));
        assert!(load(&text("none")).expect_err("none").contains("login.jwt.algorithm"));
        assert!(load(&text("HS256")).expect("a secret").sso.jwt.is_some());
        let off = text("HS256").replace("true", "false");
        assert!(load(&off).expect("off").sso.jwt.is_none());
    }
}
