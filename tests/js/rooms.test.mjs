// Rooms over the classic /sync: members on demand, receipts, redactions, rights.

import assert from "node:assert/strict";

import { roomOf } from "./lib/person.mjs";
import { scenario } from "./lib/scenario.mjs";
import { until } from "./lib/until.mjs";

scenario("lazy loading brings only the members that are needed", async ({ create, signIn }) => {
    const alice = await create("alice");
    const bob = await create("bob");
    const carol = await create("carol");
    const id = await roomOf(alice, [bob, carol]);
    await bob.says(id, "only bob and alice speak");
    await alice.says(id, "so carol is not needed");

    const office = await signIn("alice", { initialSyncLimit: 2 });
    const room = await office.room(id);
    await office.sees(id, "so carol is not needed");
    assert.equal(room.getJoinedMemberCount(), 3);
    assert.notEqual(room.getMember(bob.id), null, "the sender of a shown message is missing");
    assert.equal(room.getMember(carol.id), null, "a member that nobody asked for");
    await room.loadMembersIfNeeded();
    assert.equal(room.getMember(carol.id)?.membership, "join");
    assert.equal(room.getJoinedMembers().length, 3);
});

scenario("a message is sent once however often the client tries", async ({ create }) => {
    const alice = await create("alice");
    const id = await roomOf(alice, []);
    const first = await alice.client.sendTextMessage(id, "once", "the-same-transaction");
    const again = await alice.client.http.authedRequest(
        "PUT",
        `/rooms/${encodeURIComponent(id)}/send/m.room.message/the-same-transaction`,
        undefined,
        { msgtype: "m.text", body: "once" },
    );
    assert.equal(again.event_id, first.event_id);
    await alice.says(id, "later");
    const texts = alice.events(id).filter((event) => event.getType() === "m.room.message");
    assert.deepEqual(
        texts.map((event) => event.getContent().body),
        ["once", "later"],
    );
});

scenario("everybody sees a public receipt and only oneself a private one", async ({ create, signIn }) => {
    const alice = await create("alice");
    const bob = await create("bob");
    const office = await signIn("bob");
    const id = await roomOf(alice, [bob]);
    const first = await alice.says(id, "read privately");
    const second = await alice.says(id, "read publicly");
    const readBy = (person, user) => person.client.getRoom(id)?.getEventReadUpTo(user, true);
    const seen = await bob.sees(id, "read privately");
    await bob.client.sendReadReceipt(seen, "m.read.private", true);
    await until("bob's other browser knows", () => readBy(office, bob.id) === first.getId());
    await bob.client.sendReadReceipt(await bob.sees(id, "read publicly"), "m.read", true);
    await until("alice sees the public receipt", () => readBy(alice, bob.id) === second.getId());
    const room = alice.client.getRoom(id);
    const leaked = alice.events(id).some((event) =>
        room.getReceiptsForEvent(event).some((receipt) => receipt.type === "m.read.private"),
    );
    assert(!leaked, "alice was told of the private receipt");
});

scenario("unread messages and mentions are counted until they are read", async ({ create }) => {
    const alice = await create("alice");
    const bob = await create("bob");
    const id = await roomOf(alice, [bob]);
    const room = bob.client.getRoom(id);
    await alice.says(id, "one");
    const content = { msgtype: "m.text", body: "bob?", "m.mentions": { user_ids: [bob.id] } };
    await alice.client.sendMessage(id, content);
    await until("two notifications, one of them loud", () => {
        const all = room.getUnreadNotificationCount("total");
        return all === 2 && room.getUnreadNotificationCount("highlight") === 1;
    });
    await bob.client.sendReadReceipt(await bob.sees(id, "bob?"));
    await until("nothing is unread", () => room.getUnreadNotificationCount("total") === 0);
});

