"""Memory, proved: units, properties, the state machine, power cuts, kills, cancellations, failing disks."""
