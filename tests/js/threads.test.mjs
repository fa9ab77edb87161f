// Threads: what belongs to them, what is unread in them, and the list of them.

import assert from "node:assert/strict";

import { ThreadFilterType } from "matrix-js-sdk/lib/models/thread.js";

import { roomOf } from "./lib/person.mjs";
import { scenario } from "./lib/scenario.mjs";
import { until } from "./lib/until.mjs";

/** Open a thread on the screen and write into it. */
async function reply(person, id, root, body) {
    const room = await person.room(id);
    const event = await until("the root is there", () => room.findEventById(root));
    const thread = room.getThread(root) ?? room.createThread(root, event, [], true);
    // Before it has its first events the library (43.0) loses track of what it sends itself.
    await until("the thread is open", () => thread.initialEventsFetched);
    await person.client.sendMessage(id, root, { msgtype: "m.text", body });
}

/** The replies of a thread, as a person has them. */
function replies(person, id, root) {
    const thread = person.client.getRoom(id).getThread(root);
    const events = thread?.events.filter((event) => event.getId() !== root) ?? [];
    return events.map((event) => event.getContent().body);
}

const unreadIn = (person, id, root) => person.client.getRoom(id).getThreadUnreadNotificationCount(root);
const unreadOutside = (person, id) => person.client.getRoom(id).getRoomUnreadNotificationCount();

scenario("replies stand in their thread and are counted there", async ({ create }) => {
    const alice = await create("alice");
    const bob = await create("bob");
    const id = await roomOf(alice, [bob]);
    const roots = [];
    for (const body of ["lunch", "dinner"]) {
        roots.push((await alice.says(id, body)).getId());
        await bob.sees(id, body);
    }
    const [lunch, dinner] = roots;
    await reply(bob, id, lunch, "noodles");
    await reply(bob, id, lunch, `rice, ${alice.id}?`);
    await reply(bob, id, dinner, "bread");
    await until("alice has the replies", () => replies(alice, id, lunch).length === 2);
    assert.equal(alice.client.getRoom(id).getThread(lunch).length, 2);
    const shown = alice.events(id).map((event) => event.getContent().body);
    assert(!shown.includes("noodles"), "a reply stands outside of its thread");
    await until("two are unread in the one", () => unreadIn(alice, id, lunch) === 2);
    await until("and one in the other", () => unreadIn(alice, id, dinner) === 1);
    assert.equal(unreadOutside(alice, id), 0);

    const last = alice.client.getRoom(id).getThread(lunch).events.at(-1);
    assert.equal(last.threadRootId, lunch);
    await alice.client.sendReadReceipt(last);
    await until("the one is read", () => unreadIn(alice, id, lunch) === 0);
    assert.equal(unreadIn(alice, id, dinner), 1);
    await bob.says(id, "what about breakfast?");
    await until("one is unread outside", () => unreadOutside(alice, id) === 1);
    assert.equal(unreadIn(alice, id, dinner), 1);
    await reply(alice, id, dinner, "yes");
    await until("who replies has read", () => unreadIn(alice, id, dinner) === 0);
    assert.equal(unreadOutside(alice, id), 1);
});

scenario("a new device knows what is unread in which thread", async ({ create, signIn }) => {
    const alice = await create("alice");
    const bob = await create("bob");
    const id = await roomOf(alice, [bob]);
    const root = (await alice.says(id, "lunch")).getId();
    for (const body of ["noodles", "rice", "bread"]) {
        await reply(bob, id, root, body);
    }
    await bob.says(id, "hello?");
    const office = await signIn("alice", { initialSyncLimit: 1 });
    await office.room(id);
    await until("three in the thread", () => unreadIn(office, id, root) === 3);
    await until("one outside", () => unreadOutside(office, id) === 1);
});

scenario("the list of threads has the latest first, and those of one's own apart", async ({ create, signIn }) => {
    const alice = await create("alice");
    const bob = await create("bob");
    const id = await roomOf(alice, [bob]);
    const roots = new Map();
    for (const body of ["one", "two", "three"]) {
        roots.set(body, (await alice.says(id, body)).getId());
        await bob.sees(id, body);
    }
    await reply(bob, id, roots.get("two"), "to two");
    await reply(bob, id, roots.get("three"), "to three");
    await reply(bob, id, roots.get("one"), "to one");
    await reply(alice, id, roots.get("two"), "to two, too");
    const carol = await create("carol");
    await alice.client.invite(id, carol.id);
    await carol.accept(id);
    await reply(carol, id, roots.get("one"), "and carol");

    const office = await signIn("carol", { initialSyncLimit: 1 });
    const room = await office.room(id);
    // The first reads by pages of one, the second as Element Web does.
    const listed = [];
    let from = null;
    do {
        const page = await office.client.createThreadListMessagesRequest(id, from, 1, "b", ThreadFilterType.All);
        listed.push(...page.chunk);
        from = page.end;
    } while (from);
    assert.deepEqual(
        listed.map((event) => event.content.body),
        ["one", "two", "three"],
    );
    const summary = listed[0].unsigned["m.relations"]["m.thread"];
    assert.equal(summary.count, 2);
    assert.equal(summary.latest_event.content.body, "and carol");
    assert(summary.current_user_participated);
    assert(!listed[1].unsigned["m.relations"]["m.thread"].current_user_participated);

    await room.createThreadsTimelineSets();
    await room.fetchRoomThreads();
    const [all, own] = room.threadsTimelineSets.map((set) =>
        set.getLiveTimeline().getEvents().map((event) => event.getContent().body),
    );
    assert.deepEqual(all.toSorted(), ["one", "three", "two"]);
    assert.deepEqual(own, ["one"]);
    const thread = room.getThread(roots.get("one"));
    await until("the thread's replies are loaded", () => replies(office, id, roots.get("one")).length === 2);
    assert.equal(thread.length, 2);
});
