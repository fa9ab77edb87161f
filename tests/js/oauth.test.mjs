// Signing in with OAuth 2.0, as Element Web does.

import assert from "node:assert/strict";

import * as sdk from "matrix-js-sdk";

import { Browser } from "./lib/browser.mjs";
import { PASSWORD } from "./lib/person.mjs";
import { scenario } from "./lib/scenario.mjs";

const REDIRECT = "https://element.example.org/?no_universal_links=true";
const CLIENT = {
    client_name: "Element",
    client_uri: "https://element.example.org/",
    logo_uri: "https://element.example.org/logo.png",
    // On another host: the client leaves it out.
    tos_uri: "https://example.com/terms",
    redirect_uris: [REDIRECT],
    application_type: "web",
};

async function discover(server) {
    const metadata = await sdk.createClient({ baseUrl: server.url }).getAuthMetadata();
    const clientId = await sdk.OAuth2.registerClient(metadata, CLIENT);
    return new sdk.OAuth2(metadata, { clientId });
}

function clientOf(server, oauth, tokens, userId) {
    return sdk.createClient({
        baseUrl: server.url,
        accessToken: tokens.access_token,
        refreshToken: tokens.refresh_token,
        oauthClientId: oauth.context.clientId,
        userId,
        deviceId: oauth.context.deviceId,
    });
}

/** The authorization code flow, with somebody at the browser. */
async function signIn(server, oauth, name) {
    const address = await oauth.generateAuthorizationCodeGrantUrl("the state", REDIRECT);
    const browser = new Browser(server.url);
    const consent = await browser.signIn(await browser.open(address), name, PASSWORD);
    assert.match(consent.html, /Element/);
    const { url } = await browser.send(consent, { decision: "allow" });
    assert.equal(url.origin, "https://element.example.org");
    const answer = new URLSearchParams(url.hash.slice(1));
    assert.equal(answer.get("state"), "the state");
    const tokens = await oauth.completeAuthorizationCodeGrant(answer.get("code"), REDIRECT);
    return { browser, tokens };
}

const withOAuth = { oauth: true };

scenario(
    "a code from the browser opens a session, which is refreshed and revoked",
    async ({ server, create }) => {
        const alice = await create("alice");
        const oauth = await discover(server);
        const { tokens } = await signIn(server, oauth, "alice");
        const client = clientOf(server, oauth, tokens, alice.id);
        const who = await client.whoami();
        assert.equal(who.user_id, alice.id);
        assert.equal(who.device_id, oauth.context.deviceId);
        const { devices } = await alice.client.getDevices();
        assert(devices.some((device) => device.display_name === "Element"));

        const renewed = await oauth.performRefreshTokenGrant(tokens.refresh_token);
        assert.equal((await clientOf(server, oauth, renewed, alice.id).whoami()).user_id, alice.id);
        await assert.rejects(oauth.performRefreshTokenGrant(tokens.refresh_token), { error: "invalid_grant" });
        // That was reuse: the session is over.
        await assert.rejects(oauth.performRefreshTokenGrant(renewed.refresh_token), { error: "invalid_grant" });

        const again = await signIn(server, oauth, "alice");
        const last = clientOf(server, oauth, again.tokens, alice.id);
        await last.logout(true);
        await assert.rejects(clientOf(server, oauth, again.tokens, alice.id).whoami(), { errcode: "M_UNKNOWN_TOKEN" });
    },
    withOAuth,
);

scenario(
    "a device without a browser is let in by its code",
    async ({ server, create }) => {
        const alice = await create("alice");
        const oauth = await discover(server);
        const grant = await oauth.startDeviceAuthorizationGrant();
        const browser = new Browser(server.url);
        const login = await browser.open(grant.verification_uri_complete);
        const confirm = await browser.signIn(login, "alice", PASSWORD);
        assert(confirm.html.includes(grant.user_code), confirm.html);
        const done = await browser.send(confirm, { decision: "allow" });
        assert.match(done.html, /Device connected/);
        const tokens = await oauth.waitForDeviceAuthorizationGrant(grant);
        assert.equal(tokens.error, undefined);
        assert.equal((await clientOf(server, oauth, tokens, alice.id).whoami()).user_id, alice.id);
    },
    withOAuth,
);
