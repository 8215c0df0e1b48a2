"""Starts the command that its arguments are, reads the accounts that it prints, and has one write to the other."""

import asyncio
import os
import re
import sys
import time
import urllib.request

BOUND = 60


async def printed(process):
    """Everything the server says up to how to stop it."""
    text = ""
    while "Ctrl-C" not in text:
        line = await process.stdout.readline()
        if not line:
            raise AssertionError(f"it ended and had printed: {text}")
        print(line.decode(), end="", file=sys.stderr)
        text += line.decode()
    return text


async def first_message(text):
    accounts = re.findall(r"^\s*([^\s@]+)@(\S+)\s+password (\S+)$", text, re.MULTILINE)
    port = re.search(r"port (\d+) \(STARTTLS", text)
    if len(accounts) != 2 or not port:
        raise AssertionError("two accounts and the port are not printed")
    os.environ |= {"INTEROP_DOMAIN": accounts[0][1], "INTEROP_HOST": "localhost", "INTEROP_PORT": port[1],
                   "INTEROP_TLS_PORT": "0"}
    from device import Account, Device  # reads the variables

    one, other = [await Device(Account(name, password), "first").online() for name, _, password in accounts]
    one.chat(other.bare, "hello")
    heard = (await other.until(lambda: other.messages("hello"), "the first message"))[0]
    if heard["from"] != one.full:
        raise AssertionError(f"it is from {heard['from']}")
    for device in (one, other):
        await device.offline()


async def opens_the_page(text):
    page = re.search(r"http://localhost:\d+/", text)
    if not page:
        raise AssertionError("no page is printed")
    with await asyncio.to_thread(urllib.request.urlopen, page[0], timeout=10) as answer:
        if answer.status != 200 or "text/html" not in answer.headers["content-type"]:
            raise AssertionError(f"the page is {answer.status} {answer.headers['content-type']}")


async def main():
    start = time.monotonic()
    process = await asyncio.create_subprocess_exec(*sys.argv[1:], stdout=asyncio.subprocess.PIPE)
    try:
        text = await asyncio.wait_for(printed(process), BOUND)
        await asyncio.wait_for(first_message(text), BOUND)
        took = time.monotonic() - start
        if took > BOUND:
            raise AssertionError(f"after {took:.1f} s")
        print(f"ok readme: the first message arrives, {took:.1f} s after the start")
        await opens_the_page(text)
        print("ok readme: the printed page opens")
        process.terminate()
        if await asyncio.wait_for(process.wait(), 30) != 0:
            raise AssertionError(f"it stops with exit code {process.returncode}")
        print("ok readme: it stops when asked")
    except Exception as fault:
        print(f"FAILED readme: {type(fault).__name__}: {fault}".replace("\n", " "))
        return 1
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return 0


sys.exit(asyncio.run(main()))
