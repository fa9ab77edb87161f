// Comparing emojis: how people make sure that a device, or a person, is the one they mean.

import assert from "node:assert/strict";

import { CryptoEvent, VerificationPhase, VerifierEvent } from "matrix-js-sdk/lib/crypto-api/index.js";

import { until } from "./until.mjs";

/** From now on remember the requests that arrive at a device. */
export function requestsTo(person) {
    const requests = [];
    person.client.on(CryptoEvent.VerificationRequestReceived, (request) => requests.push(request));
    return requests;
}

/** What the screen shows of one side. */
function side(verifier) {
    let shown;
    verifier.on(VerifierEvent.ShowSas, (sas) => (shown = sas));
    const done = verifier.verify();
    // Looked at below; until then nobody does.
    done.catch(() => {});
    return {
        done,
        shown: () => until("emojis are shown", () => shown ?? verifier.getShowSasCallbacks()),
    };
}

/** Both sides compare emojis; `sent` is the request as the one has it, `received` as the other. */
export async function compareEmojis(sent, received) {
    await received.accept();
    await until("both are ready", () => sent.phase === VerificationPhase.Ready);
    const ours = await sent.startVerification("m.sas.v1");
    const theirs = await until("the other side begins, too", () => received.verifier);
    const sides = [side(ours), side(theirs)];
    const [here, there] = await Promise.all(sides.map((one) => one.shown()));
    assert.equal(here.sas.emoji.length, 7);
    assert.deepEqual(here.sas.emoji, there.sas.emoji);
    assert.deepEqual(here.sas.decimal, there.sas.decimal);
    await Promise.all([here.confirm(), there.confirm()]);
    await Promise.all(sides.map((one) => one.done));
    await until("both are done", () =>
        [sent, received].every((request) => request.phase === VerificationPhase.Done),
    );
}
