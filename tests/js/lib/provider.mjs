// A certified OpenID provider (npm: oidc-provider) on loopback, at which everybody may sign in with
// any password.

import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";

import Provider from "oidc-provider";

/** The one client. Its secret has what HTTP Basic must encode. */
const CLIENT = "matrix";
const SECRET = "a secret: of 100 % & more";

function key(kid, alg, type, options) {
    const { privateKey } = generateKeyPairSync(type, options);
    return { ...privateKey.export({ format: "jwk" }), kid, alg, use: "sig" };
}

export class IdentityProvider {
    /** Listen, so that the address is known; nobody can sign in yet. */
    static async start() {
        const provider = new IdentityProvider();
        provider.folder = mkdtempSync(join(tmpdir(), "blaupause-idp-"));
        writeFileSync(join(provider.folder, "secret"), SECRET, { mode: 0o600 });
        provider.http = createServer((request, response) => provider.answer(request, response));
        await new Promise((ready) => provider.http.listen(0, "127.0.0.1", ready));
        provider.issuer = `http://127.0.0.1:${provider.http.address().port}`;
        return provider;
    }

    /** What the server's configuration says about it. */
    get lines() {
        const secret = join(this.folder, "secret");
        return `issuer = "${this.issuer}"\nclient_secret_file = "${secret}"\nalgorithms = ["${this.algorithm}"]\nuserinfo = true`;
    }

    algorithm = "RS256";

    /** Know the server as the one client. */
    serve(server) {
        const client = {
            client_id: CLIENT,
            client_secret: SECRET,
            redirect_uris: [`${server.url}/account/sso/kc/callback`],
            post_logout_redirect_uris: [`${server.url}/account/`],
            backchannel_logout_uri: `${server.url}/account/sso/kc/logout`,
            backchannel_logout_session_required: true,
            id_token_signed_response_alg: this.algorithm,
        };
        const provider = new Provider(this.issuer, {
            clients: [client],
            cookies: { keys: ["for this test only"] },
            jwks: {
                keys: [key("r", "RS256", "rsa", { modulusLength: 2048 }), key("e", "ES256", "ec", { namedCurve: "P-256" })],
            },
            claims: { openid: ["sub"], profile: ["name", "preferred_username"], email: ["email"] },
            // Its own one refuses addresses that are not public.
            fetch: (url, { dispatcher, ...options }) => fetch(url, options),
            features: { backchannelLogout: { enabled: true } },
            findAccount: (_, id) => ({
                accountId: id,
                claims: () => ({ sub: id, preferred_username: id, name: `${id} at the office` }),
            }),
        });
        this.problems = [];
        for (const event of ["server_error", "grant.error", "backchannel.error"]) {
            provider.on(event, (...of) => this.problems.push(`${event}: ${of.find((one) => one instanceof Error)}`));
        }
        this.answer = provider.callback();
    }

    stop() {
        this.http.closeAllConnections();
        this.http.close();
        rmSync(this.folder, { recursive: true, force: true });
    }
}
