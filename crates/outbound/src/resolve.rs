//! Names to addresses, only allowed ones.

use std::net::SocketAddr;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::AllowedNetworks;

/// A name or address that leads into a network that is not public.
#[derive(Debug, thiserror::Error)]
#[error("{0} is not in a public network")]
pub(crate) struct NotAllowed(pub String);

/// The system's resolver, without addresses that are not allowed. The connection goes to what is
/// given here: there is no second look-up that could answer something else.
pub(crate) struct Filtered(pub AllowedNetworks);

impl Resolve for Filtered {
    fn resolve(&self, name: Name) -> Resolving {
        let allowed = self.0.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let addresses: Vec<SocketAddr> =
                found.filter(|address| allowed.allow(address.ip())).collect();
            if addresses.is_empty() {
                return Err(NotAllowed(name.as_str().to_owned()).into());
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}
