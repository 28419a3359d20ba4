"""The storm: traffic, faults, and a checker that knows topics and tables only."""
