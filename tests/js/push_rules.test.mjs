// Push rules: they are set, they reach the other devices, and the counts follow them: what is unread
// counts by the rules of now, not by those of when it was sent (docs/decisions/0007).

import assert from "node:assert/strict";

import { roomOf } from "./lib/person.mjs";
import { scenario } from "./lib/scenario.mjs";
import { until } from "./lib/until.mjs";

/** Wait until this person's counts of a room are these. */
async function counts(person, id, total, highlight) {
    const room = person.client.getRoom(id);
    const now = () => [room.getUnreadNotificationCount("total"), room.getUnreadNotificationCount("highlight")];
    try {
        await until(`${total} unread, ${highlight} highlights`, () => String(now()) === String([total, highlight]));
    } catch (error) {
        throw new Error(`the counts are ${now()}`, { cause: error });
    }
}

const ruleOf = (person, kind, name) => person.client.pushRules?.global[kind]?.find((rule) => rule.rule_id === name);

scenario("a muted room counts nothing, on all devices", async ({ create, signIn }) => {
    const alice = await create("alice");
    const bob = await create("bob");
    const office = await signIn("bob");
    const id = await roomOf(alice, [bob]);
    await office.room(id);
    await bob.client.setRoomMutePushRule("global", id, true);
    await until("the other device knows", () => ruleOf(office, "room", id));
    await alice.says(id, "not for bob");
    await bob.sees(id, "not for bob");
    await bob.client.sendReadReceipt(await bob.sees(id, "not for bob"));
    await alice.says(id, "nor this");
    const elsewhere = await roomOf(alice, [bob]);
    await office.room(elsewhere);
    await alice.says(elsewhere, "for bob");
    await counts(bob, elsewhere, 1, 0);
    await counts(office, elsewhere, 1, 0);
    await counts(bob, id, 0, 0);
    await counts(office, id, 0, 0);
    await bob.client.setRoomMutePushRule("global", id, false);
    await until("the other device knows", () => !ruleOf(office, "room", id));
    await alice.says(id, "but this");
    await counts(bob, id, 2, 0);
    await counts(office, id, 2, 0);
});

scenario("a word of one's own makes a highlight until it is taken away", async ({ create }) => {
    const alice = await create("alice");
    const bob = await create("bob");
    const id = await roomOf(alice, [bob]);
    const highlight = ["notify", { set_tweak: "sound", value: "default" }, { set_tweak: "highlight" }];
    await bob.client.addPushRule("global", "content", "cake", { pattern: "cake", actions: highlight });
    const rule = await until("it came back by sync", () => ruleOf(bob, "content", "cake"));
    assert.deepEqual(rule.actions, highlight);
    await alice.says(id, "There is Cake!");
    await counts(bob, id, 1, 1);
    await alice.says(id, "and pancakes");
    await counts(bob, id, 2, 1);
    await bob.client.setPushRuleActions("global", "content", "cake", []);
    await until("it is silent", () => ruleOf(bob, "content", "cake").actions.length === 0);
    await alice.says(id, "not about it");
    await counts(bob, id, 2, 0);
    await bob.client.setPushRuleEnabled("global", "content", "cake", false);
    await until("it is off", () => !ruleOf(bob, "content", "cake").enabled);
    await alice.says(id, "cake without a rule");
    await counts(bob, id, 4, 0);
    await bob.client.deletePushRule("global", "content", "cake");
    await until("it is gone", () => !ruleOf(bob, "content", "cake"));
});

scenario("rules that everybody has can be switched off and changed, but not deleted", async ({ create }) => {
    const alice = await create("alice");
    const bob = await create("bob");
    const id = await roomOf(alice, [bob]);
    await bob.client.setPushRuleEnabled("global", "underride", ".m.rule.room_one_to_one", false);
    await bob.client.setPushRuleEnabled("global", "underride", ".m.rule.message", false);
    await until("both are off", () => !ruleOf(bob, "underride", ".m.rule.message").enabled);
    await alice.says(id, "quiet");
    const mention = { msgtype: "m.text", body: "bob!", "m.mentions": { user_ids: [bob.id] } };
    await alice.client.sendMessage(id, mention);
    await counts(bob, id, 1, 1);
    await bob.client.setPushRuleActions("global", "override", ".m.rule.is_user_mention", ["notify"]);
    await alice.client.sendMessage(id, { ...mention, body: "bob again" });
    await counts(bob, id, 2, 0);
    await bob.client.setPushRuleEnabled("global", "override", ".m.rule.master", true);
    await until("nothing rings", () => ruleOf(bob, "override", ".m.rule.master").enabled);
    await alice.client.sendMessage(id, { ...mention, body: "and again" });
    await counts(bob, id, 0, 0);
    await assert.rejects(bob.client.deletePushRule("global", "underride", ".m.rule.message"), { httpStatus: 404 });
    await assert.rejects(bob.client.addPushRule("global", "content", ".mine", { pattern: "x", actions: [] }), {
        httpStatus: 400,
    });
});
