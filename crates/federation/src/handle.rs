//! The handle.

use std::{
    fmt,
    sync::{Arc, Weak},
};

use blaupause_data::Data;
use blaupause_policy::{FederationMode, ServerPolicy};
use parking_lot::RwLock;
use ruma::ServerName;

use crate::{
    FederationError, Settings, Wire, keys::KeyRing, peers::Peers, profiles::Profiles,
    received::Turns, sender::Sender, wire::NoWire,
};

/// Other servers. Cheap to clone.
#[derive(Clone)]
pub struct Federation(Arc<Inner>);

struct Inner {
    data: Data,
    wire: Arc<dyn Wire>,
    settings: Settings,
    /// The policy in force; the one of the settings is where it began.
    servers: RwLock<Arc<ServerPolicy>>,
    peers: Peers,
    keys: KeyRing,
    sender: Sender,
    turns: Turns,
    profiles: Profiles,
}

impl fmt::Debug for Federation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Federation({:?})", self.mode())
    }
}

impl Federation {
    /// Other servers over this network.
    pub fn new(data: Data, wire: Arc<dyn Wire>, settings: Settings) -> Self {
        let servers = RwLock::new(Arc::new(settings.servers.clone()));
        let (peers, keys) = (Peers::new(settings.pauses), KeyRing::default());
        Self(Arc::new(Inner {
            data,
            wire,
            settings,
            servers,
            peers,
            keys,
            sender: Sender::default(),
            turns: Turns::default(),
            profiles: Profiles::default(),
        }))
    }

    /// Talks to nobody: `federation.mode = "off"`, and tests of one server.
    pub fn off(data: Data) -> Self {
        let settings = Settings { servers: ServerPolicy::off(), ..Settings::default() };
        Self::new(data, Arc::new(NoWire), settings)
    }

    /// Whether this server speaks with any other.
    pub fn is_on(&self) -> bool {
        self.mode() != FederationMode::Off
    }

    fn mode(&self) -> FederationMode {
        self.0.servers.read().mode
    }

    /// May we have anything to do with this server? Always with ourselves.
    ///
    /// # Errors
    /// [`FederationError::Off`], [`FederationError::Denied`].
    pub fn permits(&self, server: &ServerName) -> Result<(), FederationError> {
        let servers = Arc::clone(&self.0.servers.read());
        servers.decide(self.data().server_name(), server).map_err(Into::into)
    }

    /// May we take what people of this server say from others who pass it on?
    ///
    /// # Errors
    /// As [`Federation::permits`].
    pub fn hears(&self, server: &ServerName) -> Result<(), FederationError> {
        self.servers().hears(self.data().server_name(), server).map_err(Into::into)
    }

    /// The policy in force.
    pub fn servers(&self) -> Arc<ServerPolicy> {
        Arc::clone(&self.0.servers.read())
    }

    /// Another policy from now on. Switching federation on or off takes a new start: the mode
    /// [`FederationMode::Off`] is neither left nor entered here.
    pub fn set_servers(&self, servers: ServerPolicy) {
        let mut now = self.0.servers.write();
        let off = |policy: &ServerPolicy| policy.mode == FederationMode::Off;
        if off(&now) == off(&servers) {
            *now = Arc::new(servers);
        }
    }

    pub(crate) fn data(&self) -> &Data {
        &self.0.data
    }

    pub(crate) fn wire(&self) -> &dyn Wire {
        &*self.0.wire
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.0.settings
    }

    pub(crate) fn peers(&self) -> &Peers {
        &self.0.peers
    }

    pub(crate) fn profiles(&self) -> &Profiles {
        &self.0.profiles
    }

    pub(crate) fn turns(&self) -> &Turns {
        &self.0.turns
    }

    pub(crate) fn sender(&self) -> &Sender {
        &self.0.sender
    }

    /// For callbacks that must not keep the handle alive.
    pub(crate) fn downgrade(&self) -> WeakFederation {
        WeakFederation(Arc::downgrade(&self.0))
    }

    pub(crate) fn key_ring(&self) -> &KeyRing {
        &self.0.keys
    }
}

/// A [`Federation`] as long as somebody holds it.
#[derive(Clone)]
pub(crate) struct WeakFederation(Weak<Inner>);

impl WeakFederation {
    pub(crate) fn upgrade(&self) -> Option<Federation> {
        self.0.upgrade().map(Federation)
    }
}
