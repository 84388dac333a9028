"""For torchrun: `torchrun --nproc-per-node 2 -m fer_train fit ...`."""

from fer_train.cli.main import main

main()
