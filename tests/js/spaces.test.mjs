// Spaces: what is in them, and rooms that their members may join.

import assert from "node:assert/strict";

import { RoomHierarchy } from "matrix-js-sdk/lib/room-hierarchy.js";

import { SERVER_NAME } from "./lib/server.mjs";
import { scenario } from "./lib/scenario.mjs";
import { until } from "./lib/until.mjs";

async function makeSpace(person, name) {
    const made = await person.client.createRoom({
        name,
        preset: "public_chat",
        creation_content: { type: "m.space" },
        power_level_content_override: { events_default: 100 },
    });
    return made.room_id;
}

/** A room that members of the space may join. */
async function roomFor(person, space, name) {
    const rule = { join_rule: "restricted", allow: [{ type: "m.room_membership", room_id: space }] };
    const made = await person.client.createRoom({
        name,
        preset: "private_chat",
        initial_state: [{ type: "m.room.join_rules", state_key: "", content: rule }],
    });
    return made.room_id;
}

const add = (person, space, room, more = {}) =>
    person.client.sendStateEvent(space, "m.space.child", { via: [SERVER_NAME], ...more }, room);

const names = (rooms) => rooms.map((room) => room.name);

/** Everything in a space, page by page. */
async function everythingIn(person, space, ...wishes) {
    const hierarchy = new RoomHierarchy(await person.room(space), ...wishes);
    while (hierarchy.canLoadMore) {
        await hierarchy.load();
    }
    return hierarchy;
}

scenario("a space shows its members what they may see, in the order of its owner", async ({ create }) => {
    const alice = await create("alice");
    const bob = await create("bob");
    const space = await makeSpace(alice, "the ministry");
    const inner = await makeSpace(alice, "the department");
    const open = (await alice.client.createRoom({ name: "open", preset: "public_chat" })).room_id;
    const members = await roomFor(alice, space, "members");
    const secret = (await alice.client.createRoom({ name: "secret", preset: "private_chat" })).room_id;
    const deep = (await alice.client.createRoom({ name: "deep", preset: "public_chat" })).room_id;
    await add(alice, space, open, { order: "b" });
    await add(alice, space, members, { order: "a", suggested: true });
    await add(alice, space, secret, { order: "c" });
    await add(alice, space, inner, { order: "d" });
    await add(alice, inner, deep);

    assert.deepEqual(names((await everythingIn(alice, space)).rooms), [
        "the ministry",
        "members",
        "open",
        "secret",
        "the department",
        "deep",
    ]);
    await bob.client.joinRoom(space);
    const seen = await everythingIn(bob, space, 2);
    assert.deepEqual(names(seen.rooms), ["the ministry", "members", "open", "the department", "deep"]);
    assert(seen.isSuggested(space, members) && !seen.isSuggested(space, open));
    const [top, restricted] = seen.rooms;
    assert.equal(top.room_type, "m.space");
    assert.equal(restricted.join_rule, "restricted");
    assert.deepEqual(names((await everythingIn(bob, space, 50, 1)).rooms).at(-1), "the department");
    assert.deepEqual(names((await everythingIn(bob, space, 50, 3, true)).rooms), ["the ministry", "members"]);
    // Taken out again.
    await alice.client.sendStateEvent(space, "m.space.child", {}, inner);
    assert.deepEqual(names((await everythingIn(bob, space)).rooms), ["the ministry", "members", "open"]);
});

scenario("members of a space join its rooms without an invitation, others do not", async ({ create }) => {
    const alice = await create("alice");
    const bob = await create("bob");
    const space = await makeSpace(alice, "the ministry");
    const id = await roomFor(alice, space, "members");
    await add(alice, space, id);
    await assert.rejects(bob.client.joinRoom(id), { errcode: "M_FORBIDDEN", httpStatus: 403 });
    await bob.client.joinRoom(space);
    await bob.room(space);
    await bob.client.joinRoom(id);
    const room = await bob.room(id);
    await until("alice sees bob", () => alice.client.getRoom(id).getJoinedMemberCount() === 2);
    const join = room.currentState.getStateEvents("m.room.member", bob.id);
    assert.equal(join.getContent().join_authorised_via_users_server, alice.id);
    await alice.says(id, "welcome");
    await bob.sees(id, "welcome");
    // Who leaves the space stays in the room, but does not come back.
    await bob.client.leave(space);
    await bob.says(id, "still here");
    await bob.client.leave(id);
    await bob.room(id, "leave");
    await assert.rejects(bob.client.joinRoom(id), { errcode: "M_FORBIDDEN" });
});

scenario("a room says what one would join before one joins", async ({ create }) => {
    const alice = await create("alice");
    const bob = await create("bob");
    const space = await makeSpace(alice, "the ministry");
    const id = await roomFor(alice, space, "members");
    await assert.rejects(bob.client.getRoomSummary(id, [SERVER_NAME]), { errcode: "M_NOT_FOUND" });
    await bob.client.joinRoom(space);
    const summary = await bob.client.getRoomSummary(id, [SERVER_NAME]);
    assert.equal(summary.name, "members");
    assert.equal(summary.join_rule, "restricted");
    assert.deepEqual(summary.allowed_room_ids, [space]);
    assert.equal(summary.membership ?? "leave", "leave");
});
