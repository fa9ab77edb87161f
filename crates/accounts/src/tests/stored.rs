//! The bytes of this crate's rows.

use std::collections::BTreeMap;

use blaupause_data::conformance::{Any, Catalogue};

use crate::{
    ApplicationKind, ClientMetadata, ProofPurpose,
    email::rows::{
        AddressOwnerRow, AddressRow, ProofRow, StoredAddress, StoredAddressOwner, StoredProof,
    },
    oauth::rows::{
        AuthCodeRow, BrowserRow, ClientRow, DeviceGrantRow, OAuthSessionRow, ResetRow,
        StoredAuthCode, StoredClient, StoredDecision, StoredDeviceGrant, StoredOAuthSession,
    },
    rows::*,
};

fn hash(any: &mut Any) -> TokenHash {
    any.bytes()
}

fn pair(any: &mut Any) -> TokenPair {
    TokenPair { access: hash(any), refresh: hash(any) }
}

fn account(any: &mut Any) -> StoredAccount {
    StoredAccount {
        user_id: any.user(),
        created_ms: any.number(),
        guest: any.flag(),
        admin: any.flag(),
        suspended: any.flag(),
        locked: any.flag(),
        deactivated_ms: any.maybe(Any::number),
        erased: any.flag(),
        password: any.maybe(|any| PasswordHash(any.text())),
    }
}

fn token(any: &mut Any, kind: StoredTokenKind) -> StoredToken {
    StoredToken {
        device: any.device(),
        expires_ms: any.maybe(Any::number),
        replaces: any.maybe(pair),
        kind,
    }
}

fn people(all: &mut Catalogue) {
    all.row::<AccountRow>(|any| ((), account(any)));
    all.row::<DeviceRow>(|any| {
        let device = StoredDevice {
            display_name: any.maybe(Any::text),
            created_ms: any.number(),
            tokens: any.list(hash),
        };
        (any.device(), device)
    });
    all.row::<DehydratedRow>(|any| {
        ((), StoredDehydrated { device_id: any.device(), data: any.text() })
    });
    all.row::<LastSeenRow>(|any| {
        let seen = StoredLastSeen {
            at_ms: any.number(),
            address: any.maybe(Any::text),
            user_agent: any.maybe(Any::text),
        };
        (any.device(), seen)
    });
    all.row::<ProfileRow>(|any| {
        let profile = StoredProfile {
            display_name: any.maybe(Any::text),
            avatar_url: any.maybe(Any::text),
            fields: any
                .list(|any| (any.text(), any.text()))
                .into_iter()
                .collect::<BTreeMap<_, _>>(),
        };
        ((), profile)
    });
    all.row::<AccountDataRow>(|any| ((any.text(), any.text()), any.maybe(Any::text)));
    all.row::<FilterRow>(|any| (any.number(), any.text()));
    all.row::<LocalUserRow>(|any| {
        let user = StoredLocalUser {
            display_name: any.maybe(Any::text),
            avatar_url: any.maybe(Any::text),
        };
        (any.text(), user)
    });
}

fn tokens(all: &mut Catalogue) {
    all.row::<TokenRow>(|any| {
        let kind = StoredTokenKind::Access { refreshable: any.flag() };
        (hash(any), token(any, kind))
    });
    all.row::<TokenRow>(|any| {
        let kind = StoredTokenKind::Refresh { access: hash(any), next: any.maybe(pair) };
        (hash(any), token(any, kind))
    });
    all.row::<LoginTokenRow>(|any| (hash(any), any.number()));
    all.row::<OriginRow>(|any| {
        let origin = crate::Origin { provider: any.text(), session: any.maybe(Any::text) };
        ((any.one_of(b"bd"), any.text()), origin)
    });
    all.row::<OpenIdRow>(|any| (hash(any), any.number()));
    all.row::<RegistrationTokenRow>(|any| {
        let token = StoredRegistrationToken {
            uses_max: any.maybe(Any::number),
            uses: any.number(),
            expires_ms: any.maybe(Any::number),
        };
        (any.text(), token)
    });
}

fn client(any: &mut Any) -> StoredClient {
    let metadata = ClientMetadata {
        name: any.maybe(Any::text),
        uri: any.text(),
        logo_uri: any.maybe(Any::text),
        tos_uri: any.maybe(Any::text),
        policy_uri: any.maybe(Any::text),
        redirect_uris: any.list(Any::text),
        kind: any.one_of(&[ApplicationKind::Web, ApplicationKind::Native]),
        device_grant: any.flag(),
    };
    StoredClient {
        metadata,
        registered_ms: any.number(),
        used_ms: any.number(),
        granted: any.flag(),
    }
}

fn grant(any: &mut Any, decision: StoredDecision) -> StoredDeviceGrant {
    StoredDeviceGrant {
        device_code: hash(any),
        client_id: any.text(),
        scope: any.text(),
        device: any.device(),
        expires_ms: any.number(),
        decision,
    }
}

fn oauth(all: &mut Catalogue) {
    all.row::<ClientRow>(|any| (any.text(), client(any)));
    all.row::<AuthCodeRow>(|any| {
        let code = StoredAuthCode {
            client_id: any.text(),
            redirect_uri: any.text(),
            scope: any.text(),
            device: any.device(),
            challenge: any.bytes(),
            expires_ms: any.number(),
            used: any.maybe(hash),
        };
        (hash(any), code)
    });
    all.row::<DeviceGrantRow>(|any| (any.text(), grant(any, StoredDecision::Pending)));
    all.row::<DeviceGrantRow>(|any| (any.text(), grant(any, StoredDecision::Denied)));
    all.row::<DeviceGrantRow>(|any| {
        let approved = StoredDecision::Approved(any.user());
        (any.text(), grant(any, approved))
    });
    all.row::<BrowserRow>(|any| (hash(any), any.number()));
    all.row::<OAuthSessionRow>(|any| {
        let session = StoredOAuthSession {
            client_id: any.text(),
            scope: any.text(),
            granted_ms: any.number(),
            family: hash(any),
        };
        (any.device(), session)
    });
    all.row::<ResetRow>(|any| ((), any.number()));
}

fn addresses(all: &mut Catalogue) {
    all.row::<AddressRow>(|any| {
        let stored = StoredAddress { validated_ms: any.number(), added_ms: any.number() };
        ((any.text(), any.text()), stored)
    });
    all.row::<AddressOwnerRow>(|any| {
        ((), StoredAddressOwner { name: any.text(), user_id: any.user() })
    });
    all.row::<ProofRow>(|any| {
        let purposes = [ProofPurpose::Registration, ProofPurpose::Password, ProofPurpose::Account];
        let proof = StoredProof {
            purpose: any.one_of(&purposes),
            address: any.text(),
            client_secret: hash(any),
            send_attempt: any.number(),
            tokens: any.list(hash),
            next_link: any.maybe(Any::text),
            expires_ms: any.number(),
            validated_ms: any.maybe(Any::number),
        };
        (any.text(), proof)
    });
}

#[test]
fn stored_rows_keep_their_bytes() {
    let mut all = Catalogue::new();
    people(&mut all);
    tokens(&mut all);
    oauth(&mut all);
    addresses(&mut all);
    all.check(env!("CARGO_MANIFEST_DIR"), include_str!("stored.txt"));
}
