// Identities, recovery and the key backup, as Element Web handles them.

import assert from "node:assert/strict";

import { decodeRecoveryKey } from "matrix-js-sdk/lib/crypto-api/index.js";

/** What "set up recovery" does in Element Web; gives the recovery key as people see it. */
export async function setUpRecovery(person, { backup = true } = {}) {
    await person.makeIdentity();
    let recoveryKey;
    await person.crypto.bootstrapSecretStorage({
        createSecretStorageKey: async () => {
            const made = await person.crypto.createRecoveryKeyFromPassphrase();
            recoveryKey = made.encodedPrivateKey;
            return made;
        },
        setupNewKeyBackup: backup,
    });
    await person.crypto.checkKeyBackupAndEnable();
    return recoveryKey;
}

/** What "enter your recovery key" does in Element Web. */
export async function recover(person, recoveryKey, { backup = true } = {}) {
    const id = await person.client.secretStorage.getDefaultKeyId();
    const [, info] = await person.client.secretStorage.getKey(id);
    const key = decodeRecoveryKey(recoveryKey);
    assert(await person.client.secretStorage.checkKey(key, info), "the recovery key does not fit");
    person.secretKeys.set(id, key);
    await person.crypto.bootstrapCrossSigning({});
    if (backup) {
        await person.crypto.loadSessionBackupPrivateKeyFromSecretStorage();
    }
}

export async function isVerified(person) {
    const status = await person.crypto.getDeviceVerificationStatus(person.id, person.client.getDeviceId());
    return status?.crossSigningVerified;
}

/** Asked of the server: the library remembers its first answer. */
export async function keysInBackup(person) {
    return (await person.client.http.authedRequest("GET", "/room_keys/version")).count;
}
