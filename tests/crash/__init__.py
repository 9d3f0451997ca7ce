"""Crash campaigns: processes that are killed, power that goes, disks that fail, and machines that run out of something.

Each asks the same: *what was acknowledged is there afterwards, nothing is half there, and it goes on by itself.*

| file | what is done to Bide | on what |
| --- | --- | --- |
| `test_kills` | ``kill -9`` at random moments | real processes of ``bide`` and ``bide-relay`` |
| `test_killed_changes` | the same, while keys and formats change, and devices go | real processes |
| `test_killed_pairings` | the same at any step, while two people or two devices meet | real processes |
| `test_killed_commands` | the same, in phrases, erasing, leaving, moving, bundles | real processes |
| `test_killed_administration` | the same and power, in what an operator does | real processes of ``bide-relay`` |
| `test_power` | power goes: what was not synced is lost or torn | the real storage on a VFS that records |
| `test_power_homes` | the same, for every file: keys, config, mark, exports | real processes, recorded by strace |
| `test_power_commands` | the same, in what two people and a relay have to agree on afterwards | real processes and two relays |
| `test_failing_disks` | a sync, or a write, fails at the Nth place, for every N | the VFS; and real processes under strace |
| `test_running_out` | no room, no descriptors, no memory, nothing writable | real processes under limits |
| `test_clocks` | the clock goes ten years back and forth | real processes under libfaketime |

What they stand on: `disk` (which files a machine may find after a power cut), `recording` (the VFS), `tracing` (strace),
`forking` (processes that start in milliseconds), `dying` (that end at a step of their own), `unsafe` (the switches that take a
safety out, for the controls), `tally` (how many of each fault really hit; a fault that never fired does not count).

A campaign's control runs the same code with a safety taken out, and asserts that the campaign then fails.

``make test`` runs a little of everything; ``make soak`` much more of it: ``SEED=… KILLS=… CUTS=… make soak``. A seed is printed
with each failure, and the same seed cuts and kills in the same places as far as a clock has no say in it.
"""
