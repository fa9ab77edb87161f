// Calls (MatrixRTC, Element Call): who is in a call stands in the room's state, and a delayed event
// (MSC4140) takes them out of it when their network breaks, whatever happens to the server.

import assert from "node:assert/strict";

import { MatrixRTCSessionEvent } from "matrix-js-sdk/lib/matrixrtc/index.js";

import { scenario } from "./lib/scenario.mjs";
import { until } from "./lib/until.mjs";

const MEMBER = "org.matrix.msc3401.call.member";
const FOCUS = { type: "livekit", livekit_service_url: "https://livekit-jwt.blaupause.test" };
/** As Element Call asks for; the times are the library's: 8 seconds, refreshed every 5. */
const CALL = { callIntent: "video", manageMediaKeys: true };

/** An encrypted room in which everybody may join calls, as Element Web makes them. */
async function callRoom(host, guest) {
    const { room_id: id } = await host.client.createRoom({
        preset: "private_chat",
        name: "the call",
        invite: [guest.id],
        power_level_content_override: { events: { [MEMBER]: 0 } },
        initial_state: [
            { type: "m.room.encryption", state_key: "", content: { algorithm: "m.megolm.v1.aes-sha2" } },
        ],
    });
    await guest.accept(id);
    await host.room(id);
    for (const person of [host, guest]) {
        const room = person.client.getRoom(id);
        await until("both are there", () => room.getJoinedMemberCount() === 2);
        await until("the room is encrypted", () => person.crypto.isEncryptionEnabledInRoom(id));
    }
    return id;
}

const session = (person, id) => person.client.matrixRTC.getRoomSession(person.client.getRoom(id));

/** Wait until this person sees these people in the call. */
async function inCall(person, id, people) {
    const wanted = people.map((one) => one.id).sort();
    const seen = () => session(person, id).memberships.map((member) => member.userId).sort();
    await until(`${person.id} sees ${wanted} in the call`, () => String(seen()) === String(wanted));
}

/** What waits to be sent. The library's type of the answer is that of an older text. */
const planned = async (person) => (await person.client._unstable_getDelayedEvents("scheduled")).delayed_events;

scenario("who loses the network leaves the call though the server was killed meanwhile", async ({ server, create }) => {
    const alice = await create("alice");
    const bob = await create("bob");
    const id = await callRoom(alice, bob);
    for (const person of [alice, bob]) {
        session(person, id).joinRoomSession([FOCUS], undefined, CALL);
    }
    await inCall(alice, id, [alice, bob]);
    await inCall(bob, id, [alice, bob]);
    const waiting = await planned(alice);
    assert.deepEqual(
        waiting.map((event) => [event.type, event.content]),
        [[MEMBER, {}]],
    );

    alice.isOffline = true;
    await server.killAndRestart();
    await inCall(bob, id, [bob]);
    const room = bob.client.getRoom(id);
    const ends = room.currentState.getStateEvents(MEMBER).filter((event) => event.getSender() === alice.id);
    assert.deepEqual(
        ends.map((event) => event.getContent()),
        [{}],
    );
    await session(bob, id).leaveRoomSession();
    await inCall(bob, id, []);
});

scenario("who leaves the call is out at once, and nothing is left to be sent", async ({ create }) => {
    const alice = await create("alice");
    const bob = await create("bob");
    const id = await callRoom(alice, bob);
    session(alice, id).joinRoomSession([FOCUS], undefined, { ...CALL, delayedLeaveEventDelayMs: 3_600_000 });
    await inCall(bob, id, [alice]);
    await session(alice, id).leaveRoomSession();
    await inCall(bob, id, []);
    assert.deepEqual(await planned(alice), []);
});

scenario("the keys of a call reach the other device", async ({ create }) => {
    const alice = await create("alice");
    const bob = await create("bob");
    const id = await callRoom(alice, bob);
    const keys = { alice: new Map(), bob: new Map() };
    for (const [name, person] of Object.entries({ alice, bob })) {
        session(person, id).on(MatrixRTCSessionEvent.EncryptionKeyChanged, (key, index, { userId }) =>
            keys[name].set(`${userId} ${index}`, Buffer.from(key).toString("base64")),
        );
        session(person, id).joinRoomSession([FOCUS], undefined, CALL);
    }
    const same = (user) => {
        const known = [...keys.alice].filter(([whose]) => whose.startsWith(user.id));
        return known.some(([whose, key]) => keys.bob.get(whose) === key);
    };
    await until("both have a key of alice", () => same(alice));
    await until("both have a key of bob", () => same(bob));
    for (const person of [alice, bob]) {
        await session(person, id).leaveRoomSession();
    }
});

scenario("a delayed message waits, is listed, put off, sent, or called off", async ({ server, create }) => {
    const alice = await create("alice");
    const bob = await create("bob");
    const { room_id: id } = await alice.client.createRoom({ invite: [bob.id], preset: "private_chat" });
    await bob.accept(id);
    const plan = async (body, delay) => {
        const content = { msgtype: "m.text", body };
        return (await alice.client._unstable_sendDelayedEvent(id, { delay }, null, "m.room.message", content)).delay_id;
    };
    const hour = 3_600_000;
    const [sent, called, soon] = [await plan("now", hour), await plan("never", hour), await plan("soon", 1_500)];
    const waiting = (await planned(alice)).map((event) => event.delay_id);
    assert(waiting.includes(sent) && waiting.includes(called), String(waiting));
    await bob.sees(id, "soon");
    await alice.client._unstable_cancelScheduledDelayedEvent(called);
    await alice.client._unstable_restartScheduledDelayedEvent(sent);
    await server.killAndRestart();
    await until("it still waits", async () => (await alice.client._unstable_getDelayedEvent(sent)).delay_ms === hour);
    await alice.client._unstable_sendScheduledDelayedEvent(sent);
    await bob.sees(id, "now");
    await assert.rejects(alice.client._unstable_restartScheduledDelayedEvent(soon), { errcode: "M_NOT_FOUND" });
    await assert.rejects(bob.client._unstable_getDelayedEvent(sent), { errcode: "M_NOT_FOUND" });
    assert(!bob.events(id).some((event) => event.getContent().body === "never"));
});

scenario("a call of sticky events is left by who vanishes, too", async ({ server, create }) => {
    const alice = await create("alice");
    const bob = await create("bob");
    const id = await callRoom(alice, bob);
    for (const person of [alice, bob]) {
        session(person, id).joinRoomSession([FOCUS], FOCUS, { ...CALL, unstableSendStickyEvents: true });
    }
    await inCall(alice, id, [alice, bob]);
    await inCall(bob, id, [alice, bob]);
    const room = bob.client.getRoom(id);
    assert.equal(room.currentState.getStateEvents(MEMBER).length, 0, "state where there should be none");

    alice.isOffline = true;
    await server.killAndRestart();
    await inCall(bob, id, [bob]);
    await session(bob, id).leaveRoomSession();
    await inCall(bob, id, []);
});
