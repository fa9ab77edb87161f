// What widgets need: a token that proves to others who somebody is, and nothing else.

import assert from "node:assert/strict";

import { SERVER_NAME } from "./lib/server.mjs";
import { scenario } from "./lib/scenario.mjs";

/** What a widget's own server asks. */
async function userOf(server, token) {
    const query = token === undefined ? "" : `?${new URLSearchParams({ access_token: token })}`;
    const answer = await fetch(`${server.url}/_matrix/federation/v1/openid/userinfo${query}`);
    return { status: answer.status, body: await answer.json() };
}

scenario("an open id token names its owner and opens nothing", async ({ server, create }) => {
    const alice = await create("alice");
    const token = await alice.client.getOpenIdToken();
    assert.equal(token.token_type, "Bearer");
    assert.equal(token.matrix_server_name, SERVER_NAME);
    assert(token.expires_in > 0);
    assert.deepEqual(await userOf(server, token.access_token), { status: 200, body: { sub: alice.id } });
    const second = await alice.client.getOpenIdToken();
    assert.notEqual(second.access_token, token.access_token);

    const whoami = await fetch(`${server.url}/_matrix/client/v3/account/whoami`, {
        headers: { authorization: `Bearer ${token.access_token}` },
    });
    assert.equal(whoami.status, 401);
    const refused = await userOf(server, alice.client.getAccessToken());
    assert.equal(refused.status, 401);
    assert.equal(refused.body.errcode, "M_UNKNOWN_TOKEN");
    assert.equal((await userOf(server, undefined)).body.errcode, "M_MISSING_TOKEN");
    await server.killAndRestart();
    assert.deepEqual((await userOf(server, token.access_token)).body, { sub: alice.id });
});
