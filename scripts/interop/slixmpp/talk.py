"""Signing in, the roster, presence and chat: what two people do in a day."""

from device import DOMAIN, Account, Device
from people import RUN, check


async def registers(people):
    for account in (people.alices, people.bobs):
        device = await Device(account, "first", register=True).connected()
        check(device.boundjid.bare == account.bare, f"bound as {device.boundjid}")
        await device.offline()


async def is_refused_a_taken_name(people):
    device = Device(Account(people.bobs.name, "mine now"), "thief", register=True)
    device.connect(*device.address)
    await device.until(lambda: device.registration_error, "the refusal")
    check(device.registration_error == "conflict", device.registration_error)
    await device.offline()


async def logs_in(people):
    await people.come_online()
    for device in (people.phone, people.laptop, people.bob):
        check(device.boundjid.full == device.full, f"bound as {device.boundjid}")
        mechanism = device.plugin["feature_mechanisms"].mech.name
        check(mechanism.startswith("SCRAM-"), f"logged in by {mechanism}")


async def logs_in_by_each_mechanism(people):
    for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"):
        device = await Device(people.bobs, "mechanism", mechanism=mechanism).connected()
        check(device.plugin["feature_mechanisms"].mech.name == mechanism, f"not by {mechanism}")
        await device.settled()
        await device.offline()


async def logs_in_by_direct_tls(people):
    device = await Device(people.bobs, "tls", direct_tls=True).connected()
    await device.settled()
    await device.offline()


async def is_refused_with_a_wrong_password(people):
    for account in (Account(people.bobs.name, "not this"), Account(f"nobody-{RUN}", "not this")):
        device = Device(account, "thief")
        device.connect(*device.address)
        await device.until(lambda: device.refused, "the refusal")
        check("bind" not in device.features, "was let in")
        await device.offline()


async def sets_gets_and_removes_a_contact(people):
    phone, laptop = people.phone, people.laptop
    friend = f"carol@{DOMAIN}"
    await phone.update_roster(friend, name="Carol", groups=["Friends", "Chess"])
    push = (await laptop.until(lambda: laptop.pushes(friend), "the roster push"))[-1]
    check(push["name"] == "Carol" and set(push["groups"]) == {"Friends", "Chess"}, f"pushed {push}")
    items = await laptop.roster_items()
    check(items[friend]["name"] == "Carol", f"got {items}")
    check(items[friend]["subscription"] == "none", f"got {items}")
    await phone.del_roster_item(friend)
    removed = lambda: [p for p in laptop.pushes(friend) if p["subscription"] == "remove"]
    await laptop.until(removed, "the push of the removal")
    check(friend not in await phone.roster_items(), "the removed item is still there")


async def subscribes(asker, answerer):
    asker.send_presence_subscription(pto=answerer.bare, ptype="subscribe")
    await answerer.until(lambda: answerer.presences(asker.bare, "subscribe"), "the request")
    answerer.send_presence_subscription(pto=asker.bare, ptype="subscribed")
    await asker.until(lambda: asker.presences(answerer.bare, "subscribed"), "the approval")
    await asker.until(lambda: asker.presences(answerer.full, "available"), "presence after the approval")


async def subscribes_both_ways(people):
    await subscribes(people.phone, people.bob)
    await subscribes(people.bob, people.phone)
    for device, other in ((people.laptop, people.bob), (people.bob, people.phone)):
        is_both = lambda d=device, o=other: [p for p in d.pushes(o.bare) if p["subscription"] == "both"]
        await device.until(is_both, f"the push of {other.bare} as both")
        item = (await device.roster_items())[other.bare]
        check(item["subscription"] == "both", f"{device.full} has {item}")


async def saves_the_download_of_a_known_roster(people):
    check("rosterver" in people.phone.features, "the server does not offer roster versions")
    full = await people.phone.roster_query("")
    check(full["roster"]["items"], "the first download is empty")
    known = full["roster"]["ver"]
    again = await people.phone.roster_query(known)
    check(again.get_plugin("roster", check=True) is None, f"version {known!r} was sent again: {again}")


async def sees_presence(watched, watcher):
    watched.send_presence(pshow="away", pstatus="lunch with a & b")
    await watcher.until(lambda: watcher.presences(watched.full, "away"), "away")
    check(watcher.presences(watched.full, "away")[-1]["status"] == "lunch with a & b", "another status")
    before = len(watcher.presences(watched.full, "available"))
    watched.send_presence()
    await watcher.until(lambda: len(watcher.presences(watched.full, "available")) > before, "available again")


