"""Prints the version and the packages of the Python that runs this script, as one line of JSON.

The text of this file is sent to executors. Their Python may have any version and lack any package, also
nbkeras: so this script works with Python 2.7 and imports only the standard library.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile

if __name__ == "__main__":
    # Import name to the names of the distributions that may provide it.
    wanted = json.loads(sys.argv[1])
    packages = dict.fromkeys(wanted)
    for name in wanted:
        try:
            import importlib.metadata
            import importlib.util

            if importlib.util.find_spec(name) is not None:
                packages[name] = ""  # installed, but of unknown version
                for distribution in wanted[name]:
                    try:
                        packages[name] = importlib.metadata.version(distribution)
                        break
                    except importlib.metadata.PackageNotFoundError:
                        continue
        except ImportError:
            pass  # a Python this old cannot train anyway

    # The name of a warm server's socket has the process number of its Spark daemon, a child of the executor.
    server = False
    folder = os.path.join(tempfile.gettempdir(), "nbkeras-" + str(os.getuid()))
    for name in os.listdir(folder) if os.path.isdir(folder) else []:
        try:
            if os.path.isdir("/proc/self"):
                with open("/proc/" + name.split("-")[0] + "/stat") as file:
                    parent = file.read().rpartition(")")[2].split()[1]
            else:
                parent = subprocess.check_output(["ps", "-o", "ppid=", "-p", name.split("-")[0]]).decode()
            ours = name.split("-")[0] == os.environ.get("NBKERAS_DAEMON") or int(parent) == os.getppid()
            server = server or (name.endswith(".sock") and ours)
        except (OSError, IOError, subprocess.CalledProcessError):
            continue  # its daemon has ended

    answer = {
        "host": socket.gethostname(),
        "path": sys.executable,
        "python": ".".join(str(number) for number in sys.version_info[:3]),
        "packages": packages,
        "server": server,
    }
    sys.stdout.write(json.dumps(answer) + "\n")
