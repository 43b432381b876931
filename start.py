"""The entrypoint of the image: reads the platform's env.yaml, runs the steps of the task, and reports how it ended.

    python3 start.py                              in the container: /in/env.yaml
    python3 start.py --env some/where/env.yaml    anywhere else
"""

import signal
import sys

# before any other import, even of Python's own library: in their time a stop would end the process without error code
signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))

from ymir_detectron2.stop_signal import StopSignal  # noqa: E402 - it lets those through that have come meanwhile


def main() -> int:
    """Run the task; return 0 if every step of it succeeded."""
    stop = StopSignal().install()
    # only now: these take a tenth of a second, in which a stop would end the process without an error code
    from ymir_detectron2.entrypoint import argument_parser
    from ymir_detectron2.parent import run_task
    from ymir_detectron2.supervision import die_with_supervisor

    die_with_supervisor()  # which is the command line; a container has none
    status = run_task(argument_parser(__doc__).parse_args().env, stop)
    stop.hold_back()  # the task has ended; a stop that comes while Python ends must not change the exit status
    return status


if __name__ == "__main__":
    sys.exit(main())
