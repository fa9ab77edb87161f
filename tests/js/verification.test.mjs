// Verifying devices and people by comparing emojis.

import assert from "node:assert/strict";

import { isVerified, keysInBackup, setUpRecovery } from "./lib/identity.mjs";
import { roomOf } from "./lib/person.mjs";
import { scenario } from "./lib/scenario.mjs";
import { until } from "./lib/until.mjs";
import { compareEmojis, requestsTo } from "./lib/verify.mjs";

scenario("a new device is verified by an old one and gets the secrets from it", async ({ create, signIn }) => {
    const home = await create("alice");
    const bob = await create("bob");
    await setUpRecovery(home);
    const id = await roomOf(home, [bob], { encrypted: true });
    await bob.says(id, "before the office");
    await home.sees(id, "before the office");
    await until("its key is in the backup", async () => (await keysInBackup(home)) >= 1);

    const office = await signIn("alice");
    assert(!(await isVerified(office)));
    const requests = requestsTo(home);
    const sent = await office.crypto.requestOwnUserVerification();
    const received = await until("the old device is asked", () => requests[0]);
    assert.equal(received.otherDeviceId, office.client.getDeviceId());
    await compareEmojis(sent, received);
    await until("the new device is verified", () => isVerified(office));
    await until("it has the identity's private keys", () => office.crypto.isCrossSigningReady());
    const secrets = async () => (await office.crypto.getCrossSigningStatus()).privateKeysCachedLocally;
    await until("all of them", async () => {
        const { masterKey, selfSigningKey, userSigningKey } = await secrets();
        return masterKey && selfSigningKey && userSigningKey;
    });
    // The key of the backup came with them: nobody typed in a recovery key.
    await until("it uses the backup", () => office.crypto.getActiveSessionBackupVersion());
    await office.sees(id, "before the office");
});

scenario("two people verify each other in their room", async ({ create, signIn }) => {
    const alice = await create("alice");
    const bob = await create("bob");
    await alice.makeIdentity();
    await bob.makeIdentity();
    const id = await roomOf(alice, [bob], { encrypted: true });
    for (const [person, other] of [
        [alice, bob],
        [bob, alice],
    ]) {
        await until("they know each other's identities", () => person.crypto.userHasCrossSigningKeys(other.id, true));
        const status = await person.crypto.getUserVerificationStatus(other.id);
        assert(!status.isCrossSigningVerified());
    }
    const requests = requestsTo(bob);
    const sent = await alice.crypto.requestVerificationDM(bob.id, id);
    const received = await until("bob is asked", () => requests[0]);
    assert.equal(received.roomId, id);
    await compareEmojis(sent, received);
    const trusts = async (person, other) =>
        (await person.crypto.getUserVerificationStatus(other.id)).isCrossSigningVerified();
    await until("alice trusts bob", () => trusts(alice, bob));
    await until("bob trusts alice", () => trusts(bob, alice));
    // The signature is on the server, for her eyes only.
    const signatures = async (person) => {
        const answer = await person.client.downloadKeysForUsers([bob.id]);
        return Object.keys(answer.master_keys[bob.id].signatures);
    };
    assert((await signatures(alice)).includes(alice.id));
    assert(!(await signatures(bob)).includes(alice.id));
});

scenario("who cancels a verification leaves the device as it was", async ({ create, signIn }) => {
    const home = await create("alice");
    await home.makeIdentity();
    const office = await signIn("alice");
    const requests = requestsTo(home);
    const sent = await office.crypto.requestOwnUserVerification();
    const received = await until("the old device is asked", () => requests[0]);
    await received.cancel();
    await until("the new device learns of it", () => sent.cancellationCode === "m.user");
    assert(!(await isVerified(office)));
});
