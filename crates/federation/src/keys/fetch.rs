//! Asking for keys: the server itself, then those whom the operator trusts for that.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use blaupause_data::{DataError, Write};
use bytes::BytesMut;
use ruma::{
    CanonicalJsonObject, MilliSecondsSinceUnixEpoch, OwnedServerName, ServerName,
    api::{
        OutgoingRequest, OutgoingRequestExt,
        auth_scheme::NoAuthentication,
        federation::discovery::{
            ServerSigningKeys, get_remote_server_keys_batch::v2 as query,
            get_server_keys::v2 as own,
        },
        path_builder::SinglePath,
    },
    serde::Raw,
};

use super::{
    Wanted,
    document::{KeyDocument, verify_by},
    ring::Fetch,
    stored::{ServerKeys, ServerKeysRow, Told},
};
use crate::{CallLimits, Federation, FederationError, request::understood};

/// What asking a server for its keys may take.
const KEYS: CallLimits = CallLimits { time: Duration::from_secs(10), answer_bytes: 64 * 1024 };
/// What asking a notary may take: it may have to ask the others first.
const NOTARY: CallLimits = CallLimits { time: Duration::from_secs(20), answer_bytes: 1024 * 1024 };
/// Servers that a notary is asked about at once.
const NOTARY_SERVERS_MAX: usize = 50;

impl Federation {
    /// Ask a server for its keys, unless that happened a moment ago or happens already. What is
    /// known afterwards.
    ///
    /// # Errors
    /// The store.
    pub(crate) async fn refreshed(
        &self,
        server: &ServerName,
    ) -> Result<Option<Arc<ServerKeys>>, DataError> {
        match self.key_ring().begin(server, self.data().env().now_millis()) {
            Fetch::NotNow => {}
            Fetch::Wait(mut flight) => {
                let _ = flight.changed().await;
            }
            Fetch::Ask(landing) => {
                let (this, name) = (self.clone(), server.to_owned());
                // A task of its own: others wait for it, and whoever began it may go away.
                let fetch = self.data().env().spawn(async move {
                    let told = this.ask_itself(&name).await;
                    this.key_ring().end(&name, told.is_ok());
                    drop(landing);
                    if let Err(error) = told {
                        tracing::debug!(server = %name, %error, "keys cannot be fetched");
                    }
                });
                let _ = fetch.await;
            }
        }
        self.known_keys(server).await
    }

    async fn ask_itself(&self, server: &ServerName) -> Result<(), FederationError> {
        let turns = Arc::clone(&self.key_ring().turns);
        let _turn = turns.acquire_owned().await;
        let answer = self.ask::<own::Request>(server, own::Request::new(), KEYS).await?;
        let document = KeyDocument::read(answer.server_key.json().get(), server)
            .map_err(FederationError::BadAnswer)?;
        self.learn(server, &document, Told::ByItself).await?;
        Ok(())
    }

    /// An unsigned request, also to a server that is in a pause: it may be back, and shows it by
    /// what we want to check now.
    async fn ask<R>(
        &self,
        to: &ServerName,
        request: R,
        limits: CallLimits,
    ) -> Result<R::IncomingResponse, FederationError>
    where
        R: OutgoingRequest<Authentication = NoAuthentication, PathBuilder = SinglePath>,
    {
        self.permits(to)?;
        let request = request
            .try_into_http_request::<BytesMut>("", (), ())
            .map_err(|error| FederationError::BadAnswer(format!("request: {error}")))?;
        understood(&self.exchange(to, request.map(BytesMut::freeze), limits).await?)
    }

    /// Ask notaries about servers that gave no keys, or not the ones that are wanted.
    ///
    /// # Errors
    /// The store.
    pub(crate) async fn ask_notaries(&self, mut wanted: Wanted) -> Result<(), DataError> {
        let notaries = &self.settings().notaries;
        for notary in notaries {
            wanted.retain(|server, _| server != notary);
            if wanted.is_empty() {
                return Ok(());
            }
            match self.ask_notary(notary, &wanted).await {
                Ok(told) => wanted.retain(|server, _| !told.contains(server)),
                Err(FederationError::Data(error)) => return Err(error),
                Err(error) => tracing::debug!(%notary, %error, "the notary does not help"),
            }
        }
        Ok(())
    }

    async fn ask_notary(
        &self,
        notary: &ServerName,
        wanted: &Wanted,
    ) -> Result<BTreeSet<OwnedServerName>, FederationError> {
        let now_ms = self.data().env().now_millis();
        let notary_keys = self.keys_in_use(notary).await?;
        let keys: BTreeMap<_, _> =
            notary_keys.in_use(now_ms).map(|key| (key.id.clone(), key.base64())).collect();
        let criteria = wanted.iter().take(NOTARY_SERVERS_MAX);
        let criteria = criteria.map(|(server, keys)| (server.clone(), criteria_of(keys, now_ms)));
        let request = query::Request::new(criteria.collect());
        let answer = self.ask::<query::Request>(notary, request, NOTARY).await?;
        let mut told = BTreeSet::new();
        for document in answer.server_keys.iter().take(NOTARY_SERVERS_MAX) {
            let Some(server) = server_of(document).filter(|name| wanted.contains_key(name)) else {
                continue;
            };
            let signed = serde_json::from_str::<CanonicalJsonObject>(document.json().get())
                .map_err(|error| error.to_string())
                .and_then(|json| verify_by(&json, notary, keys.clone()));
            let read = signed.and_then(|()| KeyDocument::read(document.json().get(), &server));
            match read {
                Ok(document) => {
                    self.learn(&server, &document, Told::ByNotary).await?;
                    told.insert(server);
                }
                Err(why) => tracing::debug!(%notary, %server, why, "a notary's word is not good"),
            }
        }
        Ok(told)
    }

    /// Keep what a server published.
    async fn learn(
        &self,
        server: &ServerName,
        document: &KeyDocument,
        told: Told,
    ) -> Result<(), DataError> {
        let known = self.known_keys(server).await?;
        let mut keys = known.as_deref().cloned().unwrap_or_default();
        server.as_str().clone_into(&mut keys.server);
        let keys = keys.with(document, told, self.data().env().now_millis());
        let part = self.data().parts().server(server);
        let mut write = Write::new(part);
        write.put::<ServerKeysRow>(part, &(), &keys);
        self.data().commit(write).await?;
        self.key_ring().remember(server, Arc::new(keys));
        Ok(())
    }
}

fn criteria_of(
    keys: &BTreeMap<String, u64>,
    now_ms: u64,
) -> BTreeMap<ruma::OwnedServerSigningKeyId, query::QueryCriteria> {
    let one = |(id, until_ms): (&String, &u64)| {
        let mut criteria = query::QueryCriteria::new();
        // A notary that is asked for keys of the future would have to ask in vain.
        let until = ruma::UInt::new_saturating((*until_ms).min(now_ms));
        criteria.minimum_valid_until_ts = Some(MilliSecondsSinceUnixEpoch(until));
        Some((id.as_str().try_into().ok()?, criteria))
    };
    keys.iter().filter_map(one).collect()
}

fn server_of(document: &Raw<ServerSigningKeys>) -> Option<OwnedServerName> {
    document.get_field("server_name").ok().flatten()
}
