// A browser without JavaScript, for the server's pages: it keeps cookies, follows redirects on the
// server, and sends forms as they stand on a page.

import assert from "node:assert/strict";

export class Browser {
    cookies = new Map();

    constructor(origin) {
        this.origin = origin;
    }

    /** Ask for an address; redirects to other sites are not followed but answered. */
    async open(address, form) {
        let url = new URL(address, this.origin);
        let body = form && new URLSearchParams(form);
        for (let hop = 0; hop < 10; hop++) {
            const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join("; ");
            const response = await fetch(url, {
                method: body ? "POST" : "GET",
                headers: { cookie, "accept-language": "en" },
                body,
                redirect: "manual",
            });
            for (const line of response.headers.getSetCookie()) {
                const [name, value] = line.split(";")[0].split("=");
                this.cookies.set(name, value);
            }
            if (![302, 303].includes(response.status)) {
                return { url, status: response.status, html: await response.text() };
            }
            url = new URL(response.headers.get("location"), url);
            body = undefined;
            if (url.origin !== this.origin) {
                return { url, status: 303, html: "" };
            }
        }
        return assert.fail("redirected in circles");
    }

    /** Send the first form of a page. */
    async send(page, fields) {
        const [, action] = page.html.match(/<form method="post" action="([^"]*)"/) ?? assert.fail(page.html);
        const [, word] = page.html.match(/name="word" value="([^"]*)"/);
        const address = new URL(action.replaceAll("&amp;", "&"), page.url);
        return this.open(address, { ...fields, word });
    }

    /** Sign in on the page to which the server sent somebody, and go on. */
    async signIn(page, name, password) {
        assert.equal(page.url.pathname, "/account/login");
        return this.send(page, { name, password });
    }
}
