"""What would happen if: the real scheduling code on a virtual clock, against how others share a machine."""
