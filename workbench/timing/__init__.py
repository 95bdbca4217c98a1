"""The stopwatch for GPU work, and the ceilings that times are held against."""
