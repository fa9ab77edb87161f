// A mail relay on loopback that keeps what it is given.

import { createServer } from "node:net";

import { until } from "./until.mjs";

export class Relay {
    mails = [];

    static async start() {
        const relay = new Relay();
        relay.listener = createServer((socket) => relay.#talk(socket));
        await new Promise((ready) => relay.listener.listen(0, "127.0.0.1", ready));
        return relay;
    }

    /** What the server's configuration says about it. */
    get lines() {
        const { port } = this.listener.address();
        return `[mail]\nserver = "127.0.0.1"\nport = ${port}\ntls = "none"\nfrom = "Matrix <matrix@example.org>"`;
    }

    #talk(socket) {
        let text = "";
        let data = null;
        let to = "";
        const line = (said) => {
            const verb = said.split(/[ :]/)[0].toUpperCase();
            if (data !== null) {
                if (said !== ".") {
                    return void data.push(said);
                }
                this.mails.push({ to, text: decoded(data) });
                data = null;
                return void socket.write("250 taken\r\n");
            }
            if (verb === "RCPT") {
                [, to] = said.match(/<(.*)>/);
            }
            if (verb === "DATA") {
                data = [];
                return void socket.write("354 go on\r\n");
            }
            socket.write(verb === "EHLO" ? "250-relay\r\n250 8BITMIME\r\n" : "250 ok\r\n");
            if (verb === "QUIT") {
                socket.end();
            }
        };
        socket.on("error", () => {});
        socket.on("data", (bytes) => {
            text += bytes;
            const lines = text.split("\r\n");
            text = lines.pop();
            lines.forEach(line);
        });
        socket.write("220 relay\r\n");
    }

    /** The mail of this number, from 1. */
    mail(number) {
        return until(`mail ${number} comes`, () => this.mails[number - 1]);
    }

    stop() {
        this.listener.close();
    }
}

/** Quoted-printable (RFC 2045, section 6.7), as far as ASCII is concerned. */
function decoded(lines) {
    const joined = lines.join("\n").replaceAll("=\n", "");
    return joined.replace(/=([0-9A-F]{2})/g, (_, hex) => String.fromCharCode(parseInt(hex, 16)));
}
