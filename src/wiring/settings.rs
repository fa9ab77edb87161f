//! Sections of the configuration as the settings of each crate.

use blaupause_accounts as accounts;
use blaupause_api as api;
use serde_json::{Map, json};

use crate::config::{Config, CreateRooms, Loaded, Publish, Rate, RegistrationMode, Secret};

fn secret(secret: &Secret) -> accounts::Secret {
    accounts::Secret::new(secret.reveal().to_owned())
}

pub fn accounts(loaded: &Loaded) -> accounts::Settings {
    let (config, secrets) = (&loaded.config, &loaded.secrets);
    let login = &config.login;
    let refresh = login.refresh_token_lifetime.duration();
    accounts::Settings {
        registration: match config.registration.mode {
            RegistrationMode::Closed => accounts::RegistrationMode::Closed,
            RegistrationMode::Token => accounts::RegistrationMode::Token,
            RegistrationMode::Open => accounts::RegistrationMode::Open,
        },
        registration_tokens: secrets.registration_tokens.iter().map(secret).collect(),
        registration_shared_secret: secrets.registration_shared.as_ref().map(secret),
        guests: config.registration.guests,
        reserved_names: accounts::ReservedNames::default(),
        password_login: login.password,
        password_length_min: login.password_length_min,
        argon2: accounts::Argon2Cost {
            memory_kib: u32::try_from(login.argon2.memory.bytes() / 1024).unwrap_or(u32::MAX),
            passes: login.argon2.passes,
            lanes: login.argon2.lanes,
        },
        failed_logins: config.rate_limits.enabled.then_some(accounts::FailedLogins {
            per_second: config.rate_limits.login_failed.per_second,
            burst: config.rate_limits.login_failed.burst,
        }),
        access_token_lifetime: login.access_token_lifetime.duration(),
        refresh_token_lifetime: (!refresh.is_zero()).then_some(refresh),
        presence: config.presence.enabled,
        search_all_users: config.directory.search_all_users,
    }
}

pub fn rooms(config: &Config) -> blaupause_rooms::Settings {
    blaupause_rooms::Settings { default_version: config.rooms.default_version.clone() }
}

pub fn notify(config: &Config) -> blaupause_notify::Settings {
    blaupause_notify::Settings { thread_subscriptions: config.push.thread_subscriptions }
}

pub fn media(config: &Config) -> blaupause_media::Settings {
    let media = &config.media;
    let millis = |period: crate::config::Period| {
        u64::try_from(period.duration().as_millis()).unwrap_or(u64::MAX)
    };
    blaupause_media::Settings {
        path: media.path.clone(),
        upload_bytes_max: media.upload_size_max.bytes(),
        unused_expires_ms: millis(media.pending_lifetime),
        pending_per_user_max: media.pending_per_user_max,
        thumbnail_source_pixels_max: media.thumbnails.source_pixels_max,
        free_bytes_min: config.storage.free_space_low.bytes(),
    }
}

pub fn api(loaded: &Loaded) -> api::Settings {
    let config = &loaded.config;
    let turn = loaded.secrets.turn_shared.as_ref().map(|shared| api::Turn {
        uris: config.turn.uris.clone(),
        ttl_seconds: config.turn.lifetime.duration().as_secs(),
        secret: secret(shared),
    });
    api::Settings {
        well_known: well_known(config),
        rate_limits: config.rate_limits.enabled.then(|| rate_limits(config)),
        turn: turn.filter(|turn| !turn.uris.is_empty()),
        rtc: config.rtc.livekit_service_urls.iter().map(livekit).collect(),
        create_rooms: match config.policy.create_rooms {
            CreateRooms::Everyone => api::Who::Everyone,
            CreateRooms::Admins => api::Who::Admins,
        },
        publish_rooms: match config.directory.publish {
            Publish::Everyone => api::Who::Everyone,
            Publish::Admins => api::Who::Admins,
            Publish::Nobody => api::Who::Nobody,
        },
        oauth: oauth(config),
        federation_off: !config.federation.enabled,
        legacy_media: config.legacy_media.enabled,
        public_rooms_without_auth: config.directory.public_rooms_without_login,
    }
}

#[expect(clippy::ptr_arg, reason = "mapped over a list of strings")]
fn livekit(service_url: &String) -> api::LiveKit {
    api::LiveKit { service_url: service_url.clone() }
}

fn oauth(config: &Config) -> Option<api::OAuth> {
    let base_url = config.server.public_base_url.text().filter(|_| config.oauth.enabled)?;
    Some(api::OAuth { base_url: base_url.trim_end_matches('/').to_owned() })
}

fn well_known(config: &Config) -> api::WellKnown {
    let known = &config.well_known;
    let base_url = known.client.text().or(config.server.public_base_url.text());
    let contact = known
        .support_email
        .text()
        .map(|email| json!([{ "role": "m.role.admin", "email_address": email }]));
    let page = known.support_page.text();
    let support = (contact.is_some() || page.is_some()).then(|| {
        let mut document = Map::new();
        document.extend(contact.map(|contacts| ("contacts".to_owned(), contacts)));
        document.extend(page.map(|page| ("support_page".to_owned(), json!(page))));
        document.into()
    });
    api::WellKnown {
        client_base_url: base_url.map(ToOwned::to_owned),
        server: known.server.get().map(ToString::to_string),
        support,
        client_extra: Map::new(),
    }
}

fn rate_limits(config: &Config) -> api::RateLimits {
    let limits = &config.rate_limits;
    let limit =
        |rate: &Rate| api::RateLimit { per_second: rate.per_second, burst: f64::from(rate.burst) };
    api::RateLimits {
        message: limit(&limits.message),
        login: limit(&limits.login),
        login_failed: limit(&limits.login_failed_address),
        registration: limit(&limits.registration),
        join: limit(&limits.join),
        invite: limit(&limits.invite),
        room_creation: limit(&limits.room_creation),
        presence: limit(&limits.presence),
        user_directory: limit(&limits.user_directory),
        media_upload: limit(&limits.media_upload),
        unknown_token: limit(&limits.unknown_token),
    }
}
