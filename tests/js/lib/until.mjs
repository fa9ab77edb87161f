// Waiting for what a client will know sooner or later.

import { setTimeout as pause } from "node:timers/promises";

/** How long one condition may take, in milliseconds: two slow cores run several tests at once. */
export const PATIENCE = 60_000;

/** How often a condition is looked at, in milliseconds. */
const GLANCE = 20;

/** Look until there is something truthy; gives it. An error means: not yet. */
export async function until(what, look) {
    const end = Date.now() + PATIENCE;
    let last;
    while (Date.now() < end) {
        try {
            const found = await look();
            if (found) {
                return found;
            }
            last = undefined;
        } catch (error) {
            last = error;
        }
        await pause(GLANCE);
    }
    throw new Error(`waited ${PATIENCE / 1000} seconds in vain: ${what}`, { cause: last });
}
