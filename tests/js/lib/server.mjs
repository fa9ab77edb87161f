// A real `blaupause`, on a free port, with a data folder of its own.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { until } from "./until.mjs";

/** The part after the colon of every user id in the tests. */
export const SERVER_NAME = "blaupause.test";

/** An identity provider that cannot be reached. */
const NOBODY = 'issuer = "http://127.0.0.1:1/realms/amt"\nclient_auth = "none"';

/** So much of the server's log is shown when a test fails. */
const TAIL_LINES = 150;

/**
 * `BLAUPAUSE_BIN`, else what `cargo build` in the checkout makes: in ~/.cache/blaupause-target if
 * that folder exists (as xtask does), else in `target`.
 */
function program() {
    if (process.env.BLAUPAUSE_BIN) {
        return process.env.BLAUPAUSE_BIN;
    }
    const warm = join(homedir(), ".cache/blaupause-target");
    const cold = fileURLToPath(new URL("../../../target", import.meta.url));
    const path = join(existsSync(warm) ? warm : cold, "debug/blaupause");
    assert(existsSync(path), `no ${path}: build it, or set BLAUPAUSE_BIN`);
    return path;
}

/** A port that nobody uses at the moment. */
async function freePort() {
    const server = createServer();
    await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
    const { port } = server.address();
    await new Promise((closed) => server.close(closed));
    return port;
}

/** A running server. Rate limits stay as in production: a real client has to get along with them. */
export class Server {
    /** `oauth`: with the OAuth 2.0 server, which must know its address before it starts, and an
     *  identity provider: `oidc` has the lines about it; without them nobody can reach it.
     *  `sections`: more of the configuration. */
    static async start({ oauth = false, oidc = NOBODY, sections = "" } = {}) {
        const server = new Server();
        server.folder = mkdtempSync(join(tmpdir(), "blaupause-js-"));
        server.log = join(server.folder, "server.log");
        server.config = join(server.folder, "blaupause.toml");
        const data = join(server.folder, "data");
        const listen = `127.0.0.1:${oauth ? await freePort() : 0}`;
        const generate = ["generate-config", "--server-name", SERVER_NAME, "--listen", listen];
        const generated = execFileSync(program(), [...generate, "--data-dir", data], { encoding: "utf8" });
        assert.match(generated, /mode = "closed"/);
        let opened = generated.replace('mode = "closed"', 'mode = "open"');
        if (oauth) {
            opened = opened.replace("[server]\n", `[server]\npublic_base_url = "http://${listen}"\n`);
            opened += "\n[oauth]\nenabled = true\n";
            opened += `\n[[login.oidc]]\nid = "kc"\nname = "Amt & Co"\nclient_id = "matrix"\n${oidc}\n`;
        }
        opened += `\n[login.argon2]\nmemory = "1 MiB"\npasses = 1\n${sections}\n`;
        writeFileSync(server.config, opened);
        try {
            await server.#serve();
        } catch (error) {
            console.error(server.tail());
            server.stop();
            throw error;
        }
        return server;
    }

    /** A process, until it listens. */
    async #serve() {
        const ready = join(this.folder, "ready.json");
        rmSync(ready, { force: true });
        const log = openSync(this.log, "a");
        const served = spawn(program(), ["serve", "--config", this.config, "--ready-file", ready], {
            stdio: ["ignore", log, log],
        });
        this.process = served;
        const addresses = await until("the server is ready", () => {
            if (served.exitCode !== null) {
                return "ended";
            }
            return existsSync(ready) && JSON.parse(readFileSync(ready, "utf8"));
        });
        assert.notEqual(addresses, "ended", "the server ended");
        this.url = `http://${addresses.listen[0]}`;
    }

    /** SIGKILL in the midst of everything, then a new process on the same port with the same data. */
    async killAndRestart() {
        this.process.kill("SIGKILL");
        await until("the server is dead", () => this.process.signalCode);
        const config = readFileSync(this.config, "utf8");
        writeFileSync(this.config, config.replace('"127.0.0.1:0"', `"${new URL(this.url).host}"`));
        await this.#serve();
    }

    /** The last lines of the log. */
    tail() {
        return readFileSync(this.log, "utf8").split("\n").slice(-TAIL_LINES).join("\n");
    }

    /** Kill it; its data goes with it. */
    stop() {
        this.process.kill("SIGKILL");
        rmSync(this.folder, { recursive: true, force: true });
    }
}
