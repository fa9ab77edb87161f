// A real browser without a screen, driven over the Chrome DevTools protocol.

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { until } from "./until.mjs";

const PROGRAM = process.env.CHROMIUM ?? "chromium";

/** Whether there is one. Debian: apt install chromium. */
export function hasChromium() {
    return spawnSync(PROGRAM, ["--version"]).status === 0;
}

export class Chromium {
    #asked = 0;
    #waiting = new Map();
    /** What the browser said by itself, oldest first. */
    events = [];

    /** Start it with one empty page, in the size of a telephone. */
    static async start(language) {
        const browser = new Chromium();
        browser.folder = mkdtempSync(join(tmpdir(), "blaupause-chromium-"));
        const flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"];
        const own = [`--user-data-dir=${browser.folder}`, `--accept-lang=${language}`, "about:blank"];
        // With its helpers a process group of its own, which ends as a whole.
        const stdio = ["ignore", "ignore", "pipe"];
        browser.process = spawn(PROGRAM, [...flags, ...own], { stdio, detached: true });
        let said = "";
        browser.process.stderr.on("data", (text) => (said += text));
        const address = await until("the browser listens", () => said.match(/ws:\/\/\S+/)?.[0]);
        browser.socket = new WebSocket(address);
        await new Promise((open) => (browser.socket.onopen = open));
        browser.socket.onmessage = ({ data }) => browser.#hear(JSON.parse(data));
        const { targetId } = await browser.ask("Target.createTarget", { url: "about:blank" });
        const { sessionId } = await browser.ask("Target.attachToTarget", { targetId, flatten: true });
        browser.session = sessionId;
        for (const domain of ["Page", "Runtime", "Network"]) {
            await browser.ask(`${domain}.enable`);
        }
        const size = { width: 420, height: 900, deviceScaleFactor: 1, mobile: false };
        await browser.ask("Emulation.setDeviceMetricsOverride", size);
        return browser;
    }

    #hear(message) {
        if (message.id) {
            this.#waiting.get(message.id)(message);
            this.#waiting.delete(message.id);
        } else {
            this.events.push(message);
        }
    }

    async ask(method, params = {}) {
        const id = ++this.#asked;
        const answer = new Promise((answered) => this.#waiting.set(id, answered));
        this.socket.send(JSON.stringify({ id, method, params, sessionId: this.session }));
        const { result, error } = await answer;
        assert.equal(error, undefined, method);
        return result;
    }

    /** The value of an expression in the page. */
    async value(expression) {
        const asked = { expression, awaitPromise: true, returnByValue: true };
        const { result, exceptionDetails } = await this.ask("Runtime.evaluate", asked);
        assert.equal(exceptionDetails, undefined, expression.slice(0, 200));
        return result.value;
    }

    /** Do something that loads a page, and wait for it. */
    async #load(act) {
        const before = this.events.length;
        await act();
        await until("the page is loaded", () =>
            this.events.slice(before).some(({ method }) => method === "Page.loadEventFired"),
        );
    }

    async open(url) {
        await this.#load(() => this.ask("Page.navigate", { url }));
    }

    /** Fill in the page's form and press its button. */
    async send(fields, button = "main form button") {
        const fill = (fields, button) => {
            for (const [name, value] of Object.entries(fields)) {
                document.querySelector(`main [name="${name}"]`).value = value;
            }
            document.querySelector(button).click();
        };
        await this.#load(() => this.value(`(${fill})(${JSON.stringify(fields)}, ${JSON.stringify(button)})`));
    }

    /** Press a button that leads to another site, which is not there; gives its address. */
    async leave(button, origin) {
        const before = this.events.length;
        await this.value(`document.querySelector(${JSON.stringify(button)}).click()`);
        return until(`the browser asks ${origin}`, () => {
            const asked = this.events.slice(before).filter(({ method }) => method === "Network.requestWillBeSent");
            const found = asked.find(({ params }) => params.request.url.startsWith(origin));
            return found && found.params.request.url + (found.params.request.urlFragment ?? "");
        });
    }

    stop() {
        this.socket.close();
        process.kill(-this.process.pid, "SIGKILL");
        // The helpers may write for another moment.
        rmSync(this.folder, { recursive: true, force: true, maxRetries: 30, retryDelay: 100 });
    }
}
