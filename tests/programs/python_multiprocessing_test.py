#!/usr/bin/python3
"""python3: its own tests of multiprocessing and of concurrent.futures' process pools.

The short form takes the classes that fork most and wait least.
"""

import compare
import python_suite

SHORT_CLASSES = ["Pool", "Queue", "Heap", "SharedMemory", "Array", "Value", "SharedCTypes",
                 "Connection", "Process"]
LONG_FILES = ["test_multiprocessing_fork", "test_multiprocessing_forkserver",
              "test_multiprocessing_spawn", "test_multiprocessing_main_handling",
              "test_concurrent_futures", "test_subprocess", "test_fork1"]


def scenario(this):
    if this.long:
        python_suite.run_suite(this, "suite", LONG_FILES, at_least=1000, jobs=3)
        return
    matches = [f"*WithProcessesTest{name}.*" for name in SHORT_CLASSES]
    python_suite.run_suite(this, "suite", ["test_multiprocessing_fork"], at_least=60,
                           matches=matches + ["*TestStartMethod*"])


if __name__ == "__main__":
    compare.main(scenario, needs=["python3"])
