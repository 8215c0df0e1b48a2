"""All checks of the chart, the image, the overlays, the alerts and the dashboards; the last line is `N passed, N failed`. Words on the command line choose tests."""

import sys
import time
import unittest

import backup
import chart
import images
import kustomize
import observability
import operators
import sending
import tutorial
import values


class Told(unittest.TextTestResult):
    """Names each test with the time it took."""

    def startTest(self, test):
        self.began, self.bad = time.monotonic(), len(self.failures) + len(self.errors)
        super().startTest(test)

    def stopTest(self, test):
        failed = len(self.failures) + len(self.errors) > self.bad
        name = test.id().rpartition("test_")[2].replace("_", " ")
        print(f"{'FAILED' if failed else 'ok'} {name} ({time.monotonic() - self.began:.1f} s)", flush=True)
        super().stopTest(test)


def chosen(suite, words):
    for one in suite:
        if isinstance(one, unittest.TestSuite):
            yield from chosen(one, words)
        elif all(word in one.id().replace("_", " ") for word in words):
            yield one


def main():
    loader = unittest.defaultTestLoader
    every = [loader.loadTestsFromModule(module) for module in (backup, chart, images, kustomize, observability, operators, sending, tutorial, values)]
    tests = list(chosen(every, sys.argv[1:]))
    runner = unittest.TextTestRunner(sys.stdout, resultclass=Told, verbosity=0)
    result = runner.run(unittest.TestSuite(tests))
    failed = {str(getattr(test, "test_case", test)) for test, _ in result.failures + result.errors}
    print(f"{result.testsRun - len(failed)} passed, {len(failed)} failed")
    return 0 if result.wasSuccessful() and result.testsRun else 1


if __name__ == "__main__":
    sys.exit(main())
