"""XEP-0198: nothing is lost and nothing doubled when the socket is cut, the server is restarted, or it is killed."""

import asyncio
import os
from pathlib import Path

from device import Device
from people import RUN, check

SERVER = Path(__file__).resolve().parent.parent / "server.sh"


async def restart(signal):
    process = await asyncio.create_subprocess_exec(SERVER, "restart", signal, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    check(process.returncode == 0, f"the server was not restarted by {signal}: {output.decode()}")


async def robust_device(people, resource):
    device = await Device(people.alices, resource, stream_management=True).online()
    await people.bob.until(lambda: people.bob.presences(device.full, "available"), "the device's presence")
    check(device.plugin["xep_0198"].sm_id, "the server gave no resumption id")
    return device


async def resumes_a_cut_stream(people):
    bob = people.bob
    robust = await robust_device(people, "robust")
    lost, after = f"{RUN} said before the cut", f"{RUN} sent after the cut"
    missed = [f"{RUN} sent in the cut, {number}" for number in range(5)]
    robust.chat(bob.full, lost)
    await robust.cut()
    for body in missed:
        bob.chat(robust.full, body)
    await bob.settled()
    await robust.resumed()
    await robust.until(lambda: robust.messages(missed[-1]), "the last message sent in the cut")
    await bob.until(lambda: bob.messages(lost), "what was sent just before the cut")
    bob.chat(robust.full, after)
    await robust.until(lambda: robust.messages(after), "a message after the resumption")
    await robust.settled()
    await bob.settled()
    heard = [body for body in robust.bodies() if body in missed]
    check(heard == missed, f"of those sent in the cut came {heard}")
    check(len(bob.messages(lost)) == 1, f"Bob has it {len(bob.messages(lost))} times")
    check(not bob.presences(robust.full, "unavailable"), "Bob saw it go away")
    await robust.offline()
    await bob.until(lambda: bob.presences(robust.full, "unavailable"), "the end of a closed stream")


async def resumes_again_and_again(people):
    bob = people.bob
    robust = await robust_device(people, "again")
    said = []
    for round in range(5):
        before, during = f"{RUN} round {round}", f"{RUN} cut {round}"
        bob.chat(robust.full, before)
        await robust.cut()
        bob.chat(robust.full, during)
        await bob.settled()
        await robust.resumed()
        await robust.until(lambda: robust.messages(during), "what was sent in the cut")
        said += [before, during]
    await robust.settled()
    heard = [body for body in robust.bodies() if body in said]
    check(heard == said, f"heard {heard}")
    await robust.offline()


async def resumes_after_a_restart(people):
    robust = await robust_device(people, "restarted")
    bob = people.bob
    bob.chat(robust.full, f"{RUN} before the restart")
    await robust.until(lambda: robust.messages(f"{RUN} before the restart"), "a message before the restart")
    await restart("TERM")
    await robust.until(lambda: robust.ended, "the end of the connection")
    people.bob = bob = await Device(people.bobs, "desk").online()
    missed = [f"{RUN} after the restart, {number}" for number in range(5)]
    for body in missed:
        bob.chat(robust.full, body)
    await bob.settled()
    await robust.resumed()
    await robust.until(lambda: robust.messages(missed[-1]), "the last message sent while away")
    await robust.settled()
    heard = [body for body in robust.bodies() if body in [f"{RUN} before the restart", *missed]]
    check(heard == [f"{RUN} before the restart", *missed], f"heard {heard}")
    robust.chat(bob.full, f"{RUN} back again")
    await bob.until(lambda: bob.messages(f"{RUN} back again"), "a message from the resumed stream")
    check(not bob.presences(robust.full, "unavailable"), "Bob saw it go away")
    await robust.offline()


async def loses_nothing_when_the_server_is_killed(people):
    robust = await Device(people.alices, "killed", stream_management=True).online()
    await people.bob.offline()
    await robust.settled()
    kept = [f"{RUN} kept, {number}" for number in range(20)]
    for body in kept:
        robust.chat(people.bobs.bare, body)
    await robust.acknowledged()
    await restart("KILL")
    await robust.until(lambda: robust.ended, "the end of the connection")
    people.bob = bob = await Device(people.bobs, "desk").online()
    await bob.until(lambda: bob.messages(kept[-1]), "the last acknowledged message")
    await bob.settled()
    heard = [body for body in bob.bodies() if body in kept]
    check(heard == kept, f"acknowledged were {kept}, heard {heard}")
    mam = bob.plugin["xep_0313"]
    archived = [m["mam_result"]["forwarded"]["stanza"]["body"] async for m in mam.iterate(rsm={"max": 50})]
    check([body for body in archived if body in kept] == kept, f"archived {archived}")
    await robust.connected_again()
    robust.chat(bob.full, f"{RUN} after the kill")
    await bob.until(lambda: bob.messages(f"{RUN} after the kill"), "a message after the kill")
    check(len(bob.messages(f"{RUN} after the kill")) == 1, "it came twice")
    await robust.offline()


TESTS = {
    "resumes a cut stream and loses and doubles nothing": resumes_a_cut_stream,
    "resumes five times and loses and doubles nothing": resumes_again_and_again,
}
if os.environ["INTEROP_KIND"] == "starling":
    TESTS |= {
        "resumes after the server was restarted": resumes_after_a_restart,
        "loses nothing acknowledged when the server is killed": loses_nothing_when_the_server_is_killed,
    }
