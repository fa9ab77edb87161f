// People come in through an OpenID provider that others wrote, and go out when it says so.

import assert from "node:assert/strict";

import * as sdk from "matrix-js-sdk";

import { Browser } from "./lib/browser.mjs";
import { IdentityProvider } from "./lib/provider.mjs";
import { scenario } from "./lib/scenario.mjs";
import { SERVER_NAME } from "./lib/server.mjs";
import { until } from "./lib/until.mjs";

const REDIRECT = "https://element.example.org/?no_universal_links=true";

/** Send the provider's form, with the fields that stand in it. */
function send(browser, page, fields = {}) {
    const [, form] = page.html.match(/(<form[^]*?<\/form>)/) ?? assert.fail(page.html);
    const [, action] = form.match(/action="([^"]*)"/);
    const hidden = [...form.matchAll(/type="hidden" name="([^"]*)" value="([^"]*)"/g)];
    const all = { ...Object.fromEntries(hidden.map(([, name, value]) => [name, value])), ...fields };
    return browser.open(new URL(action.replaceAll("&amp;", "&"), page.url), all);
}

/** A browser on both sites: `here` at the server, `there` at the provider. */
class Visitor {
    constructor(server, provider) {
        this.here = new Browser(server.url);
        this.there = new Browser(provider.issuer);
    }

    /** Sign in through the provider, as a client asks for it; gives the client. */
    async signIn(server, name) {
        const client = sdk.createClient({ baseUrl: server.url });
        const { flows } = await client.loginFlows();
        const sso = flows.find((flow) => flow.type === "m.login.sso");
        assert.deepEqual(sso.identity_providers.map(({ id, name }) => [id, name]), [["kc", "Amt & Co"]]);
        let page = await this.here.open(client.getSsoLoginUrl(REDIRECT, "sso", "kc"));
        if (page.status === 303) {
            page = await this.there.open(page.url);
            // Whoever is signed in there already is asked nothing.
            for (let step = 0; page.status === 200 && step < 3; step++) {
                page = await send(this.there, page, { login: name, password: "any" });
            }
            assert.equal(page.status, 303, page.html);
            page = await this.here.open(page.url);
        }
        // "Go on to element.example.org?"
        assert.equal(page.status, 200, page.html);
        const { url } = await this.here.send(page, {});
        assert.equal(url.origin, "https://element.example.org", url.href);
        const token = url.searchParams.get("loginToken");
        const login = await client.loginRequest({ type: "m.login.token", token });
        return sdk.createClient({
            baseUrl: server.url,
            accessToken: login.access_token,
            userId: login.user_id,
            deviceId: login.device_id,
        });
    }

    /** Sign out at the provider: it tells the server behind the person's back. */
    async signOut(provider) {
        const page = await this.there.open(`${provider.issuer}/session/end?client_id=matrix`);
        return send(this.there, page, { logout: "yes" });
    }
}

const isOver = (client) =>
    until("the session is over", () =>
        client.whoami().then(
            () => false,
            (error) => error.errcode === "M_UNKNOWN_TOKEN" || assert.fail(error),
        ),
    );

for (const algorithm of ["RS256", "ES256"]) {
    const provider = await IdentityProvider.start();
    provider.algorithm = algorithm;
    scenario(
        `an account at a provider is one account here, and its sessions end with the provider's (${algorithm})`,
        async ({ server }) => {
            try {
                provider.serve(server);
                const office = new Visitor(server, provider);
                const first = await office.signIn(server, "erika");
                const { user_id: user } = await first.whoami();
                assert.equal(user, `@erika:${SERVER_NAME}`);
                assert.equal((await first.getProfileInfo(user)).displayname, "erika at the office");
                const home = new Visitor(server, provider);
                const second = await home.signIn(server, "erika");
                assert.equal((await second.whoami()).user_id, user);
                const other = await new Visitor(server, provider).signIn(server, "otto");
                assert.equal((await other.whoami()).user_id, `@otto:${SERVER_NAME}`);

                await office.signOut(provider);
                assert.deepEqual(provider.problems, []);
                await isOver(first);
                const page = await office.here.open("/account/");
                assert.equal(page.url.pathname, "/account/login");
                // Another session at the provider goes on, and so does what came from it.
                assert.equal((await second.whoami()).user_id, user);
                assert.equal((await other.whoami()).user_id, `@otto:${SERVER_NAME}`);
                await home.signOut(provider);
                await isOver(second);
            } finally {
                provider.stop();
            }
        },
        { oauth: true, oidc: provider.lines },
    );
}
