// Searching messages on the server.

import assert from "node:assert/strict";

import { roomOf } from "./lib/person.mjs";
import { scenario } from "./lib/scenario.mjs";

const found = (results) => results.results.map((result) => result.context.getEvent().getContent().body);

scenario("a search finds what the searcher may see, with what stands around it", async ({ create }) => {
    const alice = await create("alice");
    const bob = await create("bob");
    const shared = await roomOf(alice, [bob]);
    const alone = await roomOf(alice, []);
    await alice.says(shared, "before");
    await alice.says(shared, "The minutes of Tuesday's meeting");
    await alice.says(shared, "after");
    await alice.says(alone, "my minutes");

    const forAlice = await alice.client.searchRoomEvents({ term: "minutes" });
    assert.equal(forAlice.count, 2);
    assert.deepEqual(found(forAlice), ["my minutes", "The minutes of Tuesday's meeting"]);
    const forBob = await bob.client.searchRoomEvents({ term: "MINUTES" });
    assert.deepEqual(found(forBob), ["The minutes of Tuesday's meeting"]);
    assert.deepEqual(
        forBob.results[0].context.getTimeline().map((event) => event.getContent().body),
        ["before", "The minutes of Tuesday's meeting", "after"],
    );
    assert(forBob.highlights.includes("minutes"));
    const here = await alice.client.searchRoomEvents({ term: "minutes", filter: { rooms: [alone] } });
    assert.deepEqual(found(here), ["my minutes"]);
    const byBob = await alice.client.searchRoomEvents({ term: "minutes", filter: { senders: [bob.id] } });
    assert.deepEqual(found(byBob), []);
    assert.deepEqual(found(await alice.client.searchRoomEvents({ term: "nothing of that kind" })), []);
    await bob.client.leave(shared);
    await alice.says(shared, "minutes without bob");
    assert(!found(await bob.client.searchRoomEvents({ term: "minutes" })).includes("minutes without bob"));
});

scenario("results come page by page, the newest first, each once", async ({ create }) => {
    const alice = await create("alice");
    const id = await roomOf(alice, []);
    const said = Array.from({ length: 25 }, (_, number) => `budget ${number}`);
    for (const body of said) {
        await alice.client.sendTextMessage(id, body);
    }
    const results = await alice.client.searchRoomEvents({ term: "budget", filter: { limit: 10 } });
    assert.equal(results.count, said.length);
    assert.equal(results.results.length, 10);
    while (results.next_batch) {
        await alice.client.backPaginateRoomEventsSearch(results);
    }
    assert.deepEqual(found(results), said.toReversed());
});

scenario("what was redacted or edited away is not found any more", async ({ create }) => {
    const alice = await create("alice");
    const id = await roomOf(alice, []);
    const slip = await alice.says(id, "the password is swordfish");
    assert.deepEqual(found(await alice.client.searchRoomEvents({ term: "swordfish" })).length, 1);
    await alice.client.redactEvent(id, slip.getId());
    assert.deepEqual(found(await alice.client.searchRoomEvents({ term: "swordfish" })), []);
});
