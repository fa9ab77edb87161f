//! The body of a transaction (spec: application service API, "Pushing events"). What is in no
//! version of the specification yet stands under the names of its proposal only: services that
//! read both names would find everything twice.

use std::collections::BTreeMap;

use blaupause_accounts::{AppService, Ephemeral};
use blaupause_data::DataError;
use blaupause_e2ee::E2eeError;
use ruma::{OwnedDeviceId, OwnedUserId};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{Gathered, Services, Told};

#[derive(Serialize)]
struct Body {
    events: Vec<Box<RawValue>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ephemeral: Vec<Box<RawValue>>,
    #[serde(rename = "de.sorunome.msc2409.ephemeral", skip_serializing_if = "Vec::is_empty")]
    old_ephemeral: Vec<Box<RawValue>>,
    #[serde(rename = "de.sorunome.msc2409.to_device", skip_serializing_if = "Vec::is_empty")]
    to_device: Vec<Box<RawValue>>,
    #[serde(rename = "org.matrix.msc3202.device_lists", skip_serializing_if = "Option::is_none")]
    device_lists: Option<DeviceLists>,
    #[serde(
        rename = "org.matrix.msc3202.device_one_time_keys_count",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    one_time: ByDevice<BTreeMap<String, u64>>,
    #[serde(
        rename = "org.matrix.msc3202.device_unused_fallback_key_types",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    fallback: ByDevice<Vec<String>>,
}

#[derive(Serialize)]
struct DeviceLists {
    changed: Vec<OwnedUserId>,
    left: Vec<OwnedUserId>,
}

type ByDevice<T> = BTreeMap<OwnedUserId, BTreeMap<OwnedDeviceId, T>>;

/// Which key counts a client expects to see even if there are none.
const ALWAYS_COUNTED: &str = "signed_curve25519";

impl Services {
    pub(super) async fn body(
        &self,
        service: &AppService,
        told: Told,
    ) -> Result<Gathered, DataError> {
        let mut one_time = ByDevice::new();
        let mut fallback = ByDevice::new();
        for (user, device) in told.counted {
            let counts =
                self.0.e2ee.key_counts(&user, &device).await.map_err(|error| match error {
                    E2eeError::Data(error) => error,
                    other => DataError::Unavailable(other.to_string()),
                })?;
            let mut of_device = counts.one_time.clone();
            of_device.entry(ALWAYS_COUNTED.to_owned()).or_default();
            one_time.entry(user.clone()).or_default().insert(device.clone(), of_device);
            fallback.entry(user).or_default().insert(device, counts.unused_fallback.clone());
        }
        let (ephemeral, old_ephemeral) = match service.ephemeral() {
            Ephemeral::UnderOldName => (Vec::new(), told.ephemeral),
            _ => (told.ephemeral, Vec::new()),
        };
        let lists = DeviceLists {
            changed: told.changed.into_iter().collect(),
            left: told.left.into_iter().collect(),
        };
        let body = Body {
            events: told.events,
            ephemeral,
            old_ephemeral,
            to_device: told.to_device,
            device_lists: (!lists.changed.is_empty() || !lists.left.is_empty()).then_some(lists),
            one_time,
            fallback,
        };
        let body = serde_json::to_string(&body).expect("plain data is JSON");
        Ok(Gathered { body, moved: told.moved })
    }
}
