// Rust crypto: encrypted rooms, identities, secret storage, key backup.

import assert from "node:assert/strict";

import { isVerified, keysInBackup, recover, setUpRecovery } from "./lib/identity.mjs";
import { roomOf } from "./lib/person.mjs";
import { scenario } from "./lib/scenario.mjs";
import { until } from "./lib/until.mjs";

/** Events that stay unreadable. */
const unreadable = (person, id) => person.events(id).filter((event) => event.isDecryptionFailure());

scenario("encrypted messages go both ways", async ({ create }) => {
    const alice = await create("alice");
    const bob = await create("bob");
    const id = await roomOf(alice, [bob], { encrypted: true });
    for (const round of [1, 2, 3]) {
        await alice.says(id, `question ${round}`);
        const seen = await bob.sees(id, `question ${round}`);
        assert.equal(seen.getSender(), alice.id);
        assert.equal(seen.getWireType(), "m.room.encrypted");
        await bob.says(id, `answer ${round}`);
        await alice.sees(id, `answer ${round}`);
    }
    assert.deepEqual(unreadable(alice, id), []);
    assert.deepEqual(unreadable(bob, id), []);
});

scenario("an identity signs its device and others see it", async ({ create }) => {
    const alice = await create("alice");
    const bob = await create("bob");
    await alice.makeIdentity();
    await until("alice's device is signed", () => isVerified(alice));
    await roomOf(alice, [bob], { encrypted: true });
    await until("bob knows alice's identity", () => bob.crypto.userHasCrossSigningKeys(alice.id, true));
    const status = await bob.crypto.getDeviceVerificationStatus(alice.id, alice.client.getDeviceId());
    assert(status.signedByOwner);
});

scenario("a second identity is made only with the password", async ({ create }) => {
    const alice = await create("alice");
    await alice.makeIdentity();
    const before = await alice.crypto.getCrossSigningKeyId();
    let asked = 0;
    await alice.crypto.bootstrapCrossSigning({
        setupNewCrossSigning: true,
        authUploadDeviceSigningKeys: async (makeRequest) => {
            const error = await makeRequest(null).then(
                () => assert.fail("replaced without the password"),
                (error) => error,
            );
            assert.equal(error.httpStatus, 401);
            asked += 1;
            await makeRequest(alice.passwordAgain(error.data.session));
        },
    });
    assert.equal(asked, 1);
    assert.notEqual(await alice.crypto.getCrossSigningKeyId(), before);
});

scenario("secret storage and backup bring old messages to a new device", async ({ create, signIn }) => {
    const home = await create("alice");
    const bob = await create("bob");
    const recoveryKey = await setUpRecovery(home);
    assert(await home.crypto.isSecretStorageReady());
    assert(await home.crypto.getActiveSessionBackupVersion());
    const id = await roomOf(home, [bob], { encrypted: true });
    await home.says(id, "an old question");
    await bob.says(id, "an old answer");
    await home.sees(id, "an old answer");
    await until("both keys are in the backup", async () => (await keysInBackup(home)) >= 2);

    const office = await signIn("alice");
    await office.room(id);
    await until("the new device cannot read them", () => unreadable(office, id).length === 2);
    await recover(office, recoveryKey);
    await until("the new device is verified", () => isVerified(office));
    await office.crypto.checkKeyBackupAndEnable();
    const { imported, total } = await office.crypto.restoreKeyBackup();
    assert(total >= 2 && imported === total, `${imported} of ${total}`);
    await office.sees(id, "an old question");
    await office.sees(id, "an old answer");
});

scenario("a verified device fetches single keys from the backup", async ({ create, signIn }) => {
    const home = await create("alice");
    const bob = await create("bob");
    const recoveryKey = await setUpRecovery(home);
    const id = await roomOf(home, [bob], { encrypted: true });
    await bob.says(id, "before the office");
    await home.sees(id, "before the office");
    await until("its key is in the backup", async () => (await keysInBackup(home)) >= 1);
    const office = await signIn("alice");
    await recover(office, recoveryKey);
    await office.crypto.checkKeyBackupAndEnable();
    await office.sees(id, "before the office");
});

scenario("a new device gets the keys of new messages", async ({ create, signIn }) => {
    const home = await create("alice");
    const bob = await create("bob");
    const id = await roomOf(home, [bob], { encrypted: true });
    await bob.says(id, "before");
    const office = await signIn("alice");
    await until("bob learns of the new device", async () => {
        const devices = await bob.crypto.getUserDeviceInfo([home.id]);
        return devices.get(home.id)?.has(office.client.getDeviceId());
    });
    await bob.says(id, "after");
    await home.sees(id, "after");
    await office.sees(id, "after");
});

scenario("a deleted backup is gone and a new one has a new version", async ({ create }) => {
    const alice = await create("alice");
    await setUpRecovery(alice);
    const first = await alice.crypto.getActiveSessionBackupVersion();
    await alice.crypto.resetKeyBackup();
    const second = await until("a new backup", () => alice.crypto.getActiveSessionBackupVersion());
    assert.notEqual(second, first);
    await alice.crypto.deleteKeyBackupVersion(second);
    assert.equal(await alice.crypto.getKeyBackupInfo(), null);
});
