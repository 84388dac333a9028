"""What a network is trained on: batches, augmentation, votes."""
