"""What lies ahead: how many firings there will be, minute by minute and by host, and which cron jobs to spread.

    heights     how many of many sets of places hold each place
    bits        the fire times of one timetable in a window, as such sets
    grouping    which cron jobs fire at the same times
    forecast    the sums, and the busiest seconds
    spread      the same expression at another place, with `H`

Invariant: pure. Fire times are those of `Timetable` alone; where they are computed in another way, the timetable's own
count is what they are held to. The cost goes with the timetables that differ and the minutes of the window, not with
the firings.
"""
