// A dehydrated device (MSC3814) takes in keys while no device of its owner is signed in.

import assert from "node:assert/strict";

import { CryptoEvent } from "matrix-js-sdk/lib/crypto-api/index.js";

import { isVerified, recover, setUpRecovery } from "./lib/identity.mjs";
import { roomOf } from "./lib/person.mjs";
import { scenario } from "./lib/scenario.mjs";
import { until } from "./lib/until.mjs";

const PATH = "/dehydrated_device";
const PREFIX = { prefix: "/_matrix/client/unstable/org.matrix.msc3814.v1" };

scenario("what was sent while nobody was signed in can be read later", async ({ create, signIn }) => {
    const home = await create("alice");
    const bob = await create("bob");
    // No backup: the keys can come from the dehydrated device alone.
    const recoveryKey = await setUpRecovery(home, { backup: false });
    const id = await roomOf(home, [bob], { encrypted: true });
    assert(await home.crypto.isDehydrationSupported());
    await home.crypto.startDehydration();
    const { device_id: asleep } = await home.client.http.authedRequest("GET", PATH, undefined, undefined, PREFIX);
    const bobKnows = async (device) => (await bob.crypto.getUserDeviceInfo([home.id])).get(home.id)?.get(device);
    const seen = await until("bob knows the dehydrated device", () => bobKnows(asleep));
    assert(seen.dehydrated);
    const last = home.client.getDeviceId();
    await home.client.logout(true);
    await until("bob knows that the other one is gone", async () => !(await bobKnows(last)));
    for (const number of [1, 2, 3]) {
        await bob.says(id, `while you were away ${number}`);
        // Each with a new key.
        await bob.crypto.forceDiscardSession(id);
    }

    const office = await signIn("alice");
    await office.room(id);
    await until("nothing can be read", () => office.events(id).filter((e) => e.isDecryptionFailure()).length === 3);
    await recover(office, recoveryKey, { backup: false });
    await until("the device is verified", () => isVerified(office));
    const progress = [];
    office.client.on(CryptoEvent.RehydrationProgress, (keys) => progress.push(keys));
    await office.crypto.startDehydration();
    assert.equal(progress.at(-1), 3, `keys: ${progress}`);
    for (const number of [1, 2, 3]) {
        await office.sees(id, `while you were away ${number}`);
    }
    const { device_id: next } = await office.client.http.authedRequest("GET", PATH, undefined, undefined, PREFIX);
    assert.notEqual(next, asleep, "a device is woken once");
});

scenario("a dehydrated device that is given up is gone", async ({ create }) => {
    const alice = await create("alice");
    await setUpRecovery(alice, { backup: false });
    const ask = () => alice.client.http.authedRequest("GET", PATH, undefined, undefined, PREFIX);
    await assert.rejects(ask(), { errcode: "M_NOT_FOUND", httpStatus: 404 });
    await alice.crypto.startDehydration();
    const { device_id: asleep } = await ask();
    // It is no session: it is not among those that people see.
    const { devices } = await alice.client.getDevices();
    assert.deepEqual(
        devices.map((device) => device.device_id).filter((device) => device !== asleep),
        [alice.client.getDeviceId()],
    );
    await alice.crypto.disableKeyStorage();
    await assert.rejects(ask(), { errcode: "M_NOT_FOUND" });
});