async def sees_presence_both_ways(people):
    phone = people.phone
    await sees_presence(phone, people.bob)
    await sees_presence(people.bob, people.laptop)
    guest = await Device(people.bobs, "guest").online()
    await phone.until(lambda: phone.presences(guest.full, "available"), "the new device")
    await guest.offline()
    await phone.until(lambda: phone.presences(guest.full, "unavailable"), "the device's end")


async def chats_both_ways(people):
    phone, bob = people.phone, people.bob
    people.said = [f"{RUN} one <>&'\" \U0001f426", f"{RUN} two\nsecond line"]
    phone.chat(bob.full, people.said[0])
    heard = (await bob.until(lambda: bob.messages(people.said[0]), "a chat"))[0]
    check(heard["from"] == phone.full, f"from {heard['from']}")
    check(heard["type"] == "chat", f"type {heard['type']}")
    bob.chat(phone.full, people.said[1])
    heard = (await phone.until(lambda: phone.messages(people.said[1]), "the answer"))[0]
    check(heard["from"] == bob.full, f"from {heard['from']}")


async def gets_carbons(people):
    phone, laptop, bob = people.phone, people.laptop, people.bob
    await phone.plugin["xep_0280"].enable()
    await laptop.plugin["xep_0280"].enable()
    sent, received, everywhere = (f"{RUN} {word}" for word in ("sent", "received", "everywhere"))
    phone.chat(bob.bare, sent)
    copy = (await laptop.until(lambda: laptop.carbons(sent, "carbon_sent"), "the sent copy"))[0]
    check(copy["from"] == phone.full and copy["to"] == bob.bare, f"copied {copy}")
    await bob.until(lambda: bob.messages(sent), "the message itself")
    bob.chat(phone.full, received)
    copies = lambda: laptop.carbons(received, "carbon_received")
    copy = (await laptop.until(copies, "the received copy"))[0]
    check(copy["from"] == bob.full and copy["to"] == phone.full, f"copied {copy}")
    bob.chat(phone.bare, everywhere)
    for device in (phone, laptop):
        seen = lambda d=device: d.messages(everywhere) + d.carbons(everywhere, "carbon_received")
        await device.until(seen, "the message to the bare address")
        await device.settled()
        check(len(seen()) == 1, f"{device.full} has it {len(seen())} times")
    own = phone.carbons(sent, "carbon_sent") + phone.carbons(received, "carbon_received")
    check(not own, "the device that has the message got a copy of it too")
    people.said += [sent, received, everywhere]


async def gets_an_offline_message(people):
    body = f"{RUN} while you were out"
    phone = people.phone
    before = len(phone.presences(people.bob.full, "unavailable"))
    await people.bob.offline()
    gone = lambda: len(phone.presences(people.bob.full, "unavailable")) > before
    await phone.until(gone, "Bob's end")
    phone.chat(people.bob.bare, body)
    await phone.settled()
    people.bob = bob = await Device(people.bobs, "desk").online()
    heard = (await bob.until(lambda: bob.messages(body), "the offline message"))[0]
    check(heard.get_plugin("delay", check=True) is not None, "it has no delay")
    check(heard["from"] == phone.full, f"from {heard['from']}")
    await bob.settled()
    check(len(bob.messages(body)) == 1, f"it came {len(bob.messages(body))} times")
    await bob.offline()
    people.bob = bob = await Device(people.bobs, "desk").online()
    await bob.settled()
    check(not bob.messages(body), "it came again at the next login")
    people.said.append(body)


TESTS = {
    "registers in-band": registers,
    "is refused a name that is taken": is_refused_a_taken_name,
    "logs in by SCRAM over STARTTLS": logs_in,
    "logs in by SCRAM-SHA-256, SCRAM-SHA-1 and PLAIN": logs_in_by_each_mechanism,
    "logs in over direct TLS": logs_in_by_direct_tls,
    "is refused with a wrong password or an unknown name": is_refused_with_a_wrong_password,
    "sets, gets and removes a roster item, pushed to the other device": sets_gets_and_removes_a_contact,
    "subscribes both ways": subscribes_both_ways,
    "does not download a roster that it has": saves_the_download_of_a_known_roster,
    "sees presence both ways": sees_presence_both_ways,
    "chats both ways": chats_both_ways,
    "gets carbons on the second device": gets_carbons,
    "gets an offline message once, with its delay": gets_an_offline_message,
}
