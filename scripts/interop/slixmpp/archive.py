"""XEP-0313: what was said is found again, whole, by page, by contact and by time."""

from datetime import datetime, timedelta, timezone

from slixmpp import JID

from device import DOMAIN
from people import check


def ids(results):
    return [result["mam_result"]["id"] for result in results]


async def is_found_by(device, other, said):
    mam = device.plugin["xep_0313"]
    results = (await mam.retrieve(with_jid=other.bare, rsm={"max": 50}))["mam"]["results"]
    found = [r["mam_result"]["forwarded"]["stanza"]["body"] for r in results]
    check(found == said, f"{device.full} found {found}, not {said}")
    for result in results:
        check(result["mam_result"]["forwarded"]["delay"]["stamp"], "a result has no delay")
    check(len(set(ids(results))) == len(results), "two results share an id")
    none = await mam.retrieve(with_jid=f"nobody@{DOMAIN}", rsm={"max": 50})
    check(not none["mam"]["results"], "the archive answers with another contact's messages")
    return ids(results)


async def finds_the_chat_on_both_sides(people):
    await is_found_by(people.phone, people.bob, people.said)
    await is_found_by(people.bob, people.phone, people.said)


async def pages_from_both_ends(people):
    whole = await is_found_by(people.phone, people.bob, people.said)
    mam = people.phone.plugin["xep_0313"]
    paged = [m async for m in mam.iterate(with_jid=people.bob.bare, rsm={"max": 2})]
    check(ids(paged) == whole, f"pages of two have {ids(paged)}, the whole {whole}")
    back = [m async for m in mam.iterate(with_jid=people.bob.bare, reverse=True, rsm={"max": 2})]
    check(ids(back) == whole[::-1], f"pages from the end have {ids(back)}, the whole {whole}")
    after = (await mam.retrieve(with_jid=people.bob.bare, rsm={"max": 50, "after": whole[1]}))["mam"]["results"]
    check(ids(after) == whole[2:], f"after the second come {ids(after)}")
    count = await mam.retrieve(with_jid=people.bob.bare, rsm={"max": 0})
    check(count["mam_fin"]["rsm"]["count"] in ("", str(len(whole))), f"counted {count['mam_fin']['rsm']['count']}")


async def filters_by_time(people):
    mam = people.phone.plugin["xep_0313"]
    now, hour = datetime.now(timezone.utc), timedelta(hours=1)
    for start, end, expected in ((now - hour, now + hour, people.said), (now + hour, None, []), (None, now - hour, [])):
        page = await mam.retrieve(with_jid=people.bob.bare, start=start, end=end, rsm={"max": 50})
        found = [r["mam_result"]["forwarded"]["stanza"]["body"] for r in page["mam"]["results"]]
        check(found == expected, f"from {start} to {end}: {found}")


async def live_and_archived_ids_are_one(people):
    whole = await is_found_by(people.bob, people.phone, people.said)
    body = people.said[-1] + " again"
    people.phone.chat(people.bob.bare, body)
    live = (await people.bob.until(lambda: people.bob.messages(body), "the message"))[0]
    people.said.append(body)
    archived = await is_found_by(people.bob, people.phone, people.said)
    check(archived[:-1] == whole, "an id has changed")
    stanza_ids = [(s.get("by"), s.get("id")) for s in live.xml.iterfind("{urn:xmpp:sid:0}stanza-id")]
    check((people.bob.bare, archived[-1]) in stanza_ids, f"live {stanza_ids}, archived {archived[-1]}")


async def knows_fields_metadata_and_preferences(people):
    mam = people.phone.plugin["xep_0313"]
    fields = set((await mam.get_fields()).get_fields())
    check({"with", "start", "end", "before-id", "after-id", "ids"} <= fields, f"fields {fields}")
    whole = [m async for m in mam.iterate(rsm={"max": 50})]
    metadata = (await mam.get_archive_metadata())["mam_metadata"]
    check(metadata["start"]["id"] == ids(whole)[0] and metadata["end"]["id"] == ids(whole)[-1], f"{metadata}")
    preferences = people.phone.plugin["xep_0441"]
    check((await preferences.get_preferences())[0] == "always", "not archived by default")
    dave = JID(f"dave@{DOMAIN}")
    await preferences.set_preferences(default="roster", always=[], never=[dave])
    got = await preferences.get_preferences()
    check(got == ("roster", set(), {dave}), f"preferences {got}")
    await preferences.set_preferences(default="always", always=[], never=[])


TESTS = {
    "finds the chat in both archives, by contact": finds_the_chat_on_both_sides,
    "pages an archive from both ends": pages_from_both_ends,
    "filters an archive by time": filters_by_time,
    "sees the id of the archive on the live message": live_and_archived_ids_are_one,
    "knows the archive's fields, metadata and preferences": knows_fields_metadata_and_preferences,
}
