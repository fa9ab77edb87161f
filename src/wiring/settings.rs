//! Sections of the configuration as the settings of each crate.

use blaupause_accounts as accounts;
use blaupause_api as api;
use serde_json::{Map, json};

use crate::config::{
    Config, CreateRooms, Loaded, MailTls, PasswordRules, Period, Publish, Rate, RegistrationMode,
    Retention, Secret, Size,
};

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
        services: loaded.services.clone(),
        password_login: login.password,
        password_length_min: login.password_length_min,
        password_rules: password_rules(&login.password_rules),
        email_domains: config.mail.domains(),
        email_needed: config.registration.email_needed,
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
    let delayed = &config.delayed_events;
    let limits = blaupause_rooms::DelayLimits {
        delay_ms_max: u64::try_from(delayed.delay_max.duration().as_millis()).unwrap_or(u64::MAX),
        waiting_max: delayed.per_user_max,
    };
    blaupause_rooms::Settings {
        default_version: config.rooms.default_version.clone(),
        delayed: delayed.enabled.then_some(limits),
        notices: config.server_notices.enabled.then(|| blaupause_rooms::NoticeSettings {
            localpart: config.server_notices.localpart.clone(),
            display_name: config.server_notices.display_name.clone(),
            room_name: config.server_notices.room_name.clone(),
        }),
        retention: retention(&config.retention),
        faster_joins: config.federation.faster_joins,
        presence_over_federation: config.presence.federation,
        directory_over_federation: config.directory.public_rooms_over_federation,
    }
}

fn retention(retention: &Retention) -> Option<blaupause_rooms::Retention> {
    let ms = |period: Period| u64::try_from(period.duration().as_millis()).unwrap_or(u64::MAX);
    let limit = |period: Period| Some(ms(period)).filter(|ms| *ms > 0);
    retention.enabled.then(|| blaupause_rooms::Retention {
        default_ms: limit(retention.default_lifetime),
        min_ms: ms(retention.lifetime_min),
        max_ms: limit(retention.lifetime_max),
        pause: retention.sweep_interval.duration(),
    })
}

pub fn outbound(config: &Config) -> blaupause_outbound::OutboundSettings {
    let networks: Vec<String> =
        config.outbound.allowed_networks.iter().map(ToString::to_string).collect();
    let allowed_networks = blaupause_outbound::AllowedNetworks::parse(&networks)
        .expect("the configuration takes only ranges of addresses");
    blaupause_outbound::OutboundSettings {
        allowed_networks,
        extra_ca_file: config.server.extra_ca_file.path().map(Into::into),
        crypto: crate::tls::provider(config.tls.profile),
        ..Default::default()
    }
}

pub fn federation(config: &Config) -> blaupause_federation::Settings {
    blaupause_federation::Settings {
        servers: config.federation.servers(),
        notaries: config.federation.notaries.clone(),
        pauses: blaupause_federation::Pauses {
            min: config.federation.retry_backoff_min.duration(),
            max: config.federation.retry_backoff_max.duration(),
        },
        ..Default::default()
    }
}

pub fn e2ee(config: &Config) -> blaupause_e2ee::Settings {
    blaupause_e2ee::Settings { device_names: config.federation.device_names }
}

pub fn https(config: &Config) -> blaupause_federation::HttpsSettings {
    let federation = &config.federation;
    let networks = federation.allowed_networks.iter().chain(&config.outbound.allowed_networks);
    let mut networks: Vec<String> = networks.map(ToString::to_string).collect();
    if federation.allow_private_addresses {
        networks.extend(["0.0.0.0/0".to_owned(), "::/0".to_owned()]);
    }
    let allowed_networks = blaupause_outbound::AllowedNetworks::parse(&networks)
        .expect("the configuration takes only ranges of addresses");
    let extra = config.server.extra_ca_file.path().filter(|_| federation.trust_system_roots);
    let ca_files = extra.into_iter().chain(federation.ca_file.path()).map(Into::into).collect();
    blaupause_federation::HttpsSettings {
        addresses: federation.places(),
        allowed_networks,
        trust_system_roots: federation.trust_system_roots,
        ca_files,
        identity: federation.identity(),
        crypto: crate::tls::provider(config.tls.profile),
        ..Default::default()
    }
}

