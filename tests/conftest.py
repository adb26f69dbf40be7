"""What every test begins with."""

import signal

# A shell that starts a job in the background has it ignore Ctrl-C, and whatever it starts
# would inherit that: tests of Ctrl-C would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)
