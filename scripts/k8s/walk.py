"""Runs the lines of a page of docs, in their order and as they stand, on the nodes of `make k8s-e2e`.

  walk.py tutorial|guide FOLDER      works in that folder; STARLING and LOADTEST name the programs

Prints `ok …` or `FAILED …` and why for each line. What is not run, or not just so, stands in the tables of walks.py with its reason; `tutorial.py`
looks that each of them is a line of the page.
"""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

from walks import ROOT, WALKS

WITHIN = 240


class Walk:
    def __init__(self, page, folder):
        self.page, self.folder, self.going = page, folder, []
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "target/release").mkdir(parents=True)
        for name in ("deploy", "loadtest", "scripts"):
            (folder / name).symlink_to(ROOT / name)
        for name, program in (("starling", os.environ["STARLING"]), ("starling-loadtest", os.environ["LOADTEST"])):
            (folder / "target/release" / name).symlink_to(pathlib.Path(program).resolve())
        for name, text in page.files().items():
            (folder / name).write_text(text)
        self.environment = os.environ | {"HOME": str(folder), "PATH": f"{folder}/target/release:{os.environ['PATH']}"}

    def shell(self, line):
        done = subprocess.run(["timeout", str(WITHIN), "bash", "-c", line], cwd=self.folder, env=self.environment, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        return done.returncode, done.stdout

    def told(self):
        return (self.folder / "said").read_text()

    def begin(self, line):
        """Runs on; what it says is in the file `said`."""
        with open(self.folder / "said", "w") as said:
            started = subprocess.Popen(["bash", "-c", f"exec {line}"], cwd=self.folder, env=self.environment, stdout=said, stderr=said,
                                       start_new_session=True)
        self.going.append(started)
        return started

    def end(self, started):
        if started.poll() is None:
            os.killpg(started.pid, signal.SIGTERM)
        started.wait(60)

    def endless(self, line, until):
        started = self.begin(line)
        if until is None:
            time.sleep(3)
            return started.poll() or 0, self.told()
        code, out = self.shell(until)
        code = started.poll() or code  # one that has ended with an error has not gone on
        self.end(started)
        return code, self.told() + out

    def run(self, line):
        page = self.page
        code, out = self.shell(page.first[line]) if line in page.first else (0, "")
        if code:
            return code, out
        words = line + (" " + page.added[line][0] if line in page.added else "")
        for name, value in page.named.get(line, {}).items():
            words = words.replace(name, value)
        if line in page.endless:
            code, out = self.endless(words, page.endless[line])
        else:
            code, out = self.shell(words)
            (self.folder / "said").write_text(out)
        if code == 0 and line in page.then:
            code, more = self.shell(page.then[line])
            out += more
        return code, out

    def all(self):
        failed = 0
        for line in self.page.lines():
            told = " ".join(line.split())
            if line in self.page.left_out:
                print(f"   left out: {told} ({self.page.left_out[line]})", flush=True)
                continue
            began = time.monotonic()
            code, out = self.run(line)
            failed += code != 0
            print(f"{'FAILED' if code else 'ok'} {told} ({time.monotonic() - began:.0f} s)", flush=True)
            if code:
                print("\n".join(f"    {one}" for one in out.splitlines()[-20:]), flush=True)
        for started in self.going:
            self.end(started)
        return failed


if __name__ == "__main__":
    sys.exit(Walk(WALKS[sys.argv[1]], pathlib.Path(sys.argv[2])).all() != 0)
