"""Other detectors' training steps, in processes of their own: they need not share our packages.

peer_process (how one is run), torchvision_step (the program that runs there). Imports errors.
"""