pub fn notify(config: &Config) -> blaupause_notify::Settings {
    let push = &config.push;
    blaupause_notify::Settings {
        thread_subscriptions: push.thread_subscriptions,
        encrypted_events: push.encrypted_events,
        legacy_mentions: push.legacy_mentions,
        push: blaupause_notify::PushSettings {
            strip_content: push.strip_content,
            allowed_gateways: push.allowed_gateways.clone(),
            allow_private_addresses: push.allow_private_addresses,
        },
    }
}

pub fn media(config: &Config) -> blaupause_media::Settings {
    let media = &config.media;
    let millis = |period: Period| u64::try_from(period.duration().as_millis()).unwrap_or(u64::MAX);
    blaupause_media::Settings {
        path: media.path.clone(),
        upload_bytes_max: media.upload_size_max.bytes(),
        unused_expires_ms: millis(media.pending_lifetime),
        pending_per_user_max: media.pending_per_user_max,
        thumbnail_source_pixels_max: media.thumbnails.source_pixels_max,
        free_bytes_min: config.storage.free_space_low.bytes(),
    }
}

/// How links are previewed; `None`: they are not.
pub fn previews(config: &Config) -> Option<blaupause_media::PreviewSettings> {
    let preview = &config.url_preview;
    let patterns = |patterns: &[String]| {
        blaupause_media::UrlPatterns::parse(patterns).expect("load() refuses other patterns")
    };
    let bytes = |size: Size| usize::try_from(size.bytes()).unwrap_or(usize::MAX);
    preview.enabled.then(|| blaupause_media::PreviewSettings {
        allow: (!preview.allow.is_empty()).then(|| patterns(&preview.allow)),
        deny: patterns(&preview.deny),
        private_addresses: preview.allow_private_addresses,
        page_bytes_max: bytes(preview.page_size_max),
        image_bytes_max: bytes(preview.image_size_max),
        timeout: preview.timeout.duration(),
        kept_ms: u64::try_from(preview.lifetime.duration().as_millis()).unwrap_or(u64::MAX),
    })
}

pub fn api(loaded: &Loaded) -> api::Settings {
    let config = &loaded.config;
    api::Settings {
        well_known: well_known(config),
        rate_limits: config.rate_limits.enabled.then(|| rate_limits(config)),
        mail: None,
        turn: turn(loaded),
        rtc: (config.rtc.livekit_service_urls.iter())
            .map(|service_url| api::LiveKit { service_url: service_url.clone() })
            .collect(),
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
        trusted_clients: config.login.trusted_clients.clone(),
        legacy_media: config.legacy_media.enabled,
        public_rooms_without_auth: config.directory.public_rooms_without_login,
        account_status: config.directory.account_status,
    }
}

fn turn(loaded: &Loaded) -> Option<api::Turn> {
    let (turn, secrets) = (&loaded.config.turn, &loaded.secrets);
    let shared = secrets.turn_shared.as_ref().map(|shared| api::TurnLogin::Shared(secret(shared)));
    let fixed = turn.username.text().zip(secrets.turn_password.as_ref());
    let login = shared.or_else(|| {
        fixed.map(|(username, password)| api::TurnLogin::Fixed {
            username: username.to_owned(),
            password: secret(password),
        })
    })?;
    let ttl_seconds = turn.lifetime.duration().as_secs();
    let turn = api::Turn { uris: turn.uris.clone(), ttl_seconds, login };
    (!turn.uris.is_empty()).then_some(turn)
}

/// How mail is sent; `None`: it is not.
pub fn mail(loaded: &Loaded, extra_ca: Option<Vec<u8>>) -> Option<blaupause_notify::MailSettings> {
    let (config, mail) = (&loaded.config, &loaded.config.mail);
    let login = mail.username.text().zip(loaded.secrets.mail_password.as_ref());
    Some(blaupause_notify::MailSettings {
        server: mail.server.text()?.to_owned(),
        port: mail.port,
        tls: match mail.tls {
            MailTls::Tls => blaupause_notify::MailTls::Tls,
            MailTls::Starttls => blaupause_notify::MailTls::StartTls,
            MailTls::None => blaupause_notify::MailTls::None,
        },
        login: login.map(|(name, password)| (name.to_owned(), secret(password))),
        from: mail.from.text()?.to_owned(),
        own_name: config.server_name().host().to_owned(),
        extra_ca,
    })
}

fn password_rules(rules: &PasswordRules) -> Option<accounts::PasswordRules> {
    rules.enabled.then_some(accounts::PasswordRules {
        digit: rules.digit,
        lowercase: rules.lowercase,
        uppercase: rules.uppercase,
        symbol: rules.symbol,
    })
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
        delayed_events: limit(&limits.delayed_events),
    }
}
