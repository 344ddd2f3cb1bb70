"Every test runs on one thread, draws into memory, and asks nothing of the network."
import os

os.environ |= {"OMP_NUM_THREADS": "1", "MPLBACKEND": "agg", "HF_HUB_OFFLINE": "1"}
