// The server's pages in a real browser: that they are accessible (WCAG 2.1 AA, by axe-core) and that
// consent leads to the client. PAGES_SHOTS=FOLDER keeps pictures.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { test } from "node:test";

import * as sdk from "matrix-js-sdk";

import { Chromium, hasChromium } from "./lib/chromium.mjs";
import { PASSWORD } from "./lib/person.mjs";
import { Relay } from "./lib/relay.mjs";
import { scenario } from "./lib/scenario.mjs";

const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"];
const REDIRECT = "https://client.invalid/";
const SHOTS = process.env.PAGES_SHOTS;
const PAGES = [
    "",
    "profile",
    "sessions",
    "end-sessions",
    "emails",
    "add-email",
    "password",
    "deactivate",
    "cross-signing",
    "link",
];

/** What axe-core finds wrong on the page that is open. */
async function wrong(browser) {
    const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
    await browser.value(`${axe};0`);
    const run = (rules) =>
        globalThis.axe
            .run(document, { runOnly: rules })
            .then(({ violations }) => violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html)}`));
    return browser.value(`(${run})(${JSON.stringify(RULES)})`);
}

async function look(browser, name) {
    if (SHOTS) {
        mkdirSync(SHOTS, { recursive: true });
        const { data } = await browser.ask("Page.captureScreenshot", { captureBeyondViewport: true });
        writeFileSync(join(SHOTS, `${name}.png`), Buffer.from(data, "base64"));
    }
    assert.deepEqual(await wrong(browser), [], name);
}

async function clientOf(server) {
    const metadata = await sdk.createClient({ baseUrl: server.url }).getAuthMetadata();
    const client = { client_name: "Element", client_uri: REDIRECT, redirect_uris: [REDIRECT] };
    const clientId = await sdk.OAuth2.registerClient(metadata, client);
    return new sdk.OAuth2(metadata, { clientId });
}

async function lookAtAll(browser, server, alice) {
    for (const scheme of ["light", "dark"]) {
        const features = [{ name: "prefers-color-scheme", value: scheme }];
        await browser.ask("Emulation.setEmulatedMedia", { features });
        for (const page of PAGES) {
            await browser.open(`${server.url}/account/${page}`);
            await look(browser, `${page || "account"}-${scheme}`);
        }
    }
    await browser.open(`${server.url}/account/end-session?device_id=${alice.client.getDeviceId()}`);
    await look(browser, "end-session");
    await browser.open(`${server.url}/account/link?code=BCDFGHJK`);
    await look(browser, "link-unknown");
    await browser.open(`${server.url}/oauth2/authorize`);
    await look(browser, "bad-request");
    await browser.open(`${server.url}/account/continue?redirect=${encodeURIComponent(REDIRECT)}`);
    await look(browser, "continue");
    await browser.open(`${server.url}/account/confirm?session=unknown`);
    await look(browser, "confirm-unknown");
}

/** One more mail address: asked for, confirmed by the link in the mail, removed. */
async function addAddress(browser, server, relay) {
    await browser.open(`${server.url}/account/add-email`);
    await browser.send({ email: "alice@example.org", password: "wrong" });
    await look(browser, "add-email-wrong");
    await browser.send({ email: "alice@example.org", password: PASSWORD });
    await look(browser, "add-email-sent");
    const { to, text } = await relay.mail(1);
    assert.equal(to, "alice@example.org");
    await browser.open(text.match(/http:\S+\/account\/email\/confirm\S+/)[0]);
    await look(browser, "confirm-email");
    assert.match(await browser.value("document.body.innerText"), /@alice:/);
    await browser.send({});
    await look(browser, "confirm-email-done");
    await browser.open(`${server.url}/account/emails`);
    assert.equal(await browser.value("document.querySelector('main h2').innerText"), "alice@example.org");
    await look(browser, "emails-one");
    await browser.open(await browser.value("document.querySelector('main li a').href"));
    await look(browser, "remove-email");
    await browser.send({});
    await look(browser, "remove-email-done");
    assert.equal(await browser.value("document.querySelector('main h2')"), null);
}

if (hasChromium()) {
    const relay = await Relay.start();
    scenario(
        "the pages are accessible, and consent leads to the client",
        async ({ server, create }) => {
            const alice = await create("alice");
            const oauth = await clientOf(server);
            const browser = await Chromium.start("de");
            try {
                const address = await oauth.generateAuthorizationCodeGrantUrl("the state", REDIRECT);
                await browser.open(address);
                await look(browser, "login");
                assert.equal(await browser.value("document.querySelector('a.button').innerText"), "Anmelden mit Amt & Co");
                await browser.open(`${server.url}/account/sso/kc`);
                await look(browser, "provider-away");
                await browser.open(address);
                await browser.send({ name: "alice", password: "wrong" });
                await look(browser, "login-wrong");
                await browser.send({ name: "alice", password: PASSWORD });
                await look(browser, "consent");
                assert.equal(await browser.value("document.documentElement.lang"), "de");
                await lookAtAll(browser, server, alice);
                await addAddress(browser, server, relay);
                const grant = await oauth.startDeviceAuthorizationGrant();
                await browser.open(grant.verification_uri_complete);
                await look(browser, "link-confirm");
                await browser.open(address);
                const left = new URL(await browser.leave("button[value=allow]", REDIRECT));
                const answer = new URLSearchParams(left.hash.slice(1));
                assert.equal(answer.get("state"), "the state");
                await oauth.completeAuthorizationCodeGrant(answer.get("code"), REDIRECT);
            } finally {
                browser.stop();
                relay.stop();
            }
        },
        { oauth: true, sections: relay.lines },
    );
} else {
    test("the pages are accessible, and consent leads to the client", { skip: "there is no chromium" });
}
