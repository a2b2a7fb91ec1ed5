"""For mqctl doctor, of a node that does not answer: the facts on standard output, as the message
`Facts` of proto/mqd/rpc/v1/doctor.proto."""

from __future__ import annotations

import os
import sys

from mqd.daemon.checkup.gather import gather

if __name__ == "__main__":
    sys.stdout.buffer.write(gather(os.environ).SerializeToString())
