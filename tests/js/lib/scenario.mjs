// One test: a server of its own, people, and the server's log if it fails.

import { after, test } from "node:test";

import { Person } from "./person.mjs";
import { Server } from "./server.mjs";

/** A whole test, in milliseconds. */
const LENGTH_MAX = 180_000;

// The library leaves timers behind that run for hours, also after stopClient. The results are out
// long before this one.
after(() => setTimeout(() => process.exit(), 1_000));

/**
 * Run a test against a server of its own. `run` gets two functions: `create(name)` for a person
 * with a new account, `signIn(name)` for one more device of theirs. `options`: see `Server.start`.
 */
export function scenario(name, run, options = {}) {
    test(name, { timeout: LENGTH_MAX }, async () => {
        const server = await Server.start(options);
        const people = [];
        const keep = async (person) => {
            people.push(await person);
            return person;
        };
        try {
            await run({
                server,
                create: (name) => keep(Person.create(server, name)),
                signIn: (name, options) => keep(Person.signIn(server, name, options)),
            });
        } catch (error) {
            console.error(`--- the end of the server's log of "${name}"\n${server.tail()}`);
            throw error;
        } finally {
            for (const person of people) {
                person.stop();
            }
            server.stop();
        }
    });
}