scenario("a redacted message is empty for everybody", async ({ create, signIn }) => {
    const alice = await create("alice");
    const bob = await create("bob");
    const id = await roomOf(alice, [bob], { encrypted: true });
    const event = await alice.says(id, "my password is …");
    const seen = await bob.sees(id, "my password is …");
    await alice.client.redactEvent(id, event.getId(), undefined, { reason: "a slip" });
    await until("bob sees it redacted", () => seen.isRedacted());
    assert.deepEqual(seen.getContent(), {});
    const office = await signIn("bob");
    await office.room(id);
    const later = await until("a new device has it redacted", () =>
        office.events(id).find((other) => other.getId() === event.getId()),
    );
    assert(later.isRedacted());
    assert.equal(later.getUnsigned().redacted_because.content.reason, "a slip");
});

scenario("rights are given and taken with the power levels", async ({ create }) => {
    const alice = await create("alice");
    const bob = await create("bob");
    const id = await roomOf(alice, [bob]);
    await assert.rejects(bob.client.setRoomName(id, "bob's room"), { errcode: "M_FORBIDDEN", httpStatus: 403 });
    await alice.client.setPowerLevel(id, bob.id, 50);
    await until("bob has learned of it", () => bob.client.getRoom(id).getMember(bob.id)?.powerLevel === 50);
    await bob.client.setRoomName(id, "bob's room");
    await until("alice sees the new name", () => alice.client.getRoom(id).name === "bob's room");
    await assert.rejects(bob.client.setPowerLevel(id, bob.id, 100), { errcode: "M_FORBIDDEN" });
    await alice.client.setPowerLevel(id, bob.id, 0);
    await until("bob has learned of it", () => bob.client.getRoom(id).getMember(bob.id)?.powerLevel === 0);
    await assert.rejects(bob.client.setRoomName(id, "again"), { errcode: "M_FORBIDDEN" });
});

scenario("the creator of a room cannot be overruled", async ({ create }) => {
    const alice = await create("alice");
    const bob = await create("bob");
    const id = await roomOf(alice, [bob]);
    await alice.client.setPowerLevel(id, bob.id, 100);
    await until("bob has learned of it", () => bob.client.getRoom(id).getMember(bob.id)?.powerLevel === 100);
    await assert.rejects(bob.client.kick(id, alice.id), { errcode: "M_FORBIDDEN" });
});

scenario("who leaves and is kicked is gone", async ({ create }) => {
    const alice = await create("alice");
    const bob = await create("bob");
    const id = await roomOf(alice, [bob]);
    await alice.client.kick(id, bob.id, "a test");
    await bob.room(id, "leave");
    await assert.rejects(bob.client.sendTextMessage(id, "still here"), { errcode: "M_FORBIDDEN" });
    await until("alice is alone", () => alice.client.getRoom(id).getJoinedMemberCount() === 1);
    await alice.client.invite(id, bob.id);
    await bob.accept(id);
    await bob.client.leave(id);
    await bob.room(id, "leave");
});

scenario("scrolling back shows every message once and in order", async ({ create, signIn }) => {
    const alice = await create("alice");
    const id = await roomOf(alice, []);
    const said = Array.from({ length: 45 }, (_, number) => `message ${number}`);
    for (const body of said) {
        await alice.client.sendTextMessage(id, body);
    }
    const office = await signIn("alice", { initialSyncLimit: 5 });
    const room = await office.room(id);
    const timeline = room.getLiveTimeline();
    while (await office.client.paginateEventTimeline(timeline, { backwards: true, limit: 10 }));
    const shown = timeline.getEvents().filter((event) => event.getType() === "m.room.message");
    assert.deepEqual(
        shown.map((event) => event.getContent().body),
        said,
    );
    assert.equal(timeline.getEvents()[0].getType(), "m.room.create");
});

scenario("who types is shown until they stop", async ({ create }) => {
    const alice = await create("alice");
    const bob = await create("bob");
    const id = await roomOf(alice, [bob]);
    const typing = () => alice.client.getRoom(id).getMember(bob.id)?.typing;
    await bob.client.sendTyping(id, true, 30_000);
    await until("alice sees bob type", () => typing());
    await bob.client.sendTyping(id, false, 0);
    await until("alice sees bob stop", () => !typing());
});
