"""The conformance suite for secondary MMUs: what a driver owes the host, and whether it pays.

abilities     what a driver says it can do, and what its callbacks say
obligations   the contract, a row for each thing that is owed
entrance      is the class a driver at all, and which scenarios it can be driven through
cells         one scenario on one profile, explored
telling       what a cell found: the story, the lines of the driver, the log
suite         all of them
findings      a verdict for each obligation, and the table that comes out
watchdog      runs it in processes of its own, and names the line that hangs
skeleton      writes a first driver
mutate, score how good the judge is: faulty variants of the author's own driver
"""
