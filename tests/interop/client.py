"""A person with a Matrix client, in as few lines as possible. Standard library only."""

import json
import time
import urllib.error
import urllib.parse
import urllib.request

# Seconds that one request may take: a join over the network may need several others.
REQUEST_TIME = 90
# Seconds until something that was done on one server shows on the other.
ARRIVAL_TIME = 20


class Refused(Exception):
    """A request was not answered with 200."""

    def __init__(self, what, status, body):
        super().__init__(f"{what}: {status} {body[:300]!r}")
        self.status = status
        self.body = body


def quote(text):
    return urllib.parse.quote(text, safe="")


def request(method, url, body=None, headers=None, **query):
    """One request; the answer's status and bytes, whatever the status."""
    if query:
        url += "?" + urllib.parse.urlencode(query, doseq=True)
    data = body
    headers = dict(headers or {})
    if isinstance(body, (dict, list)):
        data = json.dumps(body).encode()
        headers["Content-Type"] = "application/json"
    asked = urllib.request.Request(url, data=data, method=method, headers=headers)
    try:
        with urllib.request.urlopen(asked, timeout=REQUEST_TIME) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def until(what, look, seconds=ARRIVAL_TIME):
    """Look again and again until there is something to see; that is returned."""
    end = time.monotonic() + seconds
    last = None
    while time.monotonic() < end:
        try:
            last = look()
            if last:
                return last
        except Refused as error:
            last = error
        time.sleep(0.1)
    raise AssertionError(f"not seen in {seconds} s: {what} (last: {last})")


class Person:
    """Somebody with an account on a server, signed in on one device."""

    def __init__(self, server, name):
        self.base = server.client_url
        self.server = server.name
        self.since = None
        self.count = 0
        account = {
            "username": name,
            "password": "a long password, 17 words",
            "auth": {"type": "m.login.dummy"},
        }
        self.headers = {}
        answer = self.post("/v3/register", account)
        self.id = answer["user_id"]
        self.headers = {"Authorization": "Bearer " + answer["access_token"]}

    def __repr__(self):
        return self.id

    def ask(self, method, path, body=None, **query):
        """Status and JSON."""
        url = self.base + "/_matrix/client" + path
        status, answer = request(method, url, body, self.headers, **query)
        return status, json.loads(answer or b"null")

    def call(self, method, path, body=None, **query):
        status, answer = self.ask(method, path, body, **query)
        if status != 200:
            raise Refused(f"{self.id} {method} {path}", status, json.dumps(answer))
        return answer

    def get(self, path, **query):
        return self.call("GET", path, None, **query)

    def post(self, path, body=None, **query):
        return self.call("POST", path, body or {}, **query)

    def put(self, path, body, **query):
        return self.call("PUT", path, body, **query)

    def transaction(self):
        self.count += 1
        return f"{time.time_ns()}-{self.count}"

    # Rooms

    def create(self, **options):
        return self.post("/v3/createRoom", options)["room_id"]

    def join(self, room, via=None):
        status, answer = self.try_join(room, via)
        if status != 200:
            raise Refused(f"{self.id} joins {room}", status, json.dumps(answer))

    def try_join(self, room, via=None):
        # `server_name` is what `via` was called before v1.12.
        query = {"via": via, "server_name": via} if via else {}
        return self.ask("POST", f"/v3/join/{quote(room)}", {}, **query)

    def leave(self, room):
        self.post(f"/v3/rooms/{quote(room)}/leave")

    def act(self, room, action, other, **more):
        self.post(f"/v3/rooms/{quote(room)}/{action}", {"user_id": other.id, **more})

    def send(self, room, text, kind="m.room.message", content=None):
        content = content or {"msgtype": "m.text", "body": text}
        path = f"/v3/rooms/{quote(room)}/send/{kind}/{self.transaction()}"
        return self.put(path, content)["event_id"]

    def redact(self, room, event):
        self.put(f"/v3/rooms/{quote(room)}/redact/{quote(event)}/{self.transaction()}", {})

    def set_state(self, room, kind, content, key=""):
        path = f"/v3/rooms/{quote(room)}/state/{kind}/{quote(key)}"
        return self.put(path, content)["event_id"]

    def state(self, room, kind, key=""):
        return self.get(f"/v3/rooms/{quote(room)}/state/{kind}/{quote(key)}")

    def all_state(self, room):
        """Event id of each state key."""
        events = self.get(f"/v3/rooms/{quote(room)}/state")
        return {(event["type"], event["state_key"]): event["event_id"] for event in events}

    def membership(self, room, other):
        return self.state(room, "m.room.member", other.id)["membership"]

    def history(self, room):
        """All messages that the server gives, newest first, page by page."""
        events, query = [], {"dir": "b", "limit": 100}
        while True:
            page = self.get(f"/v3/rooms/{quote(room)}/messages", **query)
            events += page["chunk"]
            if not page.get("end") or not page["chunk"]:
                return events
            query["from"] = page["end"]

    def texts(self, room):
        events = self.history(room)
        return [e["content"].get("body") for e in events if e["type"] == "m.room.message"]

    def sees(self, room, *texts):
        until(f"{self.id} sees {texts}", lambda: set(texts) <= set(self.texts(room)))

    # Sync

    def sync(self, wait_ms=0):
        query = {"timeout": wait_ms}
        if self.since:
            query["since"] = self.since
        answer = self.get("/v3/sync", **query)
        self.since = answer["next_batch"]
        return answer

    def sync_until(self, what, pick):
        """Sync until `pick` finds something in an answer."""
        return until(f"{self.id} syncs {what}", lambda: pick(self.sync(1000)))

    def is_told_ephemeral(self, room, what, person):
        def pick(answer):
            told = answer.get("rooms", {}).get("join", {}).get(room, {}).get("ephemeral", {})
            return person.id in json.dumps(told)

        self.sync_until(what, pick)

    def is_told_presence(self, person, text):
        def pick(answer):
            events = answer.get("presence", {}).get("events", [])
            told = [event["content"] for event in events if event["sender"] == person.id]
            return any(content.get("status_msg") == text for content in told)

        self.sync_until("presence", pick)

    def is_invited(self, room):
        self.sync_until("an invitation", lambda a: room in a.get("rooms", {}).get("invite", {}))
