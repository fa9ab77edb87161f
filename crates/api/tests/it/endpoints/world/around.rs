//! What stands around the server: a mail relay, an application service, a website, an identity
//! provider.

use blaupause_media::PreviewSettings;
use blaupause_outbound::{AllowedNetworks, OutboundSettings};
use blaupause_sso::Settings as SsoSettings;
use blaupause_store::MemStore;
use http::Method;
use serde_json::{Value, json};

use crate::{
    appservice::fake::{AS_TOKEN, Fake, services},
    browser::Browser,
    oauth, previews,
    provider::Provider,
    relay::Relay,
    server::{More, Server, full_rooms, full_settings},
    sso,
};

pub struct Around {
    relay: Relay,
    service: Fake,
    site: String,
    /// Where it is asked for: with one, signing in looks different.
    provider: Option<Provider>,
}

impl Around {
    pub async fn new(with_provider: bool) -> Self {
        let service = Fake::start().await;
        let protocol = json!({
            "user_fields": ["nick"], "location_fields": ["channel"], "icon": "mxc://example.org/a",
            "field_types": { "nick": { "regexp": "[a-z]+", "placeholder": "nick" } },
            "instances": [{ "desc": "Libera", "fields": {}, "network_id": "libera" }],
        });
        let place = json!([{ "alias": "#_b_a:example.org", "protocol": "irc", "fields": {} }]);
        let user = json!([{ "userid": "@_b_a:example.org", "protocol": "irc", "fields": {} }]);
        for (path, answer) in [
            ("protocol/irc", protocol),
            ("location/irc?channel=a", place),
            ("user/irc?nick=a", user),
        ] {
            let path = format!("/_matrix/app/v1/thirdparty/{path}");
            service.answers(Method::GET, &path, 200, answer);
        }
        service.answers(Method::POST, "/_matrix/app/v1/ping", 200, json!({}));
        let provider = if with_provider { Some(Provider::start().await) } else { None };
        let (site, _) = previews::site().await;
        Self { relay: Relay::new().await, service, site, provider }
    }

    /// A server with everything that can be switched on, to which all this is known.
    pub async fn server(&self) -> Server {
        let (mut accounts, mut api, notify) = full_settings();
        accounts.services = services(vec![self.service.registration()]);
        api.mail = Some(self.relay.proofs());
        let allowed_networks = AllowedNetworks::parse(&["127.0.0.1"]).expect("a network");
        let outbound = OutboundSettings { allowed_networks, ..Default::default() };
        let providers = self.provider.iter().map(sso::provider_settings).collect();
        let more = More {
            previews: Some((PreviewSettings::default(), outbound)),
            sso: SsoSettings { base_url: sso::BASE.to_owned(), providers, jwt: None },
            rooms: full_rooms(),
            ..More::default()
        };
        Server::over_with(MemStore::new(), accounts, api, notify, more).await
    }

    /// Names for requests.
    pub fn names(&self) -> [(&'static str, String); 4] {
        let page = format!("{}/page", self.site);
        [
            ("service_token", AS_TOKEN.to_owned()),
            ("page", url::form_urlencoded::byte_serialize(page.as_bytes()).collect()),
            ("verifier", oauth::VERIFIER.to_owned()),
            (
                "redirect_uri",
                url::form_urlencoded::byte_serialize(oauth::REDIRECT.as_bytes()).collect(),
            ),
        ]
    }

    /// The reader of the mail of a number follows its link and agrees.
    pub async fn confirm(&self, server: &Server, mails: &Value) {
        let mails = mails.as_u64().and_then(|mails| usize::try_from(mails).ok()).expect("a number");
        let link = self.relay.last(mails).await.link();
        Browser::new(server).submit(&link, &[]).await.has("Confirmed");
    }
}
