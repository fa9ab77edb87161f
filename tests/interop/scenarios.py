"""What two servers do together. Each scenario is a function of a `Pair`; its text says the rule.

A scenario knows nothing of the servers behind the two: the same ones run between two Blaupause
servers, and between Blaupause and Synapse in both directions.
"""

import json
import threading

from client import Person, quote, request, until

ROOM_VERSIONS = ["6", "7", "8", "9", "10", "11", "12"]
SCENARIOS = []


class Pair:
    """Somebody at home, where rooms are made, and somebody away, who comes in from elsewhere."""

    def __init__(self, home, away, suffix):
        self.servers = (home, away)
        self.home = Person(home, f"anna{suffix}")
        self.away = Person(away, f"bert{suffix}")
        self.other = Person(away, f"bea{suffix}")

    def public_room(self, **options):
        return self.home.create(preset="public_chat", name="Lage", **options)

    def shared_room(self, **options):
        """A public room of the one at home that the one from elsewhere has joined."""
        room = self.public_room(**options)
        self.away.join(room, self.home.server)
        return room

    def private_room(self, **options):
        return self.home.create(preset="private_chat", name="Privat", **options)

    def same_state(self, room):
        home, away = self.home, self.away
        until("the same state", lambda: home.all_state(room) == away.all_state(room))


def scenario(run):
    SCENARIOS.append(run)
    return run


@scenario
def joins_through_a_server_and_has_the_same_state(pair):
    room = pair.public_room()
    pair.home.send(room, "before")
    pair.away.join(room, pair.home.server)
    pair.same_state(room)


@scenario
def messages_go_both_ways_in_order_and_once(pair):
    room = pair.shared_room()
    texts = [f"message {number}" for number in range(20)]
    for number, text in enumerate(texts):
        (pair.home if number % 2 else pair.away).send(room, text)
    for person in (pair.home, pair.away):
        person.sees(room, *texts)
        assert sorted(person.texts(room)) == sorted(texts), person.texts(room)
    pair.same_state(room)


@scenario
def history_from_before_the_join_can_be_read(pair):
    room = pair.public_room()
    texts = [f"old {number}" for number in range(150)]
    for text in texts:
        pair.home.send(room, text)
    pair.away.join(room, pair.home.server)
    pair.away.sees(room, *texts)
    assert pair.away.texts(room) == texts[::-1], "not in order, or not once"


@scenario
def a_redaction_takes_the_content_away_on_both(pair):
    room = pair.shared_room()
    event = pair.home.send(room, "secret")
    pair.away.sees(room, "secret")
    pair.home.redact(room, event)
    until("it is gone", lambda: "secret" not in pair.away.texts(room))


@scenario
def a_kick_arrives(pair):
    room = pair.shared_room()
    until("the join", lambda: pair.home.membership(room, pair.away) == "join")
    pair.home.act(room, "kick", pair.away)
    until("the kick", lambda: room not in pair.away.get("/v3/joined_rooms")["joined_rooms"])


@scenario
def who_is_banned_stays_out_until_unbanned(pair):
    room = pair.shared_room()
    until("the join", lambda: pair.home.membership(room, pair.away) == "join")
    pair.home.act(room, "ban", pair.away)
    until("the ban", lambda: room not in pair.away.get("/v3/joined_rooms")["joined_rooms"])
    status, answer = pair.away.try_join(room, pair.home.server)
    assert status == 403, (status, answer)
    pair.home.act(room, "unban", pair.away)
    until("the unban", lambda: pair.away.try_join(room, pair.home.server)[0] == 200)
    pair.same_state(room)


@scenario
def who_leaves_is_gone_and_may_come_back(pair):
    room = pair.shared_room()
    pair.away.leave(room)
    until("the leave", lambda: pair.home.membership(room, pair.away) == "leave")
    pair.home.send(room, "meanwhile")
    pair.away.join(room, pair.home.server)
    pair.away.sees(room, "meanwhile")
    pair.same_state(room)


@scenario
def typing_and_receipts_arrive(pair):
    room = pair.shared_room()
    pair.home.sync()
    pair.away.sync()
    typing = f"/v3/rooms/{quote(room)}/typing/{quote(pair.home.id)}"
    pair.home.put(typing, {"typing": True, "timeout": 20_000})
    pair.away.is_told_ephemeral(room, "typing", pair.home)
    event = pair.home.send(room, "read me")
    pair.away.sees(room, "read me")
    pair.away.post(f"/v3/rooms/{quote(room)}/receipt/m.read/{quote(event)}")
    pair.home.is_told_ephemeral(room, "a receipt", pair.away)


@scenario
def presence_arrives(pair):
    room = pair.shared_room()
    until("the join", lambda: pair.home.membership(room, pair.away) == "join")
    for teller, told in ((pair.home, pair.away), (pair.away, pair.home)):
        told.sync()
        text = f"at the desk of {teller.id}"
        status = {"presence": "online", "status_msg": text}
        teller.put(f"/v3/presence/{quote(teller.id)}/status", status)
        told.is_told_presence(teller, text)


@scenario
def an_invitation_arrives_and_is_accepted(pair):
    room = pair.private_room(invite=[pair.away.id], is_direct=True)
    pair.away.is_invited(room)
    pair.away.join(room)
    pair.home.send(room, "welcome")
    pair.away.sees(room, "welcome")
    pair.same_state(room)


