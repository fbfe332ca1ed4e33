"""Where it starts: web, jobs, worker, scheduler, command line."""

import sys

if sys.platform == "win32":
    # Before a module is imported that Windows doesn't have.
    sys.exit("Prelabel runs on Linux and macOS. On Windows, run it in WSL: https://learn.microsoft.com/windows/wsl")
