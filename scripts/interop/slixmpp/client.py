"""slixmpp against the server: what a chat client of a person does in a day, each step checked on both sides."""

import asyncio
import logging
import sys

import archive
import own
import robust
import talk
from people import People


async def test(what, steps):
    """Whatever goes wrong is this test's result, and the next one shall run."""
    try:
        await asyncio.wait_for(steps, 60)
    except Exception as fault:
        print(f"FAILED slixmpp: {what}: {type(fault).__name__}: {fault}".replace("\n", " "), flush=True)
        return 1
    print(f"ok slixmpp: {what}", flush=True)
    return 0


async def main():
    logging.basicConfig(level=logging.WARNING)
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # slixmpp drops tasks of former connections unawaited
    people, failed = People(), 0
    for module in (talk, archive, own, robust):
        for what, function in module.TESTS.items():
            failed += await test(what, function(people))
    await people.leave()
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    return 1 if failed else 0


sys.exit(asyncio.run(main()))