@scenario
def an_invitation_can_be_declined(pair):
    room = pair.private_room()
    pair.home.act(room, "invite", pair.away)
    pair.away.is_invited(room)
    pair.away.leave(room)
    until("the refusal", lambda: pair.home.membership(room, pair.away) == "leave")


@scenario
def who_knocks_is_let_in(pair):
    rules = {"type": "m.room.join_rules", "state_key": "", "content": {"join_rule": "knock"}}
    room, via = pair.private_room(initial_state=[rules]), pair.home.server
    pair.away.post(f"/v3/knock/{quote(room)}", {"reason": "please"}, via=via, server_name=via)
    until("the knock", lambda: pair.home.membership(room, pair.away) == "knock")
    pair.home.act(room, "invite", pair.away)
    pair.away.is_invited(room)
    pair.away.join(room)
    pair.same_state(room)


@scenario
def only_members_of_the_other_room_join_a_restricted_one(pair):
    gate = pair.shared_room()
    allow = [{"type": "m.room_membership", "room_id": gate}]
    content = {"join_rule": "restricted", "allow": allow}
    rules = {"type": "m.room.join_rules", "state_key": "", "content": content}
    room = pair.private_room(initial_state=[rules])
    until("the join", lambda: pair.home.membership(gate, pair.away) == "join")
    status, answer = pair.other.try_join(room, pair.home.server)
    assert status == 403, (status, answer)
    pair.away.join(room, pair.home.server)
    pair.same_state(room)


@scenario
def an_alias_leads_to_the_room(pair):
    name = f"lage{pair.home.transaction()}"
    room = pair.public_room(room_alias_name=name)
    alias = f"#{name}:{pair.home.server}"
    found = pair.away.get(f"/v3/directory/room/{quote(alias)}")
    assert found["room_id"] == room and pair.home.server in found["servers"], found
    pair.away.join(alias)
    pair.same_state(room)


@scenario
def the_directory_can_be_read_from_elsewhere(pair):
    room = pair.public_room(visibility="public")
    found = pair.away.post("/v3/publicRooms", {"limit": 100}, server=pair.home.server)
    assert room in [chunk["room_id"] for chunk in found["chunk"]], found


@scenario
def a_profile_can_be_read_from_elsewhere(pair):
    path = f"/v3/profile/{quote(pair.home.id)}"
    pair.home.put(f"{path}/displayname", {"displayname": "Anna Amt"})
    assert pair.away.get(path)["displayname"] == "Anna Amt"


@scenario
def messages_to_devices_arrive_once(pair):
    pair.away.sync()
    body = {"messages": {pair.away.id: {"*": {"number": 1}}}}
    pair.home.put(f"/v3/sendToDevice/m.test/{pair.home.transaction()}", body)
    pair.home.put(f"/v3/sendToDevice/m.last/{pair.home.transaction()}", body)
    seen = []

    def pick(answer):
        events = answer.get("to_device", {}).get("events", [])
        seen.extend(e["type"] for e in events if e["sender"] == pair.home.id)
        return "m.last" in seen

    pair.away.sync_until("messages to the device", pick)
    assert seen == ["m.test", "m.last"], seen


@scenario
def keys_can_be_asked_for(pair):
    found = pair.home.post("/v3/keys/query", {"device_keys": {pair.away.id: []}})
    assert not found.get("failures"), found


@scenario
def media_can_be_read_from_elsewhere(pair):
    headers = {**pair.home.headers, "Content-Type": "text/plain"}
    url = f"{pair.home.base}/_matrix/media/v3/upload?filename=a.txt"
    status, answer = request("POST", url, b"hello media", headers)
    assert status == 200, answer
    path = json.loads(answer)["content_uri"].removeprefix("mxc://")
    url = f"{pair.away.base}/_matrix/client/v1/media/download/{path}"
    status, content = request("GET", url, headers=pair.away.headers)
    assert (status, content) == (200, b"hello media"), (status, content[:200])


@scenario
def a_space_shows_the_rooms_of_the_other_server(pair):
    room, via = pair.public_room(), [pair.home.server]
    space = pair.public_room(creation_content={"type": "m.space"})
    pair.home.set_state(space, "m.space.child", {"via": via}, room)
    top = pair.away.create(preset="public_chat", creation_content={"type": "m.space"})
    pair.away.set_state(top, "m.space.child", {"via": via}, space)
    found = pair.away.get(f"/v1/rooms/{quote(top)}/hierarchy")
    assert [r["room_id"] for r in found["rooms"]] == [top, space, room], found


@scenario
def conflicting_state_ends_the_same_on_both(pair):
    room = pair.shared_room()
    levels = pair.home.state(room, "m.room.power_levels")
    levels["events"] = {**levels.get("events", {}), "m.room.topic": 0}
    pair.home.set_state(room, "m.room.power_levels", levels)
    pair.same_state(room)

    def set_topics(person):
        for number in range(5):
            person.set_state(room, "m.room.topic", {"topic": f"{person.id} {number}"})

    threads = [threading.Thread(target=set_topics, args=[p]) for p in (pair.home, pair.away)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # An event that names both branches as its parents.
    pair.home.send(room, "done")
    pair.away.sees(room, "done")
    pair.away.send(room, "done too")
    pair.home.sees(room, "done too")
    pair.same_state(room)


def of_version(version):
    def run(pair):
        room = pair.shared_room(room_version=version)
        pair.away.send(room, "hello")
        pair.home.sees(room, "hello")
        pair.same_state(room)

    run.__name__ = f"room_version_{version}_works"
    return run


for version in ROOM_VERSIONS:
    scenario(of_version(version))
