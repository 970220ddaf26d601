"""Says, as one line of JSON, what the Python that runs this can offer. Its text is sent to executors.

Their Python may be of any version and without any package, nbkeras among them:
so nothing here is younger than Python 2.7, and nothing is imported but its library.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile

if __name__ == "__main__":
    # Import package to the names of the distributions that may bring it.
    wanted = json.loads(sys.argv[1])
    packages = dict.fromkeys(wanted)
    for name in wanted:
        try:
            import importlib.metadata
            import importlib.util

            if importlib.util.find_spec(name) is not None:
                packages[name] = ""  # there, but of no known version
                for distribution in wanted[name]:
                    try:
                        packages[name] = importlib.metadata.version(distribution)
                        break
                    except importlib.metadata.PackageNotFoundError:
                        continue
        except ImportError:
            pass  # a Python so old is of no use, whatever it has

    # A warm server's socket has the number of its Spark daemon in its name, and that is the executor's child.
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
