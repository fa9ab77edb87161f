// Signing in and out.

import assert from "node:assert/strict";

import * as sdk from "matrix-js-sdk";

import { PASSWORD } from "./lib/person.mjs";
import { scenario } from "./lib/scenario.mjs";
import { until } from "./lib/until.mjs";

scenario("a password gives a session of its owner", async ({ create }) => {
    const alice = await create("alice");
    const who = await alice.client.whoami();
    assert.equal(who.user_id, alice.id);
    assert.equal(who.device_id, alice.client.getDeviceId());
    const { devices } = await alice.client.getDevices();
    assert.deepEqual(
        devices.map((device) => device.display_name),
        ["a test's browser"],
    );
});

scenario("a wrong password is refused", async ({ server, create }) => {
    await create("alice");
    const client = sdk.createClient({ baseUrl: server.url });
    for (const [user, password] of [
        ["alice", "wrong"],
        ["nobody", PASSWORD],
    ]) {
        const login = { type: "m.login.password", identifier: { type: "m.id.user", user }, password };
        await assert.rejects(client.loginRequest(login), { errcode: "M_FORBIDDEN", httpStatus: 403 });
    }
});

scenario("logout ends this session and no other", async ({ create, signIn }) => {
    const home = await create("alice");
    const office = await signIn("alice");
    await home.client.logout(true);
    await assert.rejects(home.client.whoami(), { errcode: "M_UNKNOWN_TOKEN", httpStatus: 401 });
    const { devices } = await office.client.getDevices();
    assert.deepEqual(
        devices.map((device) => device.device_id),
        [office.client.getDeviceId()],
    );
});

scenario("a removed device learns that it is signed out", async ({ create, signIn }) => {
    const home = await create("alice");
    const office = await signIn("alice");
    let signedOut = false;
    home.client.on(sdk.HttpApiEvent.SessionLoggedOut, () => (signedOut = true));
    const lost = [home.client.getDeviceId()];
    const asked = await office.client.deleteMultipleDevices(lost).then(
        () => assert.fail("removed without the password"),
        (error) => error,
    );
    assert.equal(asked.httpStatus, 401);
    await office.client.deleteMultipleDevices(lost, office.passwordAgain(asked.data.session));
    await until("the open browser learns of it", () => signedOut);
});

scenario("a new password signs in and the old one does not", async ({ server, create }) => {
    const alice = await create("alice");
    const asked = await alice.client.setPassword({}, "another long password").then(
        () => assert.fail("changed without the old password"),
        (error) => error,
    );
    assert.equal(asked.httpStatus, 401);
    await alice.client.setPassword(alice.passwordAgain(asked.data.session), "another long password");
    const client = sdk.createClient({ baseUrl: server.url });
    const login = (password) =>
        client.loginRequest({
            type: "m.login.password",
            identifier: { type: "m.id.user", user: "alice" },
            password,
        });
    await assert.rejects(login(PASSWORD), { errcode: "M_FORBIDDEN" });
    assert.equal((await login("another long password")).user_id, alice.id);
});
