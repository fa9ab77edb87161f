// Somebody with a client set up as Element Web sets up its own.

import assert from "node:assert/strict";

import * as sdk from "matrix-js-sdk";
import { logger } from "matrix-js-sdk/lib/logger.js";

import { SERVER_NAME } from "./server.mjs";
import { until } from "./until.mjs";

/** Everybody's password. */
export const PASSWORD = "correct horse battery staple";

// The library is talkative; JS_SDK_LOG=1 shows it. Loggers made later inherit the way of writing.
if (!process.env.JS_SDK_LOG) {
    logger.methodFactory = () => () => {};
    logger.rebuild();
}

export class Person {
    /** Set: the network is gone for this device, without a word to anybody. */
    isOffline = false;
    #isOver = false;

    /** Make an account in the two steps of the registration API, and sign in to it. */
    static async create(server, name) {
        const client = sdk.createClient({ baseUrl: server.url });
        const request = { username: name, password: PASSWORD, inhibit_login: true };
        const asked = await client.registerRequest(request).then(
            () => assert.fail("registration without any stage went through"),
            (error) => error,
        );
        assert.equal(asked.httpStatus, 401, String(asked));
        const auth = { type: "m.login.dummy", session: asked.data.session };
        const made = await client.registerRequest({ ...request, auth });
        assert.equal(made.user_id, `@${name}:${SERVER_NAME}`);
        return Person.signIn(server, name);
    }

    /** Sign in with the password: one more device of this user. It has keys and syncs. */
    static async signIn(server, name, startOptions = {}) {
        const login = await sdk.createClient({ baseUrl: server.url }).loginRequest({
            type: "m.login.password",
            identifier: { type: "m.id.user", user: name },
            password: PASSWORD,
            initial_device_display_name: "a test's browser",
        });
        const person = new Person();
        person.id = login.user_id;
        person.secretKeys = new Map();
        person.client = sdk.createClient({
            baseUrl: server.url,
            accessToken: login.access_token,
            userId: login.user_id,
            deviceId: login.device_id,
            timelineSupport: true,
            fetchFn: (address, request) => person.#fetch(address, request),
            cryptoCallbacks: {
                // Like an app that remembers the recovery key while it is open.
                getSecretStorageKey: async ({ keys }) => {
                    const known = Object.keys(keys).find((id) => person.secretKeys.has(id));
                    return known ? [known, person.secretKeys.get(known)] : null;
                },
                cacheSecretStorageKey: (id, _info, key) => person.secretKeys.set(id, key),
            },
        });
        await person.client.initRustCrypto({ useIndexedDB: false });
        await person.client.startClient({
            lazyLoadMembers: true,
            threadSupport: true,
            initialSyncLimit: 20,
            ...startOptions,
        });
        await until(`${name} has synced`, () => person.client.isInitialSyncComplete());
        await until("the device's one-time keys are on the server", async () => {
            const answer = await person.client.uploadKeysRequest({});
            return answer.one_time_key_counts.signed_curve25519 > 0;
        });
        return person;
    }

    async #fetch(address, request) {
        try {
            if (this.isOffline) {
                throw new TypeError("no network");
            }
            return await fetch(address, request);
        } catch (error) {
            // What the library still asks in the background must not fail the test behind its end.
            return this.#isOver ? new Promise(() => {}) : Promise.reject(error);
        }
    }

    stop() {
        this.#isOver = true;
        this.client.stopClient();
    }

    get crypto() {
        return this.client.getCrypto();
    }

    /** What a client answers when the server wants to see the password again. */
    passwordAgain(session) {
        return {
            type: "m.login.password",
            identifier: { type: "m.id.user", user: this.id },
            password: PASSWORD,
            session,
        };
    }

    /** An identity of one's own, with the password if the server asks for it. */
    async makeIdentity() {
        await this.crypto.bootstrapCrossSigning({
            authUploadDeviceSigningKeys: async (makeRequest) => {
                try {
                    await makeRequest(null);
                } catch (error) {
                    if (error.httpStatus !== 401) {
                        throw error;
                    }
                    await makeRequest(this.passwordAgain(error.data.session));
                }
            },
        });
    }

    /** Wait until this device has the room with that membership. */
    async room(id, membership = "join") {
        return until(`${this.id} has ${membership} in ${id}`, () => {
            const room = this.client.getRoom(id);
            return room?.getMyMembership() === membership && room;
        });
    }

    /** Wait for the invitation and accept it. */
    async accept(id) {
        await this.room(id, "invite");
        await this.client.joinRoom(id);
        return this.room(id);
    }

    /** Wait for a text message, decrypted if it was encrypted; gives its event. */
    async sees(id, body) {
        try {
            return await until(`${this.id} sees ${JSON.stringify(body)}`, () =>
                this.events(id).find((event) => event.getContent().body === body && event.getId().startsWith("$")),
            );
        } catch (error) {
            const shown = this.events(id).map((event) => event.getContent().body ?? event.getType());
            throw new Error(`the timeline shows ${JSON.stringify(shown)}`, { cause: error });
        }
    }

    /** The live timeline, oldest first. */
    events(id) {
        return this.client.getRoom(id)?.getLiveTimeline().getEvents() ?? [];
    }

    /** Send a text; gives its event as it came back from the server. */
    async says(id, body) {
        await this.client.sendTextMessage(id, body);
        return this.sees(id, body);
    }
}

/** A private room of the first, in which the others are, too. */
export async function roomOf(host, guests, { encrypted = false } = {}) {
    const encryption = { type: "m.room.encryption", state_key: "", content: { algorithm: "m.megolm.v1.aes-sha2" } };
    const { room_id: id } = await host.client.createRoom({
        preset: "private_chat",
        name: "the meeting",
        invite: guests.map((guest) => guest.id),
        initial_state: encrypted ? [encryption] : [],
    });
    for (const guest of guests) {
        await guest.accept(id);
    }
    for (const person of [host, ...guests]) {
        const room = await person.room(id);
        await until("everybody is there", () => room.getJoinedMemberCount() === guests.length + 1);
        if (encrypted) {
            await until("the room is encrypted", () => person.crypto.isEncryptionEnabledInRoom(id));
        }
    }
    return id;
}
