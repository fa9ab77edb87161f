"""A server goes away and comes back: what was, is, and what follows, arrives."""

import json

from client import quote
from scenarios import scenario


def goes_on(pair, room, what):
    """Everything that two servers do for a room all the time."""
    home, away = pair.home, pair.away
    for teller, told in ((home, away), (away, home)):
        told.sync()
        text = f"{what}, says {teller.id}"
        event = teller.send(room, text)
        told.sees(room, text)
        told.post(f"/v3/rooms/{quote(room)}/receipt/m.read/{quote(event)}")
        teller.is_told_ephemeral(room, "a receipt", told)
        typing = f"/v3/rooms/{quote(room)}/typing/{quote(teller.id)}"
        teller.put(typing, {"typing": True, "timeout": 20_000})
        told.is_told_ephemeral(room, "typing", teller)
        # Who goes on typing is not told anew, not even to a server that was restarted meanwhile.
        teller.put(typing, {"typing": False})
        status = {"presence": "online", "status_msg": text}
        teller.put(f"/v3/presence/{quote(teller.id)}/status", status)
        told.is_told_presence(teller, text)
        body = {"messages": {told.id: {"*": {"text": text}}}}
        teller.put(f"/v3/sendToDevice/m.test/{teller.transaction()}", body)
        told.sync_until("a message to the device", lambda answer: text in json.dumps(
            answer.get("to_device", {})))
    pair.same_state(room)


@scenario
def a_room_goes_on_after_either_server_was_restarted(pair):
    room = pair.shared_room()
    goes_on(pair, room, "before")
    for number, server in enumerate(pair.servers):
        server.stop()
        server.start()
        goes_on(pair, room, f"after restart {number}")


@scenario
def a_room_goes_on_after_either_server_was_killed(pair):
    room = pair.shared_room()
    for number, server in enumerate(pair.servers):
        pair.home.send(room, f"before the end of {number}")
        pair.away.send(room, f"just before the end of {number}")
        server.kill()
        server.start()
        goes_on(pair, room, f"after the end of {number}")
        for person in (pair.home, pair.away):
            person.sees(room, f"before the end of {number}", f"just before the end of {number}")


@scenario
def what_happens_while_a_server_is_down_is_there_when_it_is_back(pair):
    room = pair.shared_room()
    people = ((pair.home, pair.away), (pair.away, pair.home))
    # First the one away is down, then the one at home.
    for server, (awake, asleep) in zip(reversed(pair.servers), people):
        asleep.sync()
        server.stop()
        texts = [f"{number} while {asleep.id} is down" for number in range(5)]
        events = [awake.send(room, text) for text in texts]
        awake.redact(room, events[0])
        body = {"messages": {asleep.id: {"*": {"text": texts[0]}}}}
        awake.put(f"/v3/sendToDevice/m.test/{awake.transaction()}", body)
        server.start()
        asleep.sees(room, *texts[1:])
        assert texts[0] not in asleep.texts(room)
        # It was said while nobody was there to hear it, and waited.
        asleep.since = None
        asleep.sync_until("a message to the device", lambda answer: texts[0] in json.dumps(
            answer.get("to_device", {})))
    pair.same_state(room)
